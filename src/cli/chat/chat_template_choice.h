// Which of a model's chat templates writes its prompts.
#pragma once
#include <CLI/CLI.hpp>
#include <string>

#include "load/load.h"
#include "tokenizer/chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

// --chat-template
CLI::Option* add_chat_template_option(CLI::App& command, std::string& asked);

struct ChatTemplateChoice {
  std::string asked;  // a name in the model, a file, or "deepseek-v2"; empty: nothing was asked for
  bool has_tools = false, quiet = false;
};

// What was asked for; else the model's own, that for tools where there are tools and it has one; else that of
// DeepSeek-V2, which is said on stderr. bad_input when there is no such template, or none is the default.
ChatTemplate choose_chat_template(const Model& model, const Tokenizer& tokenizer, const ChatTemplateChoice& choice);

}  // namespace fathom
