#include "cli/usage.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/error.h"
#include "base/text/suggest.h"
#include "base/text/terminal_text.h"
#include "hub/repository.h"

namespace fathom {
namespace {

struct Advice {
  std::string_view words;  // separated by spaces
  std::string_view text;
};

constexpr std::string_view kOnlyCpus = "fathom runs on CPUs alone; leave it out";
constexpr std::string_view kNotNeeded = "fathom needs no such switch; leave it out";

constexpr Advice kHubAdvice = {"-hf -hfr --hf-repo -mu --model-url -hfd --hf-repo-draft",
                               "`fathom pull OWNER/NAME` downloads a model, and -m OWNER/NAME then opens it"};

// What users of llama.cpp, Ollama and Hugging Face's tools type. Spellings that mean the same here are names of the
// option itself.
constexpr Advice kCommands[] = {
    {"ls list", "it is fathom models"},
    {"download", "it is fathom pull OWNER/NAME"},
    {"server llama-server", "that is `fathom serve`"},
    {"rm", "it is fathom models rm OWNER/NAME; a folder or a .gguf file is removed as any other"},
    {"cp", "a model is a folder or a .gguf file, and is copied as any other"},
    {"create export", "fathom convert and fathom quantize make a .gguf file of a folder"},
    {"ps stop push signin", "that is a command of Ollama's server; fathom runs a model for as long as a command takes"},
    {"run", "a conversation is fathom chat -m MODEL, a text that goes on fathom generate -m MODEL -p TEXT"},
    {"cli complete infer predict ask prompt", "it is fathom generate -m MODEL -p TEXT"},
    {"info", "it is fathom inspect MODEL"},
    {"eval evaluate ppl", "it is fathom perplexity -m MODEL -f FILE"},
    {"imatrix", "it is fathom quantize --calibration FILE --save-importance NAME.gguf"},
    {"pretrain", "it is fathom train CONFIG"},
    {"finetune fine-tune sft lora",
     "fathom does not fine-tune yet; [run] continue_from of fathom train goes on from weights"},
    {"encode", "it is fathom tokenize"},
    {"decode", "it is fathom detokenize"},
    {"gguf-split split", "it is --max-shard-size of fathom convert"},
};
constexpr Advice kOptions[] = {
    {"-ngl --gpu-layers --n-gpu-layers -dev --device -sm --split-mode -ts --tensor-split -mg --main-gpu", kOnlyCpus},
    {"-fa --flash-attn -b --batch-size -ub --ubatch-size --no-warmup --no-display-prompt --log-disable -no-cnv "
     "--no-conversation --simple-io --no-perf --jinja --color -co --nowordwrap",
     kNotNeeded},
    {"-tb --threads-batch", "-t N is for reading prompts too"},
    {"--mlock --mmap --no-mmap", "--weights packed, mapped, cached or auto says where weights lie"},
    {"-ctk -ctv --cache-type-k --cache-type-v",
     "--cache-type (f32, bf16, q16, q8, fp8, q6, q4) is for keys and values together"},
    {"-e --escape --no-escape", "--prompt is taken as it is; in bash, $'a\\nb' holds a line end"},
    {"-r --reverse-prompt", "it is --stop TEXT"},
    {"-i --interactive -cnv --conversation -st --single-turn", "a conversation is fathom chat -m MODEL"},
    {"-sys --system-prompt", "it is fathom chat --system TEXT"},
    kHubAdvice,
    {"--mirostat --samplers --top-nsigma --dynatemp-range",
     "fathom samples by --temperature, --top-k, --top-p, --min-p, --typical and --xtc-probability, in a fixed order"},
    {"-l", "it is --logit-bias ID=BIAS"},
    {"--grammar --grammar-file --json-schema -j",
     "`fathom serve` takes grammars and schemas with each request; see docs/constrained.md"},
    {"--max_new_tokens --max-new-tokens --max_tokens --n_predict", "it is -n, --max-tokens N"},
    {"-md --model-draft", "it is --draft-model MODEL"},
    {"-ppl", "it is the command fathom perplexity"},
    {"-v --verbose", "figures are printed unless -q is given; fathom chat has --timing"},
    {"-p --prompt",
     "a text is continued by fathom generate; fathom chat reads what is typed or piped, or --messages FILE"},
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

// The advice for an option, with what it was given where that is the name of a repository.
std::string option_advice(const std::string& word, const std::vector<std::string>& arguments) {
  std::string text(advice_for(kOptions, word));
  if (text.empty() || advice_for(std::span(&kHubAdvice, 1), word).empty()) return text;
  for (size_t i = 0; i < arguments.size(); ++i) {
    const bool is_joined = arguments[i].starts_with(word + '=');
    if (!is_joined && (arguments[i] != word || i + 1 == arguments.size())) continue;
    const std::string named = is_joined ? arguments[i].substr(word.size() + 1) : arguments[i + 1];
    if (hub::is_repository_name(named))
      return fmt::format("`fathom pull {}` downloads it, and -m {} then opens it", named, named);
  }
  return text;
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

bool takes_a_text(const CLI::App& command) {
  const auto options = command.get_options();
  return std::any_of(options.begin(), options.end(),
                     [](const CLI::Option* o) { return o->get_positional() && o->get_type_name() == "TEXT"; });
}

// What else to say of options that do not fit: the first that is known elsewhere, or is near a name of ours.
std::string hint(const CLI::App& command, const std::vector<std::string>& arguments) {
  std::vector<std::string> strange;
  for (const std::string& argument : arguments) {
    std::string word = argument.substr(0, argument.find('='));
    if (word.starts_with('-') && command.get_option_no_throw(word) == nullptr) strange.push_back(std::move(word));
  }
  for (const std::string& word : strange)
    if (const auto advice = option_advice(word, arguments); !advice.empty())
      return fmt::format(" {}: {}.", word, advice);
  for (const std::string& word : strange)
    if (std::string text = word.size() < 3 ? "" : suggestion(command, word); !text.empty()) return text;
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

// Of a command that has others below it: none of them is given, or one that there is not.
std::string without_command(const CLI::App& root, const CLI::App& command, const std::vector<std::string>& arguments) {
  const bool is_root = &command == &root;
  const std::string first = arguments.size() > (is_root ? 0 : 1) ? arguments[is_root ? 0 : 1] : std::string();
  const std::string word = first.substr(0, first.find('='));
  if (!word.empty() && !word.starts_with('-')) {
    const auto advice = is_root ? advice_for(kCommands, word) : std::string_view();
    return fmt::format("there is no command {}{}", quoted_for_message(word),
                       advice.empty() ? "." + suggestion(command, word) : fmt::format(": {}.", advice));
  }
  if (const std::string near = word.empty() ? "" : suggestion(command, word); !near.empty())
    return fmt::format("there is no option {}.{}", word, near);
  if (is_root)
    return fmt::format("a command is needed{}, such as generate \"Once upon a time\".",
                       word.empty() ? "" : " in front of " + word);
  std::vector<std::string> names;
  for (const CLI::App* c : command.get_subcommands({})) names.push_back(c->get_name());
  return fmt::format("a command is needed: {}.", fmt::join(names, " or "));
}

// -hf, which CLI11 takes for -h and -f, and users of llama.cpp for the name of a model on a hub.
bool is_longer_h(const std::string& argument) {
  return argument.size() > 2 && argument.starts_with("-h") && argument[2] != '=';
}

// Of arguments that no option takes: the options among them are what is wrong, and the rest only follows from it.
std::string unexpected(const CLI::App& command, const std::vector<std::string>& arguments) {
  std::vector<std::string> words = command.remaining(), options;
  if (words.empty()) std::copy_if(arguments.begin(), arguments.end(), std::back_inserter(words), is_longer_h);
  std::copy_if(words.begin(), words.end(), std::back_inserter(options),
               [](const std::string& w) { return w.size() > 1 && w[0] == '-'; });
  if (!options.empty()) {
    const std::string word = options[0].substr(0, options[0].find('='));
    if (const auto advice = option_advice(word, arguments); !advice.empty())
      return fmt::format("there is no option {}: {}.", word, advice);
    return fmt::format("there is no option {}.{}", fmt::join(options, ", "), hint(command, options));
  }
  for (std::string& w : words) w = quoted_for_message(w);
  return fmt::format("{} {} not expected.{}", fmt::join(words, ", "), words.size() == 1 ? "was" : "were",
                     takes_a_text(command) ? " A text of several words needs quotes around it." : "");
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

bool asks_for_help(const std::vector<std::string>& arguments) {
  const auto is_help = [](const std::string& a) { return a == "-h" || a == "--help"; };
  return std::none_of(arguments.begin(), arguments.end(), is_longer_h) ||
         std::any_of(arguments.begin(), arguments.end(), is_help);
}

// A misspelt option whose value was then taken for a prompt or a model that is given too: the option is what is wrong.
std::string given_twice(const CLI::App& command, const CLI::ParseError& e, const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    const std::string word = argument.substr(0, argument.find('='));
    if (word.size() > 2 && word.starts_with("--") && command.get_option_no_throw(word) == nullptr)
      return fmt::format("there is no option {}.{}", word, hint(command, {word}));
  }
  return sentence(e) + hint(command, arguments);
}

int report_usage_error(const CLI::App& root, const CLI::ParseError& e, const std::vector<std::string>& arguments) {
  const auto [command, name] = active_command(root);
  const bool extras = e.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  const std::string what = command->get_require_subcommand_min() > 0 ? without_command(root, *command, arguments)
                           : extras                                  ? unexpected(*command, arguments)
                           : e.get_name() == "ArgumentMismatch"      ? given_twice(*command, e, arguments)
                                                                     : sentence(e) + hint(*command, arguments);
  fmt::print(stderr, "{}\n", shown_on(STDERR_FILENO, fmt::format("{}: {} See {} --help", name, what, name)));
  return 2;
}

}  // namespace fathom
