#include "cli/open_model.h"

#include "cli/options.h"
#include "load/chat_template_choice.h"

namespace fathom {

Model open_model(const std::filesystem::path& path) {
  Model model = load_model(path);
  for (const std::string& notice : model.notices) print_notice(notice);
  return model;
}

CLI::Option* add_chat_template_option(CLI::App& command, std::string& asked) {
  return command
      .add_option(
          "--chat-template", asked,
          "the template by its name in the model, a file with one, or deepseek-v2; default: the model's own, and "
          "its tool_use where messages come with tools")
      ->type_name("NAME|FILE");
}

ChatTemplate open_chat_template(const Model& model, const Tokenizer& tokenizer, const std::string& asked,
                                bool has_tools, bool quiet) {
  std::string notice;
  ChatTemplate chosen = choose_chat_template(model, tokenizer, {asked, has_tools, &notice});
  if (!notice.empty() && !quiet) print_notice(notice);
  return chosen;
}

}  // namespace fathom
