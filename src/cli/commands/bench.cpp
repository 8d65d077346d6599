// fathom bench: how fast, and how near to what the machine allows.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/trace.h"
#include "cli/commands.h"
#include "cli/open_model.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "data/text/text_stream.h"
#include "kernels/dispatch.h"
#include "measure/bench.h"
#include "measure/speed_figure.h"
#include "plot/figure.h"

namespace fathom {
namespace {

struct BenchCommand {
  ModelOptions model;
  std::string threads, prompts = "512", depths = "0,4096,8192", batches = "1,8,32";
  std::vector<std::string> works, plot_from;
  int64_t steps = 32;
  int repetitions = 0, rounds = 3;
  std::string fill = "random", against, peer, plot, trace;
  bool json = false, explain = false, no_limits = false, depths_given = false;
};

std::vector<int> thread_list(const std::string& text) {
  std::vector<int> threads;
  if (text.empty()) return threads;
  for (const int64_t n : parse_numbers(text, "--threads", 1)) {
    if (n > 1024) throw_bad_input("--threads {}: at most 1024", n);
    threads.push_back(static_cast<int>(n));
  }
  return threads;
}

std::vector<Work> work_list(const BenchCommand& o, const ModelConfig& config) {
  std::vector<Work> works;
  for (const std::string& text : o.works) works.push_back(parse_work(text));
  if (!works.empty()) return works;
  const WorkLists lists{.prompts = parse_numbers(o.prompts, "--prompt", 1),
                        .depths = parse_numbers(o.depths, "--depth", 0),
                        .batches = parse_numbers(o.batches, "--batch", 1),
                        .steps = o.steps};
  return default_works(config, lists, o.depths_given);
}

void draw(const BenchCommand& o, const BenchReport* own) {
  std::vector<NamedReport> reports;
  if (own != nullptr) reports.push_back({"fathom", *own});
  for (const std::string& path : o.plot_from)
    reports.push_back({o.plot_from.size() == 1 ? "fathom" : std::filesystem::path(path).stem().string(),
                       report_from_json(parse_json(read_text(path), path), path)});
  write_plot(o.plot, speed_figure(reports));
}

// The works of a model, and that no output of the run is one of its files.
std::vector<Work> checked_works(const BenchCommand& o, const std::filesystem::path& trace) {
  const Model model = open_model(o.model.path);
  const std::filesystem::path plot = file_output(o.plot);
  check_output(plot, {model.path});
  check_output(trace, {model.path}, {plot});
  return work_list(o, model.config);
}

void run_bench_command(const BenchCommand& o) {
  const std::vector<std::filesystem::path> inputs(o.plot_from.begin(), o.plot_from.end());
  if (!o.plot_from.empty()) {  // stdout is free for the drawing
    check_writable(file_output(o.plot), inputs);
    return draw(o, nullptr);
  }
  check_plot(o.plot, inputs);
  TraceFile trace(trace_path(o.trace));
  BenchOptions bench;
  bench.model = o.model.path;
  bench.engine = engine_options(o.model);
  bench.numa = numa();
  bench.threads = thread_list(o.threads);
  bench.measure = {
      .repetitions = o.repetitions, .fill = o.fill == "random" ? Fill::random : Fill::prefill, .profile = o.explain};
  bench.limits = !o.no_limits;
  bench.quiet = o.model.quiet;
  bench.works = checked_works(o, trace.path());
  BenchReport report;
  if (o.against.empty()) {
    report = run_bench(bench);
  } else {
    const Peer peer(o.peer);
    report = run_against(bench, peer, o.rounds, std::filesystem::read_symlink("/proc/self/exe"));
  }
  std::fputs(o.json ? to_pretty_json(to_json(report)).c_str() : to_table(report).c_str(), stdout);
  if (o.explain && !o.json)
    for (const std::string& line : report.explanation)
      fmt::print("{}{}\n", &line == report.explanation.data() ? "\n" : "", line);
  if (!o.plot.empty()) draw(o, &report);
  trace.finish();
}

void add_work_options(CLI::App& command, BenchCommand& o) {
  command.add_option("--prompt", o.prompts, "prompt sizes")->type_name("N,N..")->capture_default_str();
  command.add_option("--depth", o.depths, "tokens already in the cache; default: those of 0,4096,8192 that fit")
      ->type_name("N,N..");
  command.add_option("--batch", o.batches, "sequences of a decode, at the first depth")
      ->type_name("N,N..")
      ->capture_default_str();
  command.add_option("-n,--steps", o.steps, "tokens of each sequence of a decode")
      ->type_name("N")
      ->transform(whole_number(1, 1 << 20))
      ->capture_default_str();
  command
      .add_option("--work", o.works,
                  "one work instead of these lists, several times if wanted: prefill:TOKENS:DEPTH or "
                  "decode:STEPS:DEPTH:SEQUENCES")
      ->type_name("WORK")
      ->allow_extra_args(false);
  command
      .add_option("--fill", o.fill,
                  "what a depth is made of: random numbers written into the cache (of a peer: copies of its first 512 "
                  "tokens), which are as fast to attend to as any, or tokens that are really run")
      ->transform(one_of({"random", "prefill"}))
      ->capture_default_str();
  command.add_option("--repetitions", o.repetitions, "runs of each work; default: up to 5, as many as fit in 4 s")
      ->type_name("R")
      ->transform(whole_number(1, 1000));
}

}  // namespace

void add_bench(CLI::App& app) {
  CLI::App& command =
      *app.add_subcommand("bench", "measure speed, against this machine's limits and against llama.cpp");
  const auto o = std::make_shared<BenchCommand>();
  add_model_options(command, o->model, "-m,--model,model");
  command.remove_option(command.get_option("--threads"));
  command.remove_option(command.get_option("--ctx"));
  command.add_option("-t,--threads", o->threads, "numbers of threads, one after the other; default: all CPUs")
      ->type_name("N,N..");
  add_work_options(command, *o);
  auto* against =
      command.add_option("--against", o->against, "also run this peer on the same file, in turns: llama.cpp")
          ->transform(one_of({"llama.cpp"}));
  command.add_option("--peer", o->peer, "where `npm install node-llama-cpp` was run; default: $FATHOM_PEER, or here")
      ->type_name("DIR")
      ->needs(against);
  command.add_option("--rounds", o->rounds, "turns of each engine")
      ->type_name("N")
      ->transform(whole_number(1, 100))
      ->needs(against)
      ->capture_default_str();
  command.add_flag("--no-limits", o->no_limits, "do not measure this machine's bandwidth and peak");
  command.add_flag("--explain", o->explain, "also say where the time goes, what was chosen, and why");
  command.add_flag("--json", o->json, "one JSON object instead of a table");
  auto* plot =
      command.add_option("--plot", o->plot, "also draw tokens/s against depth and batch")->type_name("FILE.svg");
  auto* plot_from =
      command.add_option("--plot-from", o->plot_from, "measure nothing; draw what earlier runs wrote with --json")
          ->type_name("FILE.json")
          ->needs(plot);
  add_trace_option(command, o->trace)->excludes(against)->excludes(plot_from);
  command.footer(
      "Examples:\n  fathom bench\n  fathom bench -m model.gguf --prompt 512,2048 --depth 0,8192 --batch 1,8 --threads "
      "1,2 --explain\n  fathom bench -m model.gguf --against llama.cpp --peer ~/peers --json > speed.json\n"
      "  fathom bench --plot speed.svg --plot-from speed.json\n\n"
      "FATHOM_ISA=" +
      isa_names("|") +
      " forces an instruction set; FATHOM_NUMA=auto|off|N: memory nodes as "
      "the system has them, one, or N pretended; FATHOM_TUNE=off|large|always: see `fathom tune --help`.");
  add_bench_serve(command);
  command.callback([o, &command] {
    if (!command.get_subcommands().empty()) return;  // which measures something else
    o->depths_given = command.get_option("--depth")->count() > 0;
    run_bench_command(*o);
  });
}

}  // namespace fathom
