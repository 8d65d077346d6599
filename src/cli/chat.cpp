// fathom chat: a conversation at the terminal, or with lines from a pipe.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <memory>

#include "base/utf8.h"
#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/line_reader.h"
#include "cli/options.h"
#include "cli/speculation.h"
#include "model/text.h"

namespace fathom {
namespace {

struct ChatOptions {
  ModelOptions model;
  SamplingOptions sampling;
  SpeculationOptions speculation;
  std::string system;
  int64_t n = 0;
  std::vector<std::string> stops;
  bool timing = false;
};

volatile sig_atomic_t g_interrupts = 0;  // a signal handler can reach nothing else
extern "C" void count_interrupt(int) { g_interrupts = g_interrupts + 1; }

// Without SA_RESTART, so that waiting for a line ends.
void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = count_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

bool take_interrupt() {
  const bool was_interrupted = g_interrupts > 0;
  g_interrupts = 0;
  return was_interrupted;
}

// Control characters of an answer could move the cursor or change the terminal's settings; they are shown as ^X.
std::string for_terminal(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point == '\n' || c.code_point == '\t' || (c.code_point >= 0x20 && c.code_point < 0x7F) ||
        c.code_point >= 0xA0)
      out += text.substr(i, c.length);
    else if (c.code_point < 0x80)
      out += fmt::format("^{}", static_cast<char>(c.code_point ^ 0x40));
    else
      append_utf8(out, 0xFFFD);
    i += c.length;
  }
  return out;
}

