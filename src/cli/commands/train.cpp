// fathom train: a config and token data in, checkpoints out.
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file/file.h"
#include "base/interrupt.h"
#include "base/progress.h"
#include "base/trace.h"
#include "cli/commands.h"
#include "cli/commands/train_plan.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/values.h"
#include "model/footprint.h"
#include "train/config/config_table.h"
#include "train/plan/flops.h"
#include "train/plan/memory_plan.h"
#include "train/plan/preflight.h"
#include "train/run/run_lock.h"
#include "train/run/run_log.h"
#include "train/run/step_report.h"
#include "train/trainer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

struct TrainOptions {
  std::string config, output, trace;
  int threads = 0;
  int64_t max_steps = 0;
  bool dry_run = false, json = false, quiet = false, keys = false;
};

// A line on stderr, where one can be written: a full disk or a reader that is gone must not end a run.
template <class... Args>
void say(const TrainOptions& o, fmt::format_string<Args...> format, Args&&... args) {
  if (!o.quiet) std::fputs(fmt::format(format, std::forward<Args>(args)...).c_str(), stderr);
}

fs::path run_folder(const TrainOptions& o) {
  if (!o.output.empty()) return o.output;
  if (o.config == "-" || is_stream(o.config))
    throw_bad_input("{}: a config from a pipe has no name that the run could take; give -o DIR", o.config);
  return fs::path("runs") / fs::path(o.config).stem();
}

void evaluate_and_log(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, RunLog& log) {
  const HeldOutResult h = trainer.evaluate_held_out(c.run.eval_sequences);
  log.write({.step = trainer.state().step,
             .tokens = static_cast<double>(trainer.state().tokens),
             .scalars = {{"held_out/loss", h.loss}, {"held_out/bits_per_byte", h.bits_per_byte}},
             .arrays = {}});
  say(o, "step {:>6}  held out: loss {:.4f}  {:.4f} bits per byte  ({} targets)\n", trainer.state().step, h.loss,
      h.bits_per_byte, h.targets);
}

void save(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const fs::path& run) {
  try {
    trainer.save(run);
  } catch (const Error& e) {
    const auto before = newest_checkpoint(run);
    throw Error(e.kind(), fmt::format("{}; step {} could not be saved, {}. When that is mended, the same "
                                      "command goes on from there",
                                      e.what(), trainer.state().step,
                                      before ? before->string() + " is whole" : "no step was before"));
  }
  say(o, "step {:>6}  saved\n", trainer.state().step);
  try {
    prune_checkpoints(run, c.run.keep_checkpoints);
  } catch (const fs::filesystem_error& e) {
    say(o, "fathom: {}: an old checkpoint could not be removed: {}; training goes on\n", e.path1().string(),
        e.code().message());
  }
}

bool due(int64_t interval, int64_t step) { return interval > 0 && step % interval == 0; }

void train_loop(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const fs::path& run, bool evaluates,
                const StopRequest& stop) {
  RunLog log(run, trainer.state().step > 0 ? trainer.state().step : -1);
  const double flops = flops_per_token(c).total(), peak = trainer.peak_flops();
  const int64_t first_step = trainer.state().step, max_steps = o.max_steps > 0 ? o.max_steps : INT64_MAX;
  int64_t saved_at = trainer.state().step;
  Pace pace;
  while (!trainer.finished() && trainer.state().step - first_step < max_steps && stop.count() == 0) {
    const StepResult r = trainer.step();
    pace.add(r);
    if (due(c.run.log_interval, r.step) || r.step == 1 || r.skipped) {
      const StepSpeed speed = speed_of(r, flops, peak);
      log.write(record_of(r, speed));
      const double until_stop =
          static_cast<double>(max_steps - (r.step - first_step)) * static_cast<double>(r.step_tokens);
      say(o, "{}", step_text(r, speed, pace.seconds_for(std::min(c.schedule.tokens - r.tokens, until_stop))));
    }
    // What a checkpoint's step reports is written before it: a run that resumes there need not say it again.
    const bool last = trainer.finished() || r.step - first_step == max_steps;
    if (evaluates && (due(c.run.eval_interval, r.step) || last)) evaluate_and_log(trainer, c, o, log);
    if (due(c.run.save_interval, r.step) || last) {
      save(trainer, c, o, run);
      saved_at = r.step;
    }
  }
  const int64_t step = trainer.state().step;
  if (step != saved_at) save(trainer, c, o, run);
  const auto saved = newest_checkpoint(run);
  say(o, "{} at step {} after {} tokens; peak memory {}; {}\n", trainer.finished() ? "finished" : "stopped", step,
      trainer.state().tokens, human_bytes(static_cast<double>(peak_memory_bytes())),
      saved ? "weights in " + saved->string() : "nothing was saved");
}

// Quiet or not: it may be a mistake.
void print_notes(const RunCheck& check) {
  for (const std::string& note : check.notes) std::fputs(fmt::format("note: {}\n", note).c_str(), stderr);
}

