#include "cli/usage.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/error.h"
#include "base/suggest.h"
#include "base/terminal_text.h"

namespace fathom {
namespace {

struct Advice {
  std::string_view words;  // separated by spaces
  std::string_view text;
};

constexpr std::string_view kOnlyCpus = "fathom runs on CPUs alone; leave it out";
constexpr std::string_view kNotNeeded = "fathom needs no such switch; leave it out";

// What users of llama.cpp, Ollama and Hugging Face's tools type. Spellings that mean the same here are names of the
// option itself.
constexpr Advice kCommands[] = {
    {"ls list", "fathom keeps no list of models: -m names a folder or a .gguf file, wherever it lies"},
    {"pull", "fathom downloads no models; README.md says where to get one, and -m names its folder or .gguf file"},
    {"serve server", "fathom has no server yet; generate --prompts FILE.jsonl answers many prompts in one load"},
    {"rm cp", "a model is a folder or a .gguf file, and is removed or copied as any other"},
    {"create", "fathom convert and fathom quantize make a .gguf file of a folder"},
    {"ps stop push signin", "that is a command of Ollama's server; fathom runs a model for as long as a command takes"},
    {"run", "a conversation is fathom chat -m MODEL, a text that goes on fathom generate -m MODEL -p TEXT"},
    {"cli complete", "that is fathom generate -m MODEL -p TEXT"},
};
constexpr Advice kOptions[] = {
    {"-ngl --gpu-layers --n-gpu-layers -dev --device -sm --split-mode -ts --tensor-split -mg --main-gpu", kOnlyCpus},
    {"-fa --flash-attn -b --batch-size -ub --ubatch-size --no-warmup --no-display-prompt --log-disable -no-cnv "
     "--no-conversation --simple-io --no-perf --jinja",
     kNotNeeded},
    {"-tb --threads-batch", "-t N is for reading prompts too"},
    {"--mlock --mmap --no-mmap", "--weights packed, mapped, cached or auto says where weights lie"},
    {"-ctk -ctv --cache-type-k --cache-type-v", "--cache-type f32, bf16, q16 or q8 is for keys and values together"},
    {"-e --escape --no-escape", "--prompt is taken as it is; in bash, $'a\\nb' holds a line end"},
    {"-r --reverse-prompt", "it is --stop TEXT"},
    {"-i --interactive -cnv --conversation -st --single-turn", "a conversation is fathom chat -m MODEL"},
    {"-sys --system-prompt", "it is fathom chat --system TEXT"},
    {"-hf -hfr --hf-repo -mu --model-url", "fathom downloads no models; -m names a folder or a .gguf file"},
    {"--repeat-last-n", "--repeat-penalty looks at the last 64 tokens; leave it out"},
    {"--presence-penalty --frequency-penalty --dry-multiplier", "--repeat-penalty is fathom's penalty"},
    {"--mirostat --typical --samplers --top-nsigma --xtc-probability",
     "fathom samples by --temperature, --top-k, --top-p and --min-p"},
    {"--grammar --grammar-file --json-schema -j", "fathom does not constrain what is written by a grammar"},
    {"--max_new_tokens --max-new-tokens --max_tokens --n_predict", "it is -n, --max-tokens N"},
    {"-md --model-draft", "it is --draft-model MODEL"},
    {"-ppl", "it is the command fathom perplexity"},
};

std::string_view advice_for(std::span<const Advice> table, const std::string& word) {
  for (const Advice& a : table)
    for (size_t begin = 0; begin < a.words.size();) {
      const size_t end = std::min(a.words.find(' ', begin), a.words.size());
      if (a.words.substr(begin, end - begin) == word) return a.text;
      begin = end + 1;
    }
  return {};
}

// The option or command of `app` that `word` probably meant, with a question around it; empty when nothing is near.
std::string suggestion(const CLI::App& app, const std::string& word) {
  std::vector<std::string> known;
  for (const CLI::Option* o : app.get_options())
    for (const std::string& name : o->get_lnames()) known.push_back("--" + name);
  for (const CLI::App* sub : app.get_subcommands({})) known.push_back(sub->get_name());
  return did_you_mean(word, known);
}

// The command that was being parsed, and its name with those above it: "fathom data build".
std::pair<const CLI::App*, std::string> active_command(const CLI::App& root) {
  const CLI::App* command = &root;
  std::string name = root.get_name();
  for (auto subs = root.get_subcommands(); !subs.empty(); subs = command->get_subcommands()) {
    command = subs.back();
    name += " " + command->get_name();
  }
  return {command, name};
}

bool is_command(const CLI::App& root, const std::string& word) {
  const auto commands = root.get_subcommands({});
  return std::any_of(commands.begin(), commands.end(), [&](const CLI::App* c) { return c->get_name() == word; });
}

bool takes_a_text(const CLI::App& command) {
  const auto options = command.get_options();
  return std::any_of(options.begin(), options.end(),
                     [](const CLI::Option* o) { return o->get_positional() && o->get_type_name() == "TEXT"; });
}

// What else to say of arguments that do not fit: the first that is known elsewhere, or is near a name of ours.
std::string hint(const CLI::App& root, const CLI::App& command, const std::vector<std::string>& arguments) {
  const bool no_command = &command == &root;
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    if (!no_command && command.get_option_no_throw(word) != nullptr) continue;  // here the word is one of ours
    const auto advice = advice_for(no_command ? std::span<const Advice>(kCommands) : kOptions, word);
    if (!advice.empty()) return fmt::format(" {}: {}.", word, advice);
    if (no_command) break;  // what follows the first word is for a command that there is not
  }
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    const bool known = word.starts_with('-') ? command.get_option_no_throw(word) != nullptr : is_command(root, word);
    if (known || word.size() < 3) continue;
    if (std::string text = suggestion(command, word); !text.empty()) return text;
  }
  return {};
}

