#include "cli/chat/chat_loop.h"

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/file/file.h"
#include "base/interrupt.h"
#include "cli/generate/speculation.h"
#include "cli/options.h"
#include "cli/output.h"
#include "data/text/text_stream.h"

namespace fathom {
namespace {

volatile sig_atomic_t g_interrupts = 0;  // a signal handler can reach nothing else
extern "C" void count_interrupt(int) { g_interrupts = g_interrupts + 1; }

constexpr std::string_view kBlock = "\"\"\"";

bool is_blank(const std::string& text) { return text.find_first_not_of(" \t\r\n") == std::string::npos; }

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

const char* finish_name(AnswerEnd end) {
  return end == AnswerEnd::interrupted ? "interrupted" : end == AnswerEnd::finished ? "stop" : "length";
}

std::string json_line(const Answer& a) {
  const json::object message = {{"role", "assistant"}, {"content", a.text}};
  return to_json_line(json::object{{"message", message},
                                   {"finish_reason", finish_name(a.end)},
                                   {"prompt_tokens", a.n_cached + a.n_prompt},
                                   {"answer_tokens", a.n_written},
                                   {"prompt_seconds", a.prompt_s},
                                   {"answer_seconds", a.write_s}});
}

// "temperature 0.7", "top_p=0.9" or "--seed 3" in two.
std::pair<std::string, std::string> name_and_value(const std::string& setting) {
  const std::string text = trimmed(setting);
  const size_t begin = std::min(text.find_first_not_of('-'), text.size());
  const size_t end = std::min(text.find_first_of(" \t=", begin), text.size());
  std::string name = text.substr(begin, end - begin);
  std::replace(name.begin(), name.end(), '_', '-');
  return {name, trimmed(text.substr(std::min(end + 1, text.size())))};
}

void show_settings(const CLI::App& app, uint64_t seed) {
  for (const CLI::Option* o : app.get_options()) {
    const std::string& name = o->get_lnames().at(0);
    if (name != "help")
      fmt::print(stderr, "{:<20} {}\n", name, name == "seed" ? std::to_string(seed) : o->get_default_str());
  }
}

// A file as a shell would find it.
std::string with_home(const std::string& path) {
  const char* home = std::getenv("HOME");
  return path.starts_with("~/") && home != nullptr ? std::string(home) + path.substr(1) : path;
}

// A conversation that was saved before may be replaced; any other file is somebody's, or the model's own.
void check_replaceable(const std::string& file) {
  check_writable(file);
  std::error_code error;
  if (!std::filesystem::is_regular_file(file, error) || std::filesystem::file_size(file, error) == 0) return;
  try {
    parse_conversation(read_file(file), file);
  } catch (const Error&) {
    throw_bad_input("{}: is there already and holds no conversation; name another file", file);
  }
}

}  // namespace

struct ChatLoop::Message {
  LineEnd end = LineEnd::line;
  std::string text = {};
  int signal = 0;
  bool may_be_command = true;
};

struct ChatLoop::Command {
  std::string_view name, argument, help;
  void (ChatLoop::*run)(const std::string& argument);  // nullptr: the conversation is over
};

const std::vector<ChatLoop::Command>& ChatLoop::commands() {
  static const std::vector<Command> table = {
      {"/clear", "", "start a new conversation (the system message stays)", &ChatLoop::clear},
      {"/system", "TEXT", "set the system message; without TEXT: none", &ChatLoop::system},
      {"/regenerate", "", "another answer to the last message, with the next seed", &ChatLoop::regenerate},
      {"/set", "NAME VALUE", "change how answers are written: /set temperature 0.7; alone: show it", &ChatLoop::set},
      {"/save", "FILE", "write the conversation as JSON, as --messages reads it", &ChatLoop::save},
      {"/load", "FILE", "go on with such a conversation", &ChatLoop::load},
      {"/exit", "", "end; so does Ctrl-D, and Ctrl-C twice", nullptr},
      {"/help", "", "this list", &ChatLoop::help}};
  return table;
}

void catch_interrupts() {
  struct sigaction action = {};
  action.sa_handler = count_interrupt;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
}

// A message: a line, and the next ones as long as they end in a backslash; or what stands between two """.
ChatLoop::Message ChatLoop::read_message(LineReader& reader) const {
  Line line = reader.read(">>> ");
  if (line.end == LineEnd::line && line.text.starts_with(kBlock))
    return read_block(reader, line.text.substr(kBlock.size()));
  Message whole{line.end, std::move(line.text), line.signal};
  while (whole.end == LineEnd::line && !whole.text.empty() && whole.text.back() == '\\') {
    whole.text.back() = '\n';
    line = reader.read("... ");
    if (line.end == LineEnd::end_of_input) break;
    if (line.end != LineEnd::line) return {line.end, {}, line.signal};
    whole.text += line.text;
  }
  return whole;
}

ChatLoop::Message ChatLoop::read_block(LineReader& reader, const std::string& first) const {
  Message whole{LineEnd::line, first, 0, false};
  while (!whole.text.ends_with(kBlock)) {
    const Line line = reader.read("... ");
    if (line.end == LineEnd::end_of_input && !look_.interactive)
      throw_bad_input("stdin ends inside a message that {} opened; {} at the end of a line closes it", kBlock, kBlock);
    if (line.end == LineEnd::end_of_input) return {LineEnd::interrupted};
    if (line.end != LineEnd::line) return {line.end, {}, line.signal};
    whole.text += '\n';
    whole.text += line.text;
  }
  whole.text.resize(whole.text.size() - kBlock.size());
  if (whole.text.starts_with('\n')) whole.text.erase(0, 1);  // nothing but """ stood in the first line, or in the last
  if (whole.text.ends_with('\n')) whole.text.pop_back();
  return whole;
}

int ChatLoop::run(LineReader& reader) {
  int interrupts_in_a_row = 0;
  while (true) {
    const Message message = read_message(reader);
    if (message.end == LineEnd::end_of_input) return 0;
    if (message.end == LineEnd::terminated) return message.signal;
    if (message.end == LineEnd::interrupted) {
      if (++interrupts_in_a_row == 2) return 0;
      fmt::print(stderr, "Ctrl-C again, Ctrl-D or /exit ends the conversation.\n");
      continue;
    }
    interrupts_in_a_row = 0;
    if (is_blank(message.text)) continue;
    reader.remember(message.text);
    if (message.may_be_command && message.text[0] == '/') {
      if (!handle(message.text)) return 0;
    } else {
      turn([&](const auto& show, const auto& interrupted) { return session_.say(message.text, show, interrupted); });
    }
  }
}

bool ChatLoop::handle(const std::string& text) {
  const size_t end = std::min(text.find_first_of(" \t\n"), text.size());
  std::string name = text.substr(0, end);
  if (name == "/quit" || name == "/bye") name = "/exit";  // as other programs have it
  if (name == "/?") name = "/help";
  if (name == "/exit") return false;
  try {
    run_command(name, text.substr(std::min(end + 1, text.size())));
  } catch (const Error& e) {
    if (!look_.interactive) throw;
    print_notice(e.what());
  }
  return true;
}

void ChatLoop::run_command(const std::string& name, const std::string& argument) {
  const auto& table = commands();
  const auto found = std::find_if(table.begin(), table.end(), [&](const Command& c) { return c.name == name; });
  if (found == table.end()) {
    fmt::print(stderr, "There is no command {}; /help lists them. A message may begin with / after a space.\n",
               quoted_for_message(name));
    return;
  }
  const bool is_file = found->argument == "FILE";
  if (is_file && is_blank(argument)) throw_bad_input("{} needs a file: {} FILE", name, name);
  (this->*found->run)(is_file ? with_home(trimmed(argument)) : argument);
}

void ChatLoop::clear(const std::string&) {
  session_.clear();
  fmt::print(stderr, "(a new conversation)\n");
}

void ChatLoop::system(const std::string& text) {
  session_.set_system(text);
  fmt::print(stderr, "{}\n", text.empty() ? "(no system message)" : "(the system message is set)");
}

void ChatLoop::regenerate(const std::string&) {
  turn([&](const auto& show, const auto& interrupted) { return session_.regenerate(show, interrupted); });
}

void ChatLoop::save(const std::string& file) {
  const Conversation conversation = session_.conversation();
  check_replaceable(file);
  FileWriter writer(file);
  writer.write(to_json(conversation));
  writer.commit();
  fmt::print(stderr, "({} messages in {})\n", conversation.messages.size(), quoted_for_message(file));
}

void ChatLoop::load(const std::string& file) {
  const Conversation conversation = parse_conversation(read_text(file), file);
  session_.load(conversation, file);
  fmt::print(stderr, "({} messages{})\n", conversation.messages.size(),
             session_.waits_for_answer() ? "; /regenerate answers the last one" : "");
}

// The options of the command line, one at a time.
void ChatLoop::set(const std::string& setting) {
  ChatSettings& settings = session_.settings();
  SamplingOptions sampling = settings.sampling;
  int64_t max_tokens = settings.max_tokens;
  CLI::App app;
  add_sampling_options(app, sampling);
  app.add_option("--max-tokens", max_tokens)->capture_default_str();
  sampling = settings.sampling;
  auto [name, value] = name_and_value(setting);
  if (name == "system") return system(value);
  if (name == "parameter") std::tie(name, value) = name_and_value(value);  // as Ollama has both
  if (name.empty()) return show_settings(app, sampling.seed);
  if (name == "help" || app.get_option_no_throw("--" + name) == nullptr)
    throw_bad_input("there is no setting {}; /set alone lists them", quoted_for_message(name));
  if (value.empty()) throw_bad_input("/set {} needs a value", name);
  try {
    app.parse(std::vector<std::string>{fmt::format("--{}={}", name, value)});
  } catch (const CLI::ParseError& e) {
    std::string text = e.what();  // "--temperature: is '-3'; it must be ..."
    if (const size_t at = text.find(": is "); at != std::string::npos) text.erase(at, 1);
    throw_bad_input("/set {}", text.substr(std::min(text.find_first_not_of('-'), text.size())));
  }
  validate(sampling);
  settings.sampling = sampling;
  settings.max_tokens = max_tokens;
  fmt::print(stderr, "({} {})\n", name, value);
}

void ChatLoop::help(const std::string&) {
  for (const Command& c : commands())
    fmt::print(stderr, "{:<17} {}\n", fmt::format("{} {}", c.name, c.argument), c.help);
  fmt::print(stderr,
             "A message of several lines: paste it; or begin and end it with {0}; or end its lines in \\.\n"
             "Ctrl-C stops an answer; what was written of it stays in the conversation.\n",
             kBlock);
}

void ChatLoop::answer() {
  turn([&](const auto& show, const auto& interrupted) { return session_.answer(show, interrupted); });
}

template <class MakeAnswer>
void ChatLoop::turn(const MakeAnswer& make_answer) {
  g_interrupts = 0;
  std::optional<StopRequest> stop;
  if (!look_.interactive) stop.emplace(1);
  try {
    const Answer answer = make_answer(
        [&](std::string_view piece) {
          if (!look_.json) write_stdout(piece);
        },
        [&] { return g_interrupts > 0 || (stop && stop->signal() != 0); });
    write_stdout(look_.json ? json_line(answer) : "\n");
    report(answer);
    if (stop && stop->signal() != 0) end_by(stop->signal());
  } catch (const Error& e) {
    if (!look_.interactive) throw;
    print_notice(e.what());
  }
}

void ChatLoop::report(const Answer& a) const {
  if (a.end == AnswerEnd::interrupted) fmt::print(stderr, "(stopped)\n");
  if (a.end == AnswerEnd::context_full)
    fmt::print(stderr, "(the context is full; /clear starts a new conversation, a larger --ctx makes room)\n");
  if (!look_.timing) return;
  const auto rate = [](int64_t n, double s) { return s > 0 ? static_cast<double>(n) / s : 0.0; };
  fmt::print(stderr,
             "(prompt {} tokens in the cache, {} read at {:.2f} tokens/s; answer {} tokens, {:.2f} tokens/s{})\n",
             a.n_cached, a.n_prompt, rate(a.n_prompt, a.prompt_s), a.n_written, rate(a.n_written - 1, a.write_s),
             speculation_figures(a.speculation));
}

}  // namespace fathom
