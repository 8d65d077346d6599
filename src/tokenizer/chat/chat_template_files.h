// The chat templates that a Hugging Face folder brings.
#pragma once
#include <filesystem>
#include <map>
#include <string>

namespace fathom {

// Name -> text. The one that is used when nobody asks for another is named "default".
using ChatTemplates = std::map<std::string, std::string>;

// chat_template.jinja ("default") and additional_chat_templates/NAME.jinja; where there is none of these, chat_template
// in tokenizer_config.json (a string, or a list of named ones), as transformers looks for them; else the older
// chat_template.json. bad_input for another form.
ChatTemplates find_chat_templates(const std::filesystem::path& folder);

}  // namespace fathom
