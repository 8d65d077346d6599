// Every key of a training config, listed once: the reader (config_reader.h), the table of docs/config.md
// (config_table.h) and what a resumed run compares (resume_check.h) all walk this list. The keys of [model] are those
// of a config.json, which config/config.h reads; model_keys.h describes them.
#pragma once
#include <array>
#include <limits>
#include <string_view>

#include "data/text/source_weight.h"
#include "train/config/train_config.h"

namespace fathom {

// What becomes of a checkpoint when a key has another value than the checkpoint was saved with.
enum class OnResume : uint8_t {
  refused,   // the weights would be those of no run that a config describes
  schedule,  // allowed where the learning rates up to the checkpoint stay what they were
  told,      // allowed, and said: from here on the rounding differs, or the answer to what has not happened yet
  free,      // decides no bit of the weights
};

struct ConfigKey {
  std::string_view section, name;
  OnResume on_resume = OnResume::refused;
  std::string_view meaning;
  bool required = false;
  // The default is the value of another key, which comes before this one.
  std::string_view followed_name = {};
  const int64_t* followed = nullptr;

  ConfigKey needed() const {
    ConfigKey k = *this;
    k.required = true;
    return k;
  }
  ConfigKey following(std::string_view other, const int64_t& value) const {
    ConfigKey k = *this;
    k.followed_name = other;
    k.followed = &value;
    return k;
  }
};

// A number from low to high; low itself left out where it is excluded.
struct Bounds {
  double low = 0, high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
};

// The values of a key that is a choice, in the order of its enumeration.
using Choices = std::array<std::string_view, 2>;
inline constexpr Choices kPositionsNames{"restart", "run_on"}, kMatmulPrecisionNames{"f32", "bf16"},
    kRecomputeNames{"none", "layers"}, kOnNanNames{"stop", "skip"};
static_assert(Positions{1} == Positions::run_on && MatmulPrecision{1} == MatmulPrecision::bf16 &&
              Recompute{1} == Recompute::layers && OnNan{1} == OnNan::skip);

// visitor(key, field) for texts, lists and booleans, (key, field, Bounds) for numbers, (key, field, Choices) for
// choices. The fields of a fresh TrainConfig hold the defaults.
template <class Visitor>
void visit_config_keys(TrainConfig& c, Visitor&& visitor) {
  using enum OnResume;
  const Bounds sequences{1, 1 << 24}, at_least_one{1, 1e12}, or_never{0, 1e12}, alpha{0, 1000}, beta{0, 0.9999999};

  DataConfig& d = c.data;
  visitor(
      ConfigKey{"data", "path", free, "folder that `fathom data build` made; relative to the config's folder"}.needed(),
      d.path);
  visitor(
      ConfigKey{"data", "sequence_length", refused, "tokens of a training sequence; at most `max_position_embeddings`"}
          .needed(),
      d.sequence_length, Bounds{1, 1 << 20});
  visitor(
      ConfigKey{"data", "positions", refused,
                "`restart`: every document begins at position 0; `run_on`: positions count through a packed sequence"},
      d.positions, kPositionsNames);
  visitor(
      ConfigKey{"data", "weights", refused,
                "how often each source is seen in an epoch, in the order of the data folder; `[]`: its own weights"},
      d.weights, Bounds{kLeastWeight, kMostWeight});

  BatchConfig& b = c.batch;
  visitor(ConfigKey{"batch", "sequences", refused, "sequences of a step"}.needed(), b.sequences, sequences);
  visitor(
      ConfigKey{"batch", "start_sequences", refused, "sequences of the first step, where the batch grows"}.following(
          "sequences", b.sequences),
      b.start_sequences, sequences);
  visitor(ConfigKey{"batch", "ramp_tokens", refused,
                    "tokens over which the batch grows from `start_sequences` to `sequences`"},
          b.ramp_tokens, Bounds{0, 1e18});
  visitor(ConfigKey{"batch", "micro_batch", told,
                    "sequences computed at a time, which decides the memory; must divide both"}
              .needed(),
          b.micro_batch, sequences);

  OptimizerConfig& o = c.optimizer;
  visitor(ConfigKey{"optimizer", "max_learning_rate", refused, "after the warm-up"}.needed(), o.max_learning_rate,
          Bounds{.low = 0, .high = 1e3, .low_excluded = true});
  visitor(ConfigKey{"optimizer", "beta1", refused, "AdamW: decay of the first moment"}, o.beta1, beta);
  visitor(ConfigKey{"optimizer", "beta2", refused, "AdamW: decay of the second moment"}, o.beta2, beta);
  visitor(ConfigKey{"optimizer", "epsilon", refused, "AdamW: added to the root of the second moment"}, o.epsilon,
          Bounds{1e-30, 1});  // float32 has it, and zero over it is zero
  visitor(ConfigKey{"optimizer", "weight_decay", refused, "AdamW: of matrices, not of gains"}, o.weight_decay,
          Bounds{0, 10});
  visitor(ConfigKey{"optimizer", "grad_clip", refused, "largest norm of the whole gradient"}, o.grad_clip,
          Bounds{.low = 1e-6});

  ScheduleConfig& s = c.schedule;
  visitor(ConfigKey{"schedule", "tokens", schedule, "of the whole run"}.needed(), s.tokens, Bounds{1, 1e18});
  visitor(ConfigKey{"schedule", "warmup_steps", schedule, "over which the learning rate rises from 0"}, s.warmup_steps,
          Bounds{0, 1e9});
  visitor(ConfigKey{"schedule", "decay_at", schedule,
                    "ascending fractions of `tokens` at which the rate falls; `[]`: never"},
          s.decay_at, Bounds{0, 1});
  visitor(ConfigKey{"schedule", "decay_factor", schedule, "by which it falls at each of them"}, s.decay_factor,
          Bounds{1e-6, 1});

  BalanceOptions& e = c.balance;
  visitor(ConfigKey{"balance", "expert_alpha", refused, "weight of the expert-level balance loss"}, e.expert_alpha,
          alpha);
  visitor(ConfigKey{"balance", "device_alpha", refused, "weight of the device-level balance loss"}, e.device_alpha,
          alpha);
  visitor(ConfigKey{"balance", "communication_alpha", refused, "weight of the communication balance loss"},
          e.communication_alpha, alpha);
  visitor(ConfigKey{"balance", "n_devices", refused,
                    "groups of neighbouring experts that count as devices; must divide `n_routed_experts`"}
              .following("n_group", c.model.n_group),
          e.n_devices, Bounds{1, 1e6});
  visitor(ConfigKey{"balance", "max_devices", refused, "of which a token uses at most so many"}.following(
              "topk_group", c.model.topk_group),
          e.max_devices, Bounds{1, 1e6});
  visitor(ConfigKey{"balance", "capacity_factor", refused,
                    "(token, expert) pairs a device takes, over the mean; the rest is dropped; 0: nothing is dropped"},
          e.capacity_factor, Bounds{0, 1000});
  visitor(ConfigKey{"balance", "exempt_fraction", refused, "of the sequences, from which nothing is dropped"},
          e.exempt_fraction, Bounds{0, 1});
  visitor(ConfigKey{"balance", "bias_update_speed", refused,
                    "of the score bias of `topk_method = \"noaux_tc\"`; 0: it stays as it is"},
          e.bias_update_speed, Bounds{0, 1});

  RunConfig& r = c.run;
  visitor(ConfigKey{"run", "seed", refused, "of the first weights and of the order of the data"}, r.seed,
          Bounds{0, 0x1p62});
  visitor(ConfigKey{"run", "init_std", refused, "standard deviation of the first weights"}, r.init_std,
          Bounds{1e-6, 10});
  visitor(ConfigKey{"run", "products", refused, "what matrices are multiplied in; sums and master weights are float32"},
          r.products, kMatmulPrecisionNames);
  visitor(ConfigKey{"run", "recompute", free, "`layers`: keep less, compute each layer once more; the same bits"},
          r.recompute, kRecomputeNames);
  visitor(ConfigKey{"run", "on_nan", told, "a loss or gradient that is not finite: `stop` the run, or `skip` the step"},
          r.on_nan, kOnNanNames);
  visitor(ConfigKey{"run", "log_interval", free, "steps between lines of metrics"}, r.log_interval, at_least_one);
  visitor(
      ConfigKey{
          "run", "eval_interval", free,
          "steps between losses of held-out text; 0: at the end alone, and not at all where nothing was held out"},
      r.eval_interval, or_never);
  visitor(ConfigKey{"run", "eval_sequences", free, "held-out sequences of one evaluation, at most"}, r.eval_sequences,
          at_least_one);
  visitor(ConfigKey{"run", "save_interval", free, "steps between checkpoints; 0: at the end alone"}, r.save_interval,
          or_never);
  visitor(ConfigKey{"run", "keep_checkpoints", free, "how many of the newest stay"}, r.keep_checkpoints, at_least_one);
  visitor(ConfigKey{"run", "continue_from", free,
                    "checkpoint, or run, whose weights a new run begins with; relative to the config's folder"},
          r.continue_from);
  visitor(ConfigKey{"run", "allow_other_tokenizer", free,
                    "let `continue_from` name weights that another tokenizer's ids trained"},
          r.allow_other_tokenizer);
}

}  // namespace fathom