void write_out(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

// A message: a line, and the next ones as long as they end in a backslash.
Line read_message(LineReader& reader) {
  Line whole = reader.read(">>> ");
  while (whole.end == LineEnd::line && !whole.text.empty() && whole.text.back() == '\\') {
    reader.remember(whole.text);
    whole.text.back() = '\n';
    Line next = reader.read("... ");
    if (next.end == LineEnd::interrupted) return next;
    whole.text += next.text;
    if (next.end == LineEnd::end_of_input) break;
  }
  return whole;
}

class Chat {
 public:
  Chat(ChatSession& session, const ChatOptions& options, bool interactive)
      : session_(session), options_(options), interactive_(interactive) {}

  void run(LineReader& reader) {
    int interrupts_in_a_row = 0;
    while (true) {
      const Line line = read_message(reader);
      if (line.end == LineEnd::end_of_input) return;
      if (line.end == LineEnd::interrupted) {
        take_interrupt();
        if (++interrupts_in_a_row == 2) return;
        fmt::print(stderr, "Ctrl-C again, Ctrl-D or /exit ends the conversation.\n");
        continue;
      }
      interrupts_in_a_row = 0;
      if (line.text.find_first_not_of(" \t\n") == std::string::npos) continue;
      reader.remember(line.text.substr(line.text.rfind('\n') + 1));
      if (!handle(line.text)) return;
    }
  }

 private:
  // false: the conversation is over.
  bool handle(const std::string& text) {
    if (text[0] != '/') {
      turn(text);
      return true;
    }
    const size_t space = std::min(text.find_first_of(" \n"), text.size());
    const std::string command = text.substr(0, space);
    if (command == "/exit" || command == "/quit") return false;
    if (command == "/clear")
      session_.clear();
    else if (command == "/system")
      session_.set_system(text.substr(std::min(space + 1, text.size())));
    else if (command == "/help")
      help();
    else
      fmt::print(stderr, "There is no command {}; /help lists them. A message may begin with / after a space.\n",
                 quoted_for_message(command));
    return true;
  }

  void help() {
    fmt::print(stderr,
               "/clear        start a new conversation (the system message stays)\n"
               "/system TEXT  set the system message; without TEXT: none\n"
               "/exit         end; so does Ctrl-D, and Ctrl-C twice\n"
               "/help         this list\n"
               "A line that ends in \\ goes on in the next one. Ctrl-C stops an answer.\n");
  }

  void turn(const std::string& text) {
    take_interrupt();
    try {
      const Answer answer = session_.say(
          text, [&](std::string_view piece) { write_out(interactive_ ? for_terminal(piece) : std::string(piece)); },
          [] { return g_interrupts > 0; });
      write_out("\n");
      report(answer);
    } catch (const Error& e) {
      if (!interactive_) throw;
      fmt::print(stderr, "fathom: {}\n", e.what());
    }
    take_interrupt();
  }

  void report(const Answer& a) const {
    if (a.end == AnswerEnd::interrupted) fmt::print(stderr, "(stopped)\n");
    if (a.end == AnswerEnd::context_full)
      fmt::print(stderr, "(the context is full; /clear starts a new conversation, a larger --ctx makes room)\n");
    if (!options_.timing) return;
    const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
    fmt::print(stderr,
               "(prompt {} tokens in the cache, {} read at {:.2f} tokens/s; answer {} tokens, {:.2f} tokens/s{})\n",
               a.n_cached, a.n_prompt, rate(a.n_prompt, a.prompt_s), a.n_written, rate(a.n_written - 1, a.write_s),
               speculation_figures(a.speculation));
  }

  ChatSession& session_;
  const ChatOptions& options_;
  bool interactive_;
};

ChatTemplate template_of(const Model& model, const Tokenizer& tokenizer, const ChatOptions& o) {
  const auto spelling = [&](std::optional<int32_t> id) {
    return id ? std::string(tokenizer.token_bytes(*id)) : std::string();
  };
  const std::string bos = spelling(tokenizer.bos()), eos = spelling(tokenizer.eos());
  if (const auto text = load_chat_template(model))
    return ChatTemplate::from_source(*text, bos, eos, o.model.path + ": chat_template");
  if (!o.model.quiet) fmt::print(stderr, "{} brings no chat template; that of DeepSeek-V2 is used.\n", o.model.path);
  return ChatTemplate::deepseek_v2(bos, eos);
}

void run_chat(const ChatOptions& o) {
  validate(o.sampling);
  const Model model = load_model(o.model.path);
  const Tokenizer tokenizer = load_tokenizer(model);
  Engine engine(model, engine_options(o.model));
  LoadedSpeculator speculator(o.speculation, o.model, engine, &tokenizer);
  ChatSession session(engine, tokenizer, template_of(model, tokenizer, o),
                      {.sampling = o.sampling,
                       .stop_ids = stop_ids(model.config, &tokenizer),
                       .stops = o.stops,
                       .max_tokens = o.n,
                       .speculator = speculator.get(),
                       .quiet = o.model.quiet});
  session.set_system(o.system);

  const bool interactive = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
  if (interactive) catch_interrupts();
  if (interactive && !o.model.quiet)
    fmt::print(stderr, "Room for {} tokens. /help lists the commands.\n", engine.context_tokens());
  const auto reader = interactive ? make_terminal_reader(state_file("history")) : make_plain_reader();
  Chat(session, o, interactive).run(*reader);
}

}  // namespace

void add_chat(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("chat", "talk with a chat model");
  const auto o = std::make_shared<ChatOptions>();
  add_model_options(command, o->model);
  command.add_option("--system", o->system, "message that stands in front of the conversation")->type_name("TEXT");
  command.add_option("-n,--max-tokens", o->n, "most tokens of an answer; 0: what the context has room for")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  add_sampling_options(command, o->sampling);
  add_speculation_options(command, o->speculation);
  command.add_option("--stop", o->stops, "end an answer before this text; may be given several times")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  command.add_flag("--timing", o->timing, "tokens and speed of every turn on stderr");
  command.footer(
      "At a terminal: lines can be edited and come again with the arrow keys; Ctrl-C stops an answer; /help lists the "
      "commands.\nWith input from a pipe or file, every line is a message.\n\n"
      "Examples:\n  fathom chat -m DeepSeek-V2-Lite-Chat --system \"Answer in one sentence.\"\n"
      "  printf 'What is a heap?\\nGive an example.\\n' | fathom chat -m model.gguf -n 200 --temperature 0\n"
      "  fathom chat -m DeepSeek-V2-Chat.gguf --draft-model DeepSeek-V2-Lite-Chat.gguf --timing");
  command.callback([=] { run_chat(*o); });
}

}  // namespace fathom
