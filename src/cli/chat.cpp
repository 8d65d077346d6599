// fathom chat: a conversation at the terminal, or with lines from a pipe.
#include <unistd.h>

#include <cstdio>
#include <map>
#include <memory>

#include "base/file.h"
#include "base/interrupt.h"
#include "cli/chat_loop.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/speculation.h"
#include "cli/values.h"
#include "model/text.h"

namespace fathom {
namespace {

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  SpeculationOptions speculation;
  std::string system, messages, chat_template;
  int64_t n = 0;
  std::vector<std::string> stops;
  bool timing = false, json = false;
};

// A conversation from a file or pipe, which an answer is wanted to.
Conversation read_conversation(const std::string& path) {
  const std::string where = path == "-" ? "stdin" : path;
  std::string text = path == "-" ? read_stdin() : read_file(path);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);  // a byte order mark
  Conversation conversation = parse_conversation(text, where);
  const auto& messages = conversation.messages;
  if (messages.empty()) throw_bad_input("{}: there is no message to answer", where);
  const std::string& last = messages.back().role;
  if (last != "user" && last != "tool")
    throw_bad_input(
        "{}: messages[{}] (role {}) is the last; an answer is written to a message of the role user or tool", where,
        messages.size() - 1, last);
  return conversation;
}

constexpr const char* kBuiltIn = "deepseek-v2";

// The template that was asked for, by its name in the model or as a file; else the model's own, that for tools where
// there are tools and it has one; else that of DeepSeek-V2.
ChatTemplate template_of(const Model& model, const Tokenizer& tokenizer, const ChatOptions& o, bool has_tools) {
  const auto spelling = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
  };
  const std::string bos = spelling(tokenizer.bos()), eos = spelling(tokenizer.eos());
  const ChatTemplates own = load_chat_templates(model);
  const std::string& asked = o.chat_template;
  const std::string name = !asked.empty() ? asked : has_tools && own.contains("tool_use") ? "tool_use" : "default";
  if (const auto found = own.find(name); found != own.end())
    return ChatTemplate::from_source(found->second, bos, eos,
                                     fmt::format("{}: chat_template '{}'", o.model.path, name));
  if (asked == kBuiltIn || (asked.empty() && own.empty())) {
    if (asked.empty() && !o.model.quiet)
      fmt::print(
          stderr,
          "{} brings no chat template; that of DeepSeek-V2 is used. A model that was not trained to converse goes "
          "on with the text instead of answering.\n",
          o.model.path);
    return ChatTemplate::deepseek_v2(bos, eos);
  }
  std::vector<std::string> names = {kBuiltIn};
  for (const auto& [other, text] : own) names.push_back(other);
  if (asked.empty())
    throw_bad_input("{}: no chat template is the default one; choose with --chat-template: {}", o.model.path,
                    fmt::join(names, ", "));
  if (!std::filesystem::exists(asked))
    throw_bad_input("--chat-template {}: there is no such file, and the names are: {}", quoted_for_message(asked),
                    fmt::join(names, ", "));
  return ChatTemplate::from_source(read_file(asked, uint64_t{1} << 20), bos, eos, asked);
}

void run_chat(const ChatOptions& o) {
  validate(o.sampling);
  const bool has_messages = !o.messages.empty();
  const Conversation given = has_messages ? read_conversation(o.messages) : Conversation();
  const Model model = open_model(o.model.path);
  const Tokenizer tokenizer = load_tokenizer(model);
  Engine engine(model, engine_options(o.model));
  LoadedSpeculator speculator(o.speculation, o.model, engine, &tokenizer);
  ChatSession session(engine, tokenizer, template_of(model, tokenizer, o, !given.tools.empty()),
                      {.sampling = o.sampling,
                       .stop_ids = stop_ids(model.config, &tokenizer),
                       .stops = o.stops,
                       .max_tokens = o.n,
                       .speculator = speculator.get(),
                       .quiet = o.model.quiet});
  session.set_system(o.system);
  print_seed(o.sampling, o.model.quiet);

  if (has_messages) {
    session.load(given, o.messages == "-" ? "stdin" : o.messages);
    ChatLoop(session, {.timing = o.timing, .json = o.json}).answer();
    return;
  }
  const bool interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  if (interactive) catch_interrupts();
  if (interactive && !o.model.quiet)
    fmt::print(stderr, "Room for {} tokens. /help lists the commands.\n", engine.context_tokens());
  auto reader = interactive ? make_terminal_reader(state_file("history")) : make_plain_reader();
  const int signal = ChatLoop(session, {.interactive = interactive, .timing = o.timing, .json = o.json}).run(*reader);
  reader.reset();  // the terminal is as it was
  if (signal != 0) end_by(signal);
}

}  // namespace

void add_chat(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("chat", "talk with a chat model");
  const auto o = std::make_shared<ChatOptions>();
  add_model_options(command, o->model, "-m,--model,model");
  auto* system =
      command.add_option("--system", o->system, "message that stands in front of the conversation")->type_name("TEXT");
  command
      .add_option("-n,--max-tokens,--n-predict,--predict", o->n,
                  "most tokens of an answer; 0 or -1: what the context has room for")
      ->type_name("N")
      ->transform(whole_number(-1))
      ->capture_default_str();
  add_sampling_options(command, o->sampling);
  add_speculation_options(command, o->speculation);
  add_stop_option(command, o->stops, "end an answer before this text; \\n, \\t, \\xNN ...; may be given several times");
  command
      .add_option(
          "--messages", o->messages,
          "answer a conversation and end: JSON of OpenAI's form, {\"messages\": [...], \"tools\": [...]} or the "
          "list of messages; - for stdin")
      ->type_name("FILE.json")
      ->excludes(system);
  command
      .add_option(
          "--chat-template", o->chat_template,
          "the template by its name in the model, a file with one, or deepseek-v2; default: the model's own, and "
          "its tool_use where --messages has tools")
      ->type_name("NAME|FILE");
  command.add_flag("--json", o->json, "every answer is one line of JSON");
  command.add_flag("--timing", o->timing, "tokens and speed of every turn on stderr");
  command.footer(
      "At a terminal: lines can be edited and come again with the arrow keys; several lines are pasted, or stand "
      "between "
      "two \"\"\"; Ctrl-C stops an answer; /help lists the commands.\nWith input from a pipe or file, every line is a "
      "message.\n\n"
      "Examples:\n  fathom chat -m DeepSeek-V2-Lite-Chat --system \"Answer in one sentence.\"\n"
      "  printf 'What is a heap?\\nGive an example.\\n' | fathom chat -m model.gguf -n 200 --temperature 0\n"
      "  fathom chat -m model.gguf --messages conversation.json --json\n"
      "  fathom chat -m DeepSeek-V2-Chat.gguf --draft-model DeepSeek-V2-Lite-Chat.gguf --timing");
  command.callback([=] { run_chat(*o); });
}

}  // namespace fathom
