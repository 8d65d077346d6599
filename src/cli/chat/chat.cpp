// fathom chat: a conversation at the terminal, or with lines from a pipe.
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/interrupt.h"
#include "cli/chat/chat_loop.h"
#include "cli/commands.h"
#include "cli/generate/speculation.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/values.h"
#include "data/text/text_stream.h"
#include "load/text.h"

namespace fathom {
namespace {

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  SpeculationOptions speculation;
  std::string system, messages, chat_template;
  int64_t n = 0;
  std::vector<std::string> stops, dry_breakers;
  bool timing = false, json = false;
};

// A conversation from a file or pipe, which an answer is wanted to.
Conversation read_conversation(const std::string& path) {
  const std::string where = input_name(path);
  Conversation conversation = parse_conversation(read_text(path), where);
  check_waits_for_answer(conversation, where);
  return conversation;
}

void run_chat(const ChatOptions& o) {
  validate(o.sampling);
  validate(o.speculation);
  const bool has_messages = !o.messages.empty();
  const Conversation given = has_messages ? read_conversation(o.messages) : Conversation();
  const Model model = open_model(o.model.path);
  const Tokenizer tokenizer = load_tokenizer(model);
  check_logit_bias(o.sampling, model.config.vocab_size);
  SamplingOptions sampling = o.sampling;
  sampling.dry_breakers = dry_breaker_ids(&tokenizer, o.dry_breakers);  // /set may turn DRY on later
  ThreadPool pool(o.model.threads, numa());
  LoadedEngine loaded(pool, model, engine_options(o.model));
  Engine& engine = loaded.engine;
  LoadedSpeculator speculator(o.speculation, o.model, pool, engine, &tokenizer);
  ChatSession session(engine, tokenizer,
                      open_chat_template(model, tokenizer, o.chat_template, !given.tools.empty(), o.model.quiet),
                      {.sampling = std::move(sampling),
                       .stop_ids = stop_ids(model.config, &tokenizer),
                       .stops = o.stops,
                       .max_tokens = o.n,
                       .speculator = speculator.get(),
                       .quiet = o.model.quiet});
  session.set_system(o.system);
  print_seed(o.sampling, o.model.quiet);

  if (has_messages) {
    session.load(given, input_name(o.messages));
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
  add_dry_breaker_option(command, o->dry_breakers);
  add_speculation_options(command, o->speculation);
  add_stop_option(command, o->stops, "end an answer before this text; \\n, \\t, \\xNN ...; may be given several times");
  command
      .add_option(
          "--messages", o->messages,
          "answer a conversation and end: JSON of OpenAI's form, {\"messages\": [...], \"tools\": [...]} or the "
          "list of messages; - for stdin")
      ->type_name("FILE.json")
      ->excludes(system);
  add_chat_template_option(command, o->chat_template);
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
