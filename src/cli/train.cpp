// fathom train: a config and token data in, checkpoints out.
#include <algorithm>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <memory>

#include "base/progress.h"
#include "cli/commands.h"
#include "cli/train_plan.h"
#include "model/footprint.h"
#include "train/flops.h"
#include "train/memory_plan.h"
#include "train/run_lock.h"
#include "train/run_log.h"
#include "train/trainer.h"

namespace fathom {
namespace {

struct TrainOptions {
  std::string config, output;
  int threads = 0;
  int64_t max_steps = 0;
  bool dry_run = false, json = false, quiet = false;
};

// Set by SIGINT and SIGTERM: the step under way is finished, saved, and the program ends.
volatile std::sig_atomic_t stop_requested = 0;
void request_stop(int) { stop_requested = 1; }

std::filesystem::path run_folder(const TrainOptions& o) {
  return o.output.empty() ? std::filesystem::path("runs") / std::filesystem::path(o.config).stem()
                          : std::filesystem::path(o.output);
}

// Rates of one step, and what they are of this machine's peak.
struct Speed {
  double tokens_per_second = 0, flops_per_second = 0;
  double percent_of_peak = NAN;  // not known for the reference kernels
};

// The largest share of any expert times their number: 1 is perfect balance.
double max_over_mean(const std::vector<double>& load) {
  return *std::max_element(load.begin(), load.end()) * static_cast<double>(load.size());
}

MetricsRecord record_of(const StepResult& r, const Speed& speed) {
  MetricsRecord m{.step = r.step, .tokens = r.tokens, .scalars = {}, .arrays = {}};
  m.scalars = {{"loss", r.loss},
               {"balance/expert", r.balance.expert},
               {"balance/device", r.balance.device},
               {"balance/communication", r.balance.communication},
               {"gradient_norm", r.gradient_norm},
               {"learning_rate", r.learning_rate},
               {"sequences", static_cast<double>(r.sequences)},
               {"dropped_pairs", static_cast<double>(r.n_dropped)},
               {"skipped", r.skipped ? 1.0 : 0.0},
               {"tokens_per_second", speed.tokens_per_second},
               {"gflops", speed.flops_per_second * 1e-9},
               {"percent_of_peak", speed.percent_of_peak}};
  for (size_t l = 0; l < r.expert_load.size(); ++l) {
    m.scalars.emplace_back(fmt::format("load/layer_{}_max_over_mean", l), max_over_mean(r.expert_load[l]));
    m.scalars.emplace_back(fmt::format("load/layer_{}_dead_experts", l),
                           static_cast<double>(std::count(r.expert_load[l].begin(), r.expert_load[l].end(), 0.0)));
    m.arrays.emplace_back(fmt::format("load/layer_{}", l), r.expert_load[l]);
  }
  return m;
}

void print_step(const StepResult& r, const TrainConfig& c, const Speed& speed) {
  double worst = 0;
  int64_t dead = 0;
  for (const auto& load : r.expert_load) {
    worst = std::max(worst, max_over_mean(load));
    dead += std::count(load.begin(), load.end(), 0.0);
  }
  const double left = (c.schedule.tokens - r.tokens) / std::max(1.0, speed.tokens_per_second);
  fmt::print(stderr,
             "step {:>6}  tokens {:>10.0f}  loss {:.4f}  balance {:.5f}  |g| {:.3f}  lr {:.3e}  {:.0f} tokens/s  "
             "{:.0f} GFLOP/s",
             r.step, r.tokens, r.loss, r.balance.total(), r.gradient_norm, r.learning_rate, speed.tokens_per_second,
             speed.flops_per_second * 1e-9);
  if (std::isfinite(speed.percent_of_peak)) fmt::print(stderr, " ({:.1f} % of peak)", speed.percent_of_peak);
  if (!r.expert_load.empty())
    fmt::print(stderr, "  load {:.2f}x{}", worst, dead > 0 ? fmt::format(" ({} dead)", dead) : "");
  fmt::print(stderr, "  {} left{}\n", human_seconds(std::max(0.0, left)), r.skipped ? "  SKIPPED: not finite" : "");
}

void evaluate_and_log(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, RunLog& log) {
  const HeldOutResult h = trainer.evaluate_held_out(c.run.eval_sequences);
  log.write({.step = trainer.state().step,
             .tokens = static_cast<double>(trainer.state().tokens),
             .scalars = {{"held_out/loss", h.loss}, {"held_out/bits_per_byte", h.bits_per_byte}},
             .arrays = {}});
  if (!o.quiet)
    fmt::print(stderr, "step {:>6}  held out: loss {:.4f}  {:.4f} bits per byte  ({} targets)\n", trainer.state().step,
               h.loss, h.bits_per_byte, h.targets);
}

void save(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const std::filesystem::path& run) {
  try {
    trainer.save(run);
  } catch (const Error& e) {
    const auto before = newest_checkpoint(run);
    throw Error(e.kind(), fmt::format("{}; step {} could not be saved, {}. When that is mended, the same "
                                      "command goes on from there",
                                      e.what(), trainer.state().step,
                                      before ? before->string() + " is whole" : "no step was before"));
  }
  prune_checkpoints(run, c.run.keep_checkpoints);
  if (!o.quiet) fmt::print(stderr, "step {:>6}  saved\n", trainer.state().step);
}

bool due(int64_t interval, int64_t step) { return interval > 0 && step % interval == 0; }

Speed speed_of(const StepResult& r, double flops_per_token, double peak) {
  Speed s;
  s.tokens_per_second = static_cast<double>(r.step_tokens) / r.seconds;
  s.flops_per_second = s.tokens_per_second * flops_per_token;
  if (peak > 0) s.percent_of_peak = 100 * s.flops_per_second / peak;
  return s;
}

void train_loop(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const std::filesystem::path& run) {
  RunLog log(run, trainer.state().step > 0 ? trainer.state().step : -1);
  const double flops = flops_per_token(c).total(), peak = trainer.peak_flops();
  const int64_t first_step = trainer.state().step, max_steps = o.max_steps > 0 ? o.max_steps : INT64_MAX;
  int64_t saved_at = trainer.state().step;
  while (!trainer.finished() && trainer.state().step - first_step < max_steps && stop_requested == 0) {
    const StepResult r = trainer.step();
    if (due(c.run.log_interval, r.step) || r.step == 1 || r.skipped) {
      const Speed speed = speed_of(r, flops, peak);
      log.write(record_of(r, speed));
      if (!o.quiet) print_step(r, c, speed);
    }
    // What a checkpoint's step reports is written before it: a run that resumes there need not say it again.
    const bool last = trainer.finished() || r.step - first_step == max_steps;
    if (due(c.run.eval_interval, r.step) || last) evaluate_and_log(trainer, c, o, log);
    if (due(c.run.save_interval, r.step) || last) {
      save(trainer, c, o, run);
      saved_at = r.step;
    }
  }
  const int64_t step = trainer.state().step;
  if (step != saved_at) save(trainer, c, o, run);
  if (!o.quiet)
    fmt::print(stderr, "{} at step {} after {} tokens; peak memory {}; weights in {}\n",
               trainer.finished() ? "finished" : "stopped", step, trainer.state().tokens,
               human_bytes(static_cast<double>(peak_memory_bytes())), newest_checkpoint(run).value_or(run).string());
}

void run_train(const TrainOptions& o) {
  const TrainConfig c = read_train_config(o.config);
  if (o.dry_run) return print_train_plan(c, o.json);
  const std::filesystem::path run = run_folder(o);
  std::error_code error;
  std::filesystem::create_directories(run, error);
  if (error) throw_bad_input("{}: cannot be made: {}", run.string(), error.message());
  const RunLock lock(run);
  const auto data = TokenDataset::open(c.data.path);
  Trainer trainer(c, data, o.threads);
  if (const auto checkpoint = newest_checkpoint(run)) {
    trainer.resume(*checkpoint);
    if (trainer.finished()) {
      prune_checkpoints(run, c.run.keep_checkpoints);
      if (!o.quiet)
        fmt::print(stderr, "{}: this run is finished: {} steps, {} of {:.0f} tokens; nothing to do. Weights in {}\n",
                   run.string(), trainer.state().step, trainer.state().tokens, c.schedule.tokens, checkpoint->string());
      return;
    }
    if (!o.quiet) fmt::print(stderr, "resuming from {}\n", checkpoint->string());
  }
  if (!o.quiet) {
    const Footprint f = footprint(c.model);
    fmt::print(stderr, "{} parameters, {} activated; {} train tokens in {}; about {} of memory\n", f.parameters,
               f.activated_parameters, data->n_tokens(Split::train), c.data.path,
               human_bytes(static_cast<double>(total_bytes(plan_memory(c)))));
  }
  std::signal(SIGINT, request_stop);
  std::signal(SIGTERM, request_stop);
  train_loop(trainer, c, o, run);
}

}  // namespace

void add_train(CLI::App& app) {
  CLI::App& command = *app.add_subcommand("train", "pretrain a model");
  const auto o = std::make_shared<TrainOptions>();
  command.add_option("config", o->config, "TOML file: model, data, batch, optimizer, schedule, balance, run")
      ->required()
      ->type_name("CONFIG");
  command
      .add_option("-o,--output", o->output,
                  "folder of the run; default: runs/NAME of the config. A run that is there is resumed")
      ->type_name("DIR");
  command.add_option("-t,--threads", o->threads, "threads; default: the CPUs of this process")
      ->type_name("N")
      ->check(CLI::Range(1, 1024));
  command.add_option("--steps", o->max_steps, "stop (and save) after this many updates; 0: at the end of the schedule")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  CLI::Option* dry_run = command.add_flag("--dry-run", o->dry_run, "print memory and work, and do nothing");
  command.add_flag("--json", o->json, "with --dry-run: as JSON")->needs(dry_run);
  command.add_flag("-q,--quiet", o->quiet, "no progress on stderr; metrics.jsonl is written all the same");
  command.footer(
      "Ctrl-C and SIGTERM finish the step, save, and end; the same command resumes.\n"
      "Examples:\n  fathom train configs/tiny.toml\n  fathom train configs/tiny.toml -o runs/second --steps 100\n  "
      "fathom train configs/v2-lite.toml --dry-run\n"
      "  fathom generate -m runs/tiny/step-00000300 -p \"Once\"");
  command.callback([=] { run_train(*o); });
}

}  // namespace fathom