// What the run goes on from, and what is as the config says but perhaps not as it is meant.
void print_beginning(const TrainConfig& c, const TrainOptions& o, const TokenDataset& data, const RunCheck& check) {
  if (check.checkpoint) say(o, "resuming from {}\n", check.checkpoint->string());
  print_notes(check);
  const Footprint f = footprint(c.model);
  say(o, "{} parameters, {} activated; {} train tokens in {}; about {} of memory\n", f.parameters,
      f.activated_parameters, data.n_tokens(Split::train), c.data.path,
      human_bytes(static_cast<double>(total_bytes(plan_memory(c)))));
}

// Where the data are, all that a run would be refused for is refused here; where they are not, this is a plan for
// another machine.
void dry_run(const TrainConfig& c, const TrainOptions& o) {
  std::error_code ignored;
  RunCheck check;
  if (fs::exists(c.data.path, ignored))
    check = check_run(c, TokenDataset::open(c.data.path, VerifyContent::no), run_folder(o));
  else
    check.notes.push_back(c.data.path + ": is not there yet; what depends on the data was not checked");
  print_train_plan(c, o.json);
  print_notes(check);
}

// That a trace is nothing the run reads, and nothing that it writes. Its checkpoints, and what TensorBoard reads, are
// in folders of its own.
void check_trace(const fs::path& trace, const TrainOptions& o, const TrainConfig& c, const fs::path& run) {
  check_output(trace, {o.config, c.data.path, c.run.continue_from}, {run / "metrics.jsonl", run / "lock"});
  for (const fs::directory_entry& entry : fs::directory_iterator(run))
    if (entry.is_directory()) check_output(trace, {entry.path()});
}

void run_train(const TrainOptions& o) {
  if (o.keys) return fmt::print("{}", config_table());
  if (o.config.empty()) throw CLI::RequiredError("CONFIG");
  if (std::error_code ignored; fs::is_directory(o.config, ignored))
    throw_bad_input("{}: is a folder; a config is needed, which `fathom init DATA` writes for a folder of token data",
                    o.config);
  const TrainConfig c = read_train_config(o.config);
  if (o.dry_run) return dry_run(c, o);
  const fs::path trace_file = trace_path(o.trace);
  const fs::path run = run_folder(o);
  std::error_code error;
  fs::create_directories(run, error);
  if (error) throw_bad_input("{}: cannot be made: {}", run.string(), error.message());
  const RunLock lock(run);
  TraceFile trace(trace_file);  // may stand in the folder
  const auto data = TokenDataset::open(c.data.path);
  const RunCheck check = check_run(c, data, run);
  if (!o.trace.empty()) check_trace(trace_file, o, c, run);
  if (check.finished) {
    prune_checkpoints(run, c.run.keep_checkpoints);
    return say(o, "{}: this run is finished: {} steps, {} of {:.0f} tokens; nothing to do. Weights in {}\n",
               run.string(), check.state.step, check.state.tokens, c.schedule.tokens, check.checkpoint->string());
  }
  const StopRequest stop;
  std::signal(SIGPIPE, SIG_IGN);  // a reader of stderr that is gone is no reason to end
  print_beginning(c, o, *data, check);
  ThreadPool pool(o.threads);
  Trainer trainer(c, data, pool, check.checkpoint);
  train_loop(trainer, c, o, run, check.evaluates, stop);
  if (stop.count() > 0 && !trainer.finished()) {
    trace.finish_or_say();
    end_by(stop.signal());
  }
  trace.finish();
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("train", "pretrain a model");
  const auto o = std::make_shared<TrainOptions>();
  command
      .add_option(
          "config", o->config,
          "TOML file: model, data, batch, optimizer, schedule, balance, run; `fathom init` writes one; - for stdin")
      ->type_name("CONFIG");
  command
      .add_option("-o,--output", o->output,
                  "folder of the run; default: runs/NAME of the config. A run that is there is resumed")
      ->type_name("DIR");
  command.add_option("-t,--threads", o->threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->transform(whole_number(1, kMostThreads));
  command
      .add_option("--steps", o->max_steps,
                  "stop (and save) after this many updates of this process, those before a resume not counted; 0: at "
                  "the end of the schedule")
      ->type_name("N")
      ->transform(whole_number(0));
  CLI::Option* dry_run =
      command.add_flag("--dry-run", o->dry_run, "check all that can be known, print memory and work, and do nothing");
  command.add_flag("--json", o->json, "with --dry-run: as JSON")->needs(dry_run);
  CLI::Option* keys =
      command.add_flag("--keys", o->keys, "print every key of a config, as the Markdown of docs/config.md");
  add_trace_option(command, o->trace)->excludes(dry_run)->excludes(keys);
  command.add_flag("-q,--quiet", o->quiet, "no progress on stderr; metrics.jsonl is written all the same");
  command.footer(
      "Ctrl-C, SIGTERM and SIGHUP finish the step, save, and end (exit code 128 + signal); the same command resumes.\n"
      "Examples:\n  fathom train configs/tiny.toml\n  fathom train configs/tiny.toml -o runs/second --steps 100\n  "
      "fathom train configs/v2-lite.toml --dry-run\n"
      "  fathom train configs/tiny.toml -o runs/traced --steps 3 --trace trace.json\n"
      "  fathom generate -m runs/tiny/step-00000300 -p \"Once\"");
  command.callback([=] { run_train(*o); });
}

}  // namespace fathom