// CLI11 says "--threads: is '0'; it must be ...".
std::string sentence(const CLI::ParseError& e) {
  std::string text = e.what();
  if (e.get_name() == "ValidationError")
    if (const size_t at = text.find(": is "); at != std::string::npos) text.erase(at, 1);
  constexpr std::string_view kTwice = ": At Most 1 required but received ";
  if (const size_t at = text.find(kTwice); at != std::string::npos)
    text = fmt::format("{} is given {} times; once is enough", text.substr(0, at), text.substr(at + kTwice.size()));
  while (text.ends_with('.')) text.pop_back();
  return text.ends_with('?') ? text : text + '.';
}

}  // namespace

std::vector<std::string> read_arguments(int argc, const char* const* argv) {
  std::vector<std::string> arguments;
  for (int i = 1; i < argc; ++i) {
    std::string a = argv[i];
    const bool has_empty_value = a.starts_with("--") && a.size() > 3 && a.find('=') == a.size() - 1;
    if (has_empty_value) a.pop_back();
    arguments.push_back(std::move(a));
    if (has_empty_value) arguments.emplace_back();
  }
  if (arguments.empty()) return arguments;
  const auto is_name = [&](size_t i) { return i < arguments.size() && !arguments[i].starts_with('-'); };
  if (arguments[0] == "run" && is_name(1) && !is_name(2)) {
    arguments[0] = "chat";
    arguments.insert(arguments.begin() + 1, "-m");
  } else if (arguments[0] == "help") {
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  } else if (arguments[0] == "version") {
    arguments[0] = "--version";
  }
  return arguments;
}

int report_usage_error(const CLI::App& root, const CLI::ParseError& e, const std::vector<std::string>& arguments) {
  const auto [command, name] = active_command(root);
  std::string more = hint(root, *command, arguments);
  if (more.empty() && e.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && takes_a_text(*command))
    more = " A text of several words needs quotes around it.";
  fmt::print(stderr, "{}\n",
             shown_on(STDERR_FILENO, fmt::format("{}: {}{} See {} --help", name, sentence(e), more, name)));
  return 2;
}

}  // namespace fathom
