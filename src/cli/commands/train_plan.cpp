#include "cli/commands/train_plan.h"

#include "base/json/json.h"
#include "base/progress.h"
#include "cli/output.h"
#include "model/footprint.h"
#include "train/plan/flops.h"
#include "train/plan/memory_plan.h"
#include "train/plan/preflight.h"

namespace fathom {
namespace {

void print_plan_text(const TrainConfig& c, const Footprint& f, const std::vector<MemoryClass>& memory,
                     const TokenFlops& flops, int64_t steps) {
  fmt::print("parameters {} ({} activated a token)\n", f.parameters, f.activated_parameters);
  for (const MemoryClass& m : memory) fmt::print("{:>12}  {}\n", human_bytes(static_cast<double>(m.bytes)), m.name);
  fmt::print("{:>12}  total\n", human_bytes(static_cast<double>(total_bytes(memory))));
  const bool grows = c.batch.start_sequences != c.batch.sequences;
  fmt::print("{}{} sequences of {} tokens a step, {} in a micro-batch\n",
             grows ? fmt::format("{} to ", c.batch.start_sequences) : "", c.batch.sequences, c.data.sequence_length,
             c.batch.micro_batch);
  fmt::print("{:.4g} FLOP a token, attention included: {:.4g} forward, {:.4g} backward{}\n", flops.total(),
             flops.forward, flops.backward,
             c.run.recompute == Recompute::layers ? " (recomputing layers does the forward part once more)" : "");
  fmt::print("{} a checkpoint, up to {} at the same time\n", human_bytes(static_cast<double>(checkpoint_bytes(c, {}))),
             checkpoints_at_once(c));
  fmt::print("{:.6g} tokens in about {} steps: {:.4g} FLOP\n", c.schedule.tokens, steps,
             c.schedule.tokens * flops.total());
}

void print_plan_json(const TrainConfig& c, const Footprint& f, const std::vector<MemoryClass>& memory,
                     const TokenFlops& flops, int64_t steps) {
  json::array classes;
  for (const MemoryClass& m : memory) classes.push_back(json::object{{"name", m.name}, {"bytes", m.bytes}});
  json::object plan = {
      {"parameters", f.parameters},
      {"activated_parameters", f.activated_parameters},
      {"memory", classes},
      {"memory_bytes", total_bytes(memory)},
      {"sequence_length", c.data.sequence_length},
      {"start_sequences", c.batch.start_sequences},
      {"sequences", c.batch.sequences},
      {"micro_batch", c.batch.micro_batch},
      {"flops_per_token", {{"forward", flops.forward}, {"backward", flops.backward}, {"total", flops.total()}}},
      {"tokens", c.schedule.tokens},
      {"steps", steps},
      {"checkpoint_bytes", checkpoint_bytes(c, {})},
      {"checkpoints_at_once", checkpoints_at_once(c)},
      {"flops", c.schedule.tokens * flops.total()}};
  write_json_line(std::move(plan));
}

}  // namespace

void print_train_plan(const TrainConfig& config, bool as_json) {
  (as_json ? print_plan_json : print_plan_text)(config, footprint(config.model), plan_memory(config),
                                                flops_per_token(config), expected_steps(config));
}

}  // namespace fathom
