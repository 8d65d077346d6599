#include "train/train_config.h"

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/suggest.h"
#include "base/xxh64.h"
#include "train/toml_section.h"

namespace fathom {
namespace {

// The named table of the file; an absent one is empty, so that its missing keys are named.
const json::object& section_of(const json::object& file, const char* name, const std::string& where) {
  static const json::object kEmpty;
  const json::value* v = file.if_contains(name);
  if (v == nullptr) return kEmpty;
  if (!v->is_object()) throw_bad_input("{}: {} must be a table: [{}]", where, name, name);
  return v->get_object();
}

void positive(const TomlSection& s, const char* key, double value) {
  if (!(value > 0) || !std::isfinite(value)) s.fail(key, fmt::format("{}", value), "greater than zero");
}
void in_range(const TomlSection& s, const char* key, double value, double low, double high) {
  if (!(value >= low && value <= high))
    s.fail(key, fmt::format("{}", value), fmt::format("between {} and {}", low, high));
}

DataConfig read_data(TomlSection s, const std::filesystem::path& folder) {
  DataConfig d;
  const std::filesystem::path path = s.text("path");
  d.path = (path.is_absolute() ? path : folder / path).lexically_normal().string();
  d.sequence_length = s.integer("sequence_length");
  in_range(s, "sequence_length", static_cast<double>(d.sequence_length), 1, 1 << 20);
  d.positions = s.choice("positions", {"restart", "run_on"}, 0) == 0 ? Positions::restart : Positions::run_on;
  d.weights = s.numbers("weights", {});
  s.finish();
  return d;
}

BatchConfig read_batch(TomlSection s) {
  BatchConfig b;
  b.sequences = s.integer("sequences");
  b.start_sequences = s.integer("start_sequences", b.sequences);
  b.ramp_tokens = s.number("ramp_tokens", 0.0);
  b.micro_batch = s.integer("micro_batch");
  for (const auto& [key, value] :
       {std::pair{"sequences", b.sequences}, {"start_sequences", b.start_sequences}, {"micro_batch", b.micro_batch}})
    in_range(s, key, static_cast<double>(value), 1, 1 << 24);
  for (const auto& [key, value] : {std::pair{"sequences", b.sequences}, {"start_sequences", b.start_sequences}})
    if (value % b.micro_batch != 0)
      s.fail(key, fmt::format("{}", value), fmt::format("a multiple of micro_batch, {}", b.micro_batch));
  if (b.start_sequences > b.sequences)
    s.fail("start_sequences", fmt::format("{}", b.start_sequences), fmt::format("at most sequences, {}", b.sequences));
  in_range(s, "ramp_tokens", b.ramp_tokens, 0, 1e18);
  s.finish();
  return b;
}

OptimizerConfig read_optimizer(TomlSection s) {
  OptimizerConfig o;
  o.max_learning_rate = s.number("max_learning_rate");
  o.beta1 = s.number("beta1", o.beta1);
  o.beta2 = s.number("beta2", o.beta2);
  o.epsilon = s.number("epsilon", o.epsilon);
  o.weight_decay = s.number("weight_decay", o.weight_decay);
  o.grad_clip = s.number("grad_clip", o.grad_clip);
  positive(s, "max_learning_rate", o.max_learning_rate);
  in_range(s, "beta1", o.beta1, 0, 0.9999999);
  in_range(s, "beta2", o.beta2, 0, 0.9999999);
  positive(s, "epsilon", o.epsilon);
  in_range(s, "weight_decay", o.weight_decay, 0, 10);
  positive(s, "grad_clip", o.grad_clip);
  s.finish();
  return o;
}

ScheduleConfig read_schedule(TomlSection s) {
  ScheduleConfig c;
  c.tokens = s.number("tokens");
  in_range(s, "tokens", c.tokens, 1, 1e18);
  c.warmup_steps = s.integer("warmup_steps", 2000);
  in_range(s, "warmup_steps", static_cast<double>(c.warmup_steps), 0, 1e9);
  c.decay_at = s.numbers("decay_at", {0.6, 0.9});
  for (size_t i = 0; i < c.decay_at.size(); ++i) {
    in_range(s, "decay_at", c.decay_at[i], 0, 1);
    if (i > 0 && c.decay_at[i] <= c.decay_at[i - 1])
      s.fail("decay_at", fmt::format("[{}]", fmt::join(c.decay_at, ", ")), "ascending fractions of the tokens");
  }
  c.decay_factor = s.number("decay_factor", c.decay_factor);
  in_range(s, "decay_factor", c.decay_factor, 1e-6, 1);
  s.finish();
  return c;
}

BalanceOptions read_balance(TomlSection s, const ModelConfig& m) {
  BalanceOptions b;
  b.expert_alpha = s.number("expert_alpha", 0.0);
  b.device_alpha = s.number("device_alpha", 0.0);
  b.communication_alpha = s.number("communication_alpha", 0.0);
  b.n_devices = s.integer("n_devices", m.n_group);
  b.max_devices = s.integer("max_devices", m.topk_group);
  b.capacity_factor = s.number("capacity_factor", 0.0);
  b.exempt_fraction = s.number("exempt_fraction", 0.1);
  b.bias_update_speed = s.number("bias_update_speed", 0.0);
  for (const auto& [key, value] : {std::pair{"expert_alpha", b.expert_alpha},
                                   {"device_alpha", b.device_alpha},
                                   {"communication_alpha", b.communication_alpha}})
    in_range(s, key, value, 0, 1000);
  in_range(s, "n_devices", static_cast<double>(b.n_devices), 1, 1e6);
  if (m.n_routed_experts > 0 && m.n_routed_experts % b.n_devices != 0)
    s.fail("n_devices", fmt::format("{}", b.n_devices),
           fmt::format("a divisor of n_routed_experts, {}", m.n_routed_experts));
  in_range(s, "max_devices", static_cast<double>(b.max_devices), 1, static_cast<double>(b.n_devices));
  in_range(s, "capacity_factor", b.capacity_factor, 0, 1000);
  in_range(s, "exempt_fraction", b.exempt_fraction, 0, 1);
  in_range(s, "bias_update_speed", b.bias_update_speed, 0, 1);
  if (b.bias_update_speed > 0 && !m.has_score_bias())
    s.fail("bias_update_speed", fmt::format("{}", b.bias_update_speed),
           "0 for a model without score bias; topk_method = \"noaux_tc\" of deepseek_v2 has one");
  s.finish();
  return b;
}

RunConfig read_run(TomlSection s, const std::filesystem::path& folder) {
  RunConfig r;
  r.seed = static_cast<uint64_t>(s.integer("seed", 0));
  r.init_std = s.number("init_std", r.init_std);
  positive(s, "init_std", r.init_std);
  r.products = s.choice("products", {"f32", "bf16"}, 1) == 0 ? Products::f32 : Products::bf16;
  r.recompute = s.choice("recompute", {"none", "layers"}, 0) == 0 ? Recompute::none : Recompute::layers;
  r.on_nan = s.choice("on_nan", {"stop", "skip"}, 0) == 0 ? OnNan::stop : OnNan::skip;
  r.log_interval = s.integer("log_interval", r.log_interval);
  r.eval_interval = s.integer("eval_interval", r.eval_interval);
  r.eval_sequences = s.integer("eval_sequences", r.eval_sequences);
  r.save_interval = s.integer("save_interval", r.save_interval);
  r.keep_checkpoints = s.integer("keep_checkpoints", r.keep_checkpoints);
  for (const auto& [key, value] : {std::pair{"log_interval", r.log_interval},
                                   {"eval_sequences", r.eval_sequences},
                                   {"keep_checkpoints", r.keep_checkpoints}})
    in_range(s, key, static_cast<double>(value), 1, 1e12);
  for (const auto& [key, value] : {std::pair{"eval_interval", r.eval_interval}, {"save_interval", r.save_interval}})
    in_range(s, key, static_cast<double>(value), 0, 1e12);
  const std::filesystem::path from = s.text("continue_from", "");
  if (!from.empty()) r.continue_from = (from.is_absolute() ? from : folder / from).lexically_normal().string();
  s.finish();
  return r;
}

// The parts of the file that decide the weights, as one canonical text.
uint64_t fingerprint_of(json::object file) {
  if (json::object* run = file.contains("run") ? file["run"].if_object() : nullptr)
    for (const char* key : {"log_interval", "eval_interval", "eval_sequences", "save_interval", "keep_checkpoints",
                            "recompute", "continue_from"})
      run->erase(key);
  if (json::object* data = file.contains("data") ? file["data"].if_object() : nullptr)
    data->erase("path");  // the data has its own fingerprint
  return xxh64(json::serialize(file));
}

}  // namespace

TrainConfig parse_train_config(std::string_view toml, const std::string& where, const std::filesystem::path& folder) {
  const json::object file = toml_to_json(toml, where);
  static const std::vector<std::string> kSections = {"model",    "data",    "batch", "optimizer",
                                                     "schedule", "balance", "run"};
  for (const auto& [key, value] : file)
    if (std::find(kSections.begin(), kSections.end(), std::string_view(key)) == kSections.end())
      throw_bad_input("{}: the section {} is not known; known ones are: {}.{}", where, quoted_for_message(key),
                      fmt::join(kSections, ", "), did_you_mean(std::string_view(key), kSections));
  const auto section = [&](const char* name) {
    return TomlSection(section_of(file, name, where), fmt::format("{}: [{}]", where, name));
  };
  TrainConfig c;
  c.model = config_from_json(json::serialize(section_of(file, "model", where)), where + ": [model]");
  c.data = read_data(section("data"), folder);
  c.batch = read_batch(section("batch"));
  c.optimizer = read_optimizer(section("optimizer"));
  c.schedule = read_schedule(section("schedule"));
  c.balance = read_balance(section("balance"), c.model);
  c.run = read_run(section("run"), folder);
  if (c.data.sequence_length > c.model.max_position_embeddings)
    throw_bad_input("{}: [data]: sequence_length is {}, but [model] max_position_embeddings is {}", where,
                    c.data.sequence_length, c.model.max_position_embeddings);
  c.fingerprint = fingerprint_of(file);
  return c;
}

TrainConfig read_train_config(const std::filesystem::path& path) {
  return parse_train_config(read_file(path, uint64_t{1} << 22), path.string(),
                            path.has_parent_path() ? path.parent_path() : ".");
}

}  // namespace fathom
