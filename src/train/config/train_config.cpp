#include "train/config/train_config.h"

#include "base/file/file.h"
#include "base/xxh64.h"
#include "data/text/text_stream.h"
#include "train/config/config_reader.h"
#include "train/config/model_keys.h"
#include "train/config/toml_text.h"

namespace fathom {
namespace {

// Rules between keys, of values that are in range each.
void check_batch(const BatchConfig& b, ConfigProblems& problems) {
  for (const auto& [key, value] : {std::pair{"sequences", b.sequences}, {"start_sequences", b.start_sequences}})
    if (value % b.micro_batch != 0)
      problems.add("batch",
                   must_be(key, fmt::format("{}", value), fmt::format("a multiple of micro_batch, {}", b.micro_batch)));
  if (b.start_sequences > b.sequences)
    problems.add("batch", must_be("start_sequences", fmt::format("{}", b.start_sequences),
                                  fmt::format("at most sequences, {}", b.sequences)));
}

void check_schedule(const ScheduleConfig& s, ConfigProblems& problems) {
  for (size_t i = 1; i < s.decay_at.size(); ++i)
    if (s.decay_at[i] <= s.decay_at[i - 1])
      return problems.add("schedule", must_be("decay_at", fmt::format("[{}]", fmt::join(s.decay_at, ", ")),
                                              "ascending fractions of the tokens"));
}

void check_balance(const BalanceOptions& b, const ModelConfig& m, ConfigProblems& problems) {
  if (m.n_routed_experts > 0 && m.n_routed_experts % b.n_devices != 0)
    problems.add("balance", must_be("n_devices", fmt::format("{}", b.n_devices),
                                    fmt::format("a divisor of n_routed_experts, {}", m.n_routed_experts)));
  if (b.max_devices > b.n_devices)
    problems.add("balance", must_be("max_devices", fmt::format("{}", b.max_devices),
                                    fmt::format("at most n_devices, {}", b.n_devices)));
  if (b.bias_update_speed > 0 && !m.has_score_bias())
    problems.add("balance",
                 must_be("bias_update_speed", fmt::format("{}", b.bias_update_speed),
                         "0 for a model without score bias; topk_method = \"noaux_tc\" of deepseek_v2 has one"));
}

void check_together(const TrainConfig& c, ConfigProblems& problems) {
  check_batch(c.batch, problems);
  check_schedule(c.schedule, problems);
  check_balance(c.balance, c.model, problems);
  if (c.data.sequence_length > c.model.max_position_embeddings)
    problems.add("data", fmt::format("sequence_length is {}, but [model] max_position_embeddings is {}",
                                     c.data.sequence_length, c.model.max_position_embeddings));
}

std::string resolved(const std::string& path, const std::filesystem::path& folder) {
  if (path.empty()) return path;
  const std::filesystem::path p = path;
  return (p.is_absolute() ? p : folder / p).lexically_normal().string();
}

uint64_t hash_of(json::object file) {
  if (json::object* run = file.contains("run") ? file["run"].if_object() : nullptr)
    for (const char* key : {"log_interval", "eval_interval", "eval_sequences", "save_interval", "keep_checkpoints",
                            "recompute", "continue_from"})
      run->erase(key);
  if (json::object* data = file.contains("data") ? file["data"].if_object() : nullptr) data->erase("path");
  return xxh64(json::serialize(file));
}

}  // namespace

TrainConfig parse_train_config(std::string_view toml, const std::string& where, const std::filesystem::path& folder) {
  const json::object file = toml_to_json(toml, where);
  static const std::vector<std::string> kSections = {"model",    "data",    "batch", "optimizer",
                                                     "schedule", "balance", "run"};
  ConfigProblems problems;
  ConfigReader reader(file, kSections, problems);
  TrainConfig c;
  c.where = where;
  if (const json::object* model = reader.section("model"))
    c.model = read_model_section(*model, where + ": [model]", problems);
  else if (!reader.is_misspelt("model"))
    problems.add("the section [model] is missing: the keys of a config.json");
  visit_config_keys(c, reader);
  reader.finish();
  if (problems.empty()) check_together(c, problems);
  problems.throw_if_any(where);
  c.data.path = resolved(c.data.path, folder);
  c.run.continue_from = resolved(c.run.continue_from, folder);
  c.file_hash = hash_of(file);
  return c;
}

TrainConfig read_train_config(const std::filesystem::path& path) {
  const bool in_folder = path != "-" && !is_stream(path) && path.has_parent_path();
  return parse_train_config(read_text(path, uint64_t{1} << 22), path == "-" ? "stdin" : path.string(),
                            in_folder ? path.parent_path() : ".");
}

}  // namespace fathom
