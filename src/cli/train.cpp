// fathom train: a config and token data in, checkpoints out.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <memory>

#include "base/progress.h"
#include "cli/commands.h"
#include "model/footprint.h"
#include "train/memory_plan.h"
#include "train/run_log.h"
#include "train/trainer.h"

namespace fathom {
namespace {

struct TrainOptions {
  std::string config, output;
  int threads = 0;
  int64_t max_steps = 0;
  bool dry_run = false, quiet = false;
};

// Set by SIGINT and SIGTERM: the step under way is finished, saved, and the program ends.
volatile std::sig_atomic_t stop_requested = 0;
void request_stop(int) { stop_requested = 1; }

std::filesystem::path run_folder(const TrainOptions& o) {
  return o.output.empty() ? std::filesystem::path("runs") / std::filesystem::path(o.config).stem()
                          : std::filesystem::path(o.output);
}

void print_plan(const TrainConfig& c) {
  const Footprint f = footprint(c.model);
  fmt::print("parameters {} ({} activated a token)\n", f.parameters, f.activated_parameters);
  const auto classes = plan_memory(c);
  for (const MemoryClass& m : classes) fmt::print("{:>12}  {}\n", human_bytes(static_cast<double>(m.bytes)), m.name);
  fmt::print("{:>12}  total\n", human_bytes(static_cast<double>(total_bytes(classes))));
  fmt::print("{} to {} sequences of {} tokens a step, {} in a micro-batch\n", c.batch.start_sequences,
             c.batch.sequences, c.data.sequence_length, c.batch.micro_batch);
}

// The largest share of any expert times their number: 1 is perfect balance.
double max_over_mean(const std::vector<double>& load) {
  return *std::max_element(load.begin(), load.end()) * static_cast<double>(load.size());
}

MetricsRecord record_of(const StepResult& r, double tokens_per_second, double gflops) {
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
               {"tokens_per_second", tokens_per_second},
               {"gflops", gflops}};
  for (size_t l = 0; l < r.expert_load.size(); ++l) {
    m.scalars.emplace_back(fmt::format("load/layer_{}_max_over_mean", l), max_over_mean(r.expert_load[l]));
    m.scalars.emplace_back(fmt::format("load/layer_{}_dead_experts", l),
                           static_cast<double>(std::count(r.expert_load[l].begin(), r.expert_load[l].end(), 0.0)));
    m.arrays.emplace_back(fmt::format("load/layer_{}", l), r.expert_load[l]);
  }
  return m;
}

void print_step(const StepResult& r, const TrainConfig& c, double tokens_per_second, double gflops) {
  double worst = 0;
  int64_t dead = 0;
  for (const auto& load : r.expert_load) {
    worst = std::max(worst, max_over_mean(load));
    dead += std::count(load.begin(), load.end(), 0.0);
  }
  const double left = (c.schedule.tokens - r.tokens) / std::max(1.0, tokens_per_second);
  fmt::print(stderr,
             "step {:>6}  tokens {:>10.0f}  loss {:.4f}  balance {:.5f}  |g| {:.3f}  lr {:.3e}  {:.0f} tokens/s  "
             "{:.0f} GFLOP/s",
             r.step, r.tokens, r.loss, r.balance.total(), r.gradient_norm, r.learning_rate, tokens_per_second, gflops);
  if (!r.expert_load.empty())
    fmt::print(stderr, "  load {:.2f}x{}", worst, dead > 0 ? fmt::format(" ({} dead)", dead) : "");
  fmt::print(stderr, "  {} left{}\n", human_seconds(std::max(0.0, left)), r.skipped ? "  SKIPPED: not finite" : "");
}

HeldOutResult evaluate_and_log(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, RunLog& log) {
  const HeldOutResult h = trainer.evaluate_held_out(c.run.eval_sequences);
  log.write({.step = trainer.state().step,
             .tokens = static_cast<double>(trainer.state().tokens),
             .scalars = {{"held_out/loss", h.loss}, {"held_out/bits_per_byte", h.bits_per_byte}},
             .arrays = {}});
  if (!o.quiet)
    fmt::print(stderr, "step {:>6}  held out: loss {:.4f}  {:.4f} bits per byte  ({} targets)\n", trainer.state().step,
               h.loss, h.bits_per_byte, h.targets);
  return h;
}

void save(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const std::filesystem::path& run) {
  trainer.save(run);
  prune_checkpoints(run, c.run.keep_checkpoints);
  if (!o.quiet) fmt::print(stderr, "step {:>6}  saved\n", trainer.state().step);
}

bool due(int64_t interval, int64_t step) { return interval > 0 && step % interval == 0; }

void train_loop(Trainer& trainer, const TrainConfig& c, const TrainOptions& o, const std::filesystem::path& run) {
  RunLog log(run, trainer.state().step > 0 ? trainer.state().step : -1);
  const int64_t last_step = o.max_steps > 0 ? trainer.state().step + o.max_steps : INT64_MAX;
  int64_t saved_at = trainer.state().step > 0 ? trainer.state().step : -1, evaluated_at = -1;
  while (!trainer.finished() && trainer.state().step < last_step && stop_requested == 0) {
    const StepResult r = trainer.step();
    const double tokens_per_second = static_cast<double>(r.step_tokens) / r.seconds,
                 gflops = tokens_per_second * trainer.flops_per_token() * 1e-9;
    if (due(c.run.log_interval, r.step) || r.step == 1 || r.skipped) {
      log.write(record_of(r, tokens_per_second, gflops));
      if (!o.quiet) print_step(r, c, tokens_per_second, gflops);
    }
    if (due(c.run.eval_interval, r.step)) {
      evaluate_and_log(trainer, c, o, log);
      evaluated_at = r.step;
    }
    if (due(c.run.save_interval, r.step)) {
      save(trainer, c, o, run);
      saved_at = r.step;
    }
  }
  const int64_t step = trainer.state().step;
  if (step != evaluated_at && stop_requested == 0) evaluate_and_log(trainer, c, o, log);
  if (step != saved_at) save(trainer, c, o, run);
  if (!o.quiet)
    fmt::print(stderr, "{} at step {} after {} tokens; peak memory {}; weights in {}\n",
               trainer.finished() ? "finished" : "stopped", step, trainer.state().tokens,
               human_bytes(static_cast<double>(peak_memory_bytes())), newest_checkpoint(run).value_or(run).string());
}

void run_train(const TrainOptions& o) {
  const TrainConfig c = read_train_config(o.config);
  if (o.dry_run) return print_plan(c);
  const std::filesystem::path run = run_folder(o);
  std::error_code error;
  std::filesystem::create_directories(run, error);
  if (error) throw_bad_input("{}: cannot be made: {}", run.string(), error.message());
  const auto data = TokenDataset::open(c.data.path);
  Trainer trainer(c, data, o.threads);
  if (const auto checkpoint = newest_checkpoint(run)) {
    trainer.resume(*checkpoint);
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
  command.add_flag("--dry-run", o->dry_run, "print memory and work, and do nothing");
  command.add_flag("-q,--quiet", o->quiet, "no progress on stderr; metrics.jsonl is written all the same");
  command.footer(
      "Ctrl-C and SIGTERM finish the step, save, and end; the same command resumes.\n"
      "Examples:\n  fathom train configs/tiny.toml\n  fathom train configs/tiny.toml -o runs/second --steps 100\n  "
      "fathom train configs/v2-lite.toml --dry-run\n"
      "  fathom generate -m runs/tiny/step-00000300 -p \"Once\"");
  command.callback([=] { run_train(*o); });
}

}  // namespace fathom
