#include "load/chat_template_choice.h"

#include <filesystem>

#include "base/error.h"
#include "data/text/text_stream.h"
#include "load/text.h"

namespace fathom {
namespace {

constexpr const char* kBuiltIn = "deepseek-v2";

}  // namespace

ChatTemplate choose_chat_template(const Model& model, const Tokenizer& tokenizer, const ChatTemplateChoice& choice) {
  const auto spelling = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
  };
  const std::string bos = spelling(tokenizer.bos()), eos = spelling(tokenizer.eos());
  const ChatTemplates own = load_chat_templates(model);
  const std::string path = model.path.string();
  const std::string& asked = choice.asked;
  const std::string name = !asked.empty()                                 ? asked
                           : choice.has_tools && own.contains("tool_use") ? "tool_use"
                                                                          : "default";
  if (const auto found = own.find(name); found != own.end())
    return ChatTemplate::from_source(found->second, bos, eos, fmt::format("{}: chat_template '{}'", path, name));
  if (asked == kBuiltIn || (asked.empty() && own.empty())) {
    if (asked.empty() && choice.notice != nullptr)
      *choice.notice = fmt::format(
          "{} brings no chat template; that of DeepSeek-V2 is used. A model that was not trained to converse goes on "
          "with the text instead of answering.",
          path);
    return ChatTemplate::deepseek_v2(bos, eos);
  }
  std::vector<std::string> names = {kBuiltIn};
  for (const auto& [other, text] : own) names.push_back(other);
  if (asked.empty())
    throw_bad_input("{}: no chat template is the default one; choose with --chat-template: {}", path,
                    fmt::join(names, ", "));
  if (!std::filesystem::exists(asked))
    throw_bad_input("--chat-template {}: there is no such file, and the names are: {}", quoted_for_message(asked),
                    fmt::join(names, ", "));
  return ChatTemplate::from_source(read_text(asked, uint64_t{1} << 20), bos, eos, asked);
}

}  // namespace fathom
