// Picks the command and says what went wrong. Exit codes: 0 done; 2 something that the user can mend; 1 a defect of
// fathom.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <new>
#include <vector>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/standard_streams.h"
#include "base/suggest.h"
#include "base/terminal_text.h"
#include "cli/commands.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

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

int report_usage_error(const CLI::App& root, const CLI::ParseError& e, int argc, char** argv) {
  const auto [active, name] = active_command(root);
  const CLI::App& command = *active;
  std::string hint;
  const int code = e.get_exit_code();
  if (code == static_cast<int>(CLI::ExitCodes::ExtrasError) || code == static_cast<int>(CLI::ExitCodes::RequiredError))
    for (int i = 1; i < argc && hint.empty(); ++i) {
      const std::string word = std::string(argv[i]).substr(0, std::string(argv[i]).find('='));
      const bool known =
          (word.starts_with('-') ? command.get_option_no_throw(word) != nullptr : is_command(root, word));
      if (!known && word.size() > 2) hint = suggestion(command, word);
    }
  fmt::print(stderr, "{}\n",
             shown_on(STDERR_FILENO, fmt::format("{}: {}.{} See {} --help", name, e.what(), hint, name)));
  return 2;
}

int run(int argc, char** argv) {
  CLI::App app("fathom runs models of the DeepSeek-V2 family on CPUs.", "fathom");
  app.set_version_flag("--version", "fathom " FATHOM_VERSION);
  app.require_subcommand(1);
  app.footer(
      "Examples:\n  fathom synth --shape tiny --type bf16 --seed 1 tiny.gguf\n  fathom generate -m tiny.gguf -p \"Once "
      "upon a time\"\n"
      "  fathom COMMAND --help");
  for (const auto add : {add_generate, add_chat, add_tokenize, add_detokenize, add_logits, add_perplexity, add_inspect,
                         add_convert, add_quantize, add_synth, add_tokenizer, add_data, add_init, add_train, add_plot,
                         add_bench, add_cache, add_tune})
    add(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    return report_usage_error(app, e, argc, argv);
  }
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  fathom::open_closed_streams();
  fathom::make_stdout_show_controls();
  fathom::handle_end_signals();
  try {
    fathom::kernels();  // a wrong FATHOM_ISA is said here, not in the middle of the work
    return fathom::run(argc, argv);
  } catch (const fathom::Error& e) {
    std::fflush(stdout);
    fmt::print(stderr, "fathom: {}\n", fathom::shown_on(STDERR_FILENO, e.what()));
    return 2;
  } catch (const std::filesystem::filesystem_error& e) {
    std::fflush(stdout);
    fmt::print(stderr, "fathom: {}: {}\n", fathom::shown_on(STDERR_FILENO, e.path1().string()), e.code().message());
    return 2;
  } catch (const std::bad_alloc&) {
    std::fflush(stdout);
    std::fputs(
        "fathom: out of memory; try a smaller model, a smaller --ctx, or raise the limit (ulimit -v, cgroup "
        "memory.max)\n",
        stderr);
    return 2;
  } catch (const std::exception& e) {
    std::fflush(stdout);
    fmt::print(stderr, "fathom: internal error: {}\nThis is a defect of fathom; please report it.\n", e.what());
    return 1;
  }
}
