// Which of a model's chat templates writes its prompts.
#pragma once
#include <string>

#include "load/load.h"
#include "tokenizer/chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct ChatTemplateChoice {
  std::string asked = {};         // a name in the model, a file, or "deepseek-v2"; empty: nothing was asked for
  bool has_tools = false;         // the template for tools, where the model has one
  std::string* notice = nullptr;  // gets a sentence when the model brings none
};

// What was asked for; else the model's own, that for tools where there are tools and it has one; else that of
// DeepSeek-V2. bad_input when there is no such template, or none is the default.
ChatTemplate choose_chat_template(const Model& model, const Tokenizer& tokenizer, const ChatTemplateChoice& choice);

}  // namespace fathom
