// Picks the command and says what went wrong. Exit codes: 0 done; 2 something that the user can mend; 1 a defect of
// fathom.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <new>
#include <system_error>

#include "base/error.h"
#include "base/interrupt.h"
#include "base/standard_streams.h"
#include "base/text/terminal_text.h"
#include "cli/commands.h"
#include "cli/output.h"
#include "cli/stderr.h"
#include "cli/usage.h"
#include "cli/values.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

void add_commands(CLI::App& app) {
  app.set_version_flag("-v,-V,--version", "fathom " FATHOM_VERSION);
  app.require_subcommand(1);
  for (const auto add :
       {add_generate,   add_chat,    add_serve,   add_pull,     add_models, add_tokenize,  add_detokenize, add_logits,
        add_perplexity, add_inspect, add_convert, add_quantize, add_synth,  add_tokenizer, add_data,       add_init,
        add_train,      add_plot,    add_bench,   add_claims,   add_cache,  add_tune,      add_completion, add_manual})
    add(app);
  // After them: commands take over the footer that is there.
  app.footer(
      "Examples:\n  fathom synth --shape tiny --type bf16 --seed 1 tiny.gguf\n  fathom generate -m tiny.gguf -p \"Once "
      "upon a time\"\n"
      "  fathom COMMAND --help");
  app.get_subcommand("inspect")->alias("show");  // as Ollama has it
  refuse_empty_values(app);
}

int run(int argc, char** argv) {
  CLI::App app("fathom runs models of the DeepSeek-V2 family on CPUs.", "fathom");
  add_commands(app);
  const std::vector<std::string> arguments = read_arguments(argc, argv);
  int code = 0;
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp& e) {
    if (!asks_for_help(arguments)) return report_usage_error(app, CLI::ExtrasError({}), arguments);
    code = app.exit(e);
  } catch (const CLI::CallForVersion& e) {
    code = app.exit(e);
  } catch (const CLI::ParseError& e) {
    return report_usage_error(app, e, arguments);
  }
  flush_stdout();
  return code;
}

}  // namespace
}  // namespace fathom

int main(int argc, char** argv) {
  const auto report = [](const std::string& sentence) {
    std::fflush(stdout);
    std::fputs(("fathom: " + fathom::shown_on(STDERR_FILENO, sentence) + "\n").c_str(), stderr);
  };
  fathom::open_closed_streams();
  fathom::make_stdout_show_controls();
  fathom::make_stderr_forgiving();
  fathom::handle_end_signals();
  try {
    fathom::kernels();  // a wrong FATHOM_ISA is said here, not in the middle of the work
    return fathom::run(argc, argv);
  } catch (const fathom::Error& e) {
    report(e.what());
    return 2;
  } catch (const std::filesystem::filesystem_error& e) {
    report(fmt::format("{}{}", e.path1().empty() ? "" : e.path1().string() + ": ", e.code().message()));
    return 2;
  } catch (const std::bad_alloc&) {
    report(
        "out of memory; try a smaller model, --ctx, batch or input, or raise the limit (ulimit -v, cgroup memory.max)");
    return 2;
  } catch (const std::system_error& e) {  // fmt::print to a full disk
    const bool on_stdout = std::ferror(stdout) != 0;
    report(fmt::format("{}: {}", on_stdout ? "stdout: cannot be written" : "internal error", e.code().message()));
    return on_stdout ? 2 : 1;
  } catch (const std::exception& e) {
    report(fmt::format("internal error: {}\nThis is a defect of fathom; please report it.", e.what()));
    return 1;
  }
}
