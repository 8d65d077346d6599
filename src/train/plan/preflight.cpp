#include "train/plan/preflight.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "base/file/container.h"
#include "base/file/file.h"
#include "base/progress.h"
#include "data/manifest.h"
#include "load/load.h"
#include "load/text.h"
#include "train/config/config_reader.h"
#include "train/plan/flops.h"
#include "train/plan/memory_plan.h"
#include "train/run/resume_check.h"
#include "train/run/run_log.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// What the action throws is one of the problems.
template <class Action>
void collect(ConfigProblems& problems, Action&& action) {
  try {
    action();
  } catch (const Error& e) {
    problems.add(e.what());
  }
}

// ---- The data and its tokenizer ----

void check_id(const char* key, int64_t id, std::optional<int32_t> tokenizers, const Tokenizer& tokenizer,
              ConfigProblems& problems) {
  if (id < 0 || id >= tokenizer.n_tokens())
    problems.add("model", fmt::format("{} is {}, but the tokenizer of the data has the ids 0 to {}", key, id,
                                      tokenizer.n_tokens() - 1));
  else if (tokenizers && id != *tokenizers)
    problems.add("model", fmt::format("{} is {} ({}), but the tokenizer of the data has {} ({})", key, id,
                                      quoted_for_message(tokenizer.token_spelling(static_cast<int32_t>(id))),
                                      *tokenizers, quoted_for_message(tokenizer.token_spelling(*tokenizers))));
}

void check_ids(const ModelConfig& m, const Tokenizer& t, ConfigProblems& problems) {
  if (t.n_tokens() > m.vocab_size)
    problems.add("model", fmt::format("vocab_size is {}, but the tokenizer of the data has {} tokens", m.vocab_size,
                                      t.n_tokens()));
  if (m.bos_token_id) check_id("bos_token_id", *m.bos_token_id, t.bos(), t, problems);
  if (m.pad_token_id && *m.pad_token_id >= m.vocab_size)
    problems.add("model", fmt::format("pad_token_id is {}, but vocab_size is {}", *m.pad_token_id, m.vocab_size));
  const auto& eos = m.eos_token_ids;
  const bool has_own = t.eos() && std::find(eos.begin(), eos.end(), *t.eos()) != eos.end();
  for (int64_t id : eos) check_id("eos_token_id", id, has_own ? std::nullopt : t.eos(), t, problems);
}

// A document's first token is no target.
bool has_targets(const TokenDataset& data, Split split) { return data.n_tokens(split) > data.n_documents(split); }

void check_train_tokens(const TrainConfig& c, const std::shared_ptr<const TokenDataset>& data,
                        ConfigProblems& problems) {
  collect(problems, [&] { TokenStream(data, stream_options(c)); });
  if (data->n_tokens(Split::train) > 0 && !has_targets(*data, Split::train))
    problems.add(fmt::format("{}: every training document is a single token; there is nothing to predict",
                             data->folder().string()));
}

void check_held_out(const TrainConfig& c, const TokenDataset& data, RunCheck& check, ConfigProblems& problems) {
  if (has_targets(data, Split::held_out)) return;
  check.evaluates = false;
  const std::string where = data.folder().string();
  if (c.run.eval_interval > 0)
    problems.add(fmt::format(
        "{}: no text was held out, and [run] eval_interval = {} asks for its loss; build the data with --held-out "
        "above 0 (and more or shorter documents), or set eval_interval = 0 to train without",
        where, c.run.eval_interval));
  else
    check.notes.push_back(fmt::format("{}: no text was held out, so there will be no held-out loss", where));
}

// ---- continue_from ----

// Ids whose words differ are compared one by one: the same words under other ids make nonsense of the weights.
void check_same_tokenizer(const Tokenizer& checkpoints, const std::string& from, const TokenDataset& data) {
  const Tokenizer& datas = data.tokenizer();
  const int32_t n = std::min(checkpoints.n_tokens(), datas.n_tokens());
  int64_t different = 0;
  int32_t first = -1;
  for (int32_t id = 0; id < n; ++id) {
    if (checkpoints.token_spelling(id) == datas.token_spelling(id)) continue;
    if (different++ == 0) first = id;
  }
  if (different > 0)
    throw_bad_input(
        "[run] continue_from {}: was trained with another tokenizer than {} has: {} of {} ids mean other words (id {} "
        "was {} and is {}); build the data with the checkpoint's tokenizer, or set [run] allow_other_tokenizer = true",
        from, data.folder().string(), different, n, first, quoted_for_message(checkpoints.token_spelling(first), 40),
        quoted_for_message(datas.token_spelling(first), 40));
}

// Keys that no shape of a tensor shows, and that are changed on purpose as well: said, not refused.
void note_differences(const ModelConfig& was, const ModelConfig& is, const std::string& from, RunCheck& check) {
  if (const auto changes = model_changes(was, is); !changes.empty())
    check.notes.push_back(fmt::format("the model differs from {}: {}", from, fmt::join(changes, "; ")));
}

void check_continued(const TrainConfig& c, const TokenDataset& data, RunCheck& check) {
  const fs::path from = continued_checkpoint(c);
  const Model model = load_model(from);
  load_weights(c.model, *model.source);  // names a tensor that is missing or of another shape
  if (model.weights.split_kv_b)
    throw_unsupported(
        "[run] continue_from {}: kv_b_proj is stored split; convert the checkpoint to a Hugging Face folder first",
        from.string());
  if (!has_tokenizer(model))
    check.notes.push_back(
        fmt::format("{} has no tokenizer: whether its ids mean the words of the data cannot be known", from.string()));
  else if (!c.run.allow_other_tokenizer)
    check_same_tokenizer(load_tokenizer(model), from.string(), data);
  note_differences(model.config, c.model, from.string(), check);
}

// ---- The run folder ----

// The folder itself, or the nearest one above it that exists.
fs::path existing_part(fs::path folder) {
  std::error_code ignored;
  folder = fs::absolute(folder, ignored);
  while (!fs::exists(folder, ignored) && folder.has_parent_path() && folder != folder.parent_path())
    folder = folder.parent_path();
  return folder;
}

void check_folder(const fs::path& run, ConfigProblems& problems) {
  const fs::path there = existing_part(run);
  if (!fs::is_directory(there))
    problems.add(
        fmt::format("{}: cannot be made: {} is no folder; name another with -o", run.string(), there.string()));
  else if (::access(there.c_str(), W_OK | X_OK) != 0)
    problems.add(fmt::format("{}: cannot be written ({}: {}); name another folder with -o", run.string(),
                             there.string(), std::strerror(errno)));
  // What a run writes would stand among the files of another kind of folder.
  std::error_code ignored;
  for (const char* name : {"config.json", "tokenizer.json", kManifestName})
    if (fs::exists(run / name, ignored))
      return problems.add(
          fmt::format("{}: holds {}, so it is a folder of another kind than a training run's; name "
                      "another with -o",
                      run.string(), name));
}

// A run that has got beyond its first checkpoint and has none now must not begin again in silence, on top of its
// metrics.
void check_nothing_lost(const TrainConfig& c, const fs::path& run) {
  const fs::path metrics = run / "metrics.jsonl";
  std::error_code ignored;
  if (c.run.save_interval == 0 || !fs::exists(metrics, ignored)) return;
  const auto step = last_step(read_file(metrics, UINT64_MAX), metrics.string());
  if (step && *step > c.run.save_interval)
    throw_bad_input(
        "{}: tells of {} steps, but there is no checkpoint beside it; put the newest one back, or remove the file to "
        "begin again, or name another folder with -o",
        metrics.string(), *step);
}

int64_t saved_checkpoints(const fs::path& run) {
  std::error_code ignored;
  return std::count_if(fs::directory_iterator(run, ignored), fs::directory_iterator(), [](const auto& entry) {
    return fs::exists(entry.path() / "training" / "optimizer.safetensors");
  });
}

void check_disk(const TrainConfig& c, const TokenDataset& data, const fs::path& run, ConfigProblems& problems) {
  std::error_code failed;
  const fs::space_info space = fs::space(existing_part(run), failed);
  if (failed) return;
  const int64_t at_once = checkpoints_at_once(c), more = std::max<int64_t>(1, at_once - saved_checkpoints(run));
  const auto one = static_cast<double>(checkpoint_bytes(c, read_tokenizer_files(data.folder())));
  if (static_cast<double>(more) * one <= static_cast<double>(space.available)) return;
  problems.add(fmt::format(
      "{}: {} more checkpoints of {} each must have room at the same time (keep_checkpoints = {}, and one being "
      "written), and the disk has {} free; keep fewer, free some, or name another folder with -o",
      run.string(), more, human_bytes(one), c.run.keep_checkpoints, human_bytes(static_cast<double>(space.available))));
}

// ---- What is allowed, and seldom meant ----

void note_memory(const TrainConfig& c, RunCheck& check) {
  const int64_t need = total_bytes(plan_memory(c));
  const uint64_t available = available_memory_bytes();
  if (available > 0 && need > 0 && static_cast<uint64_t>(need) > available)
    check.notes.push_back(
        fmt::format("the run needs about {} of memory, and {} are free; [batch] micro_batch and [run] recompute = "
                    "\"layers\" need less",
                    human_bytes(static_cast<double>(need)), human_bytes(static_cast<double>(available))));
}

void note_warm_up(const TrainConfig& c, RunCheck& check) {
  if (const int64_t steps = expected_steps(c); c.schedule.warmup_steps >= steps)
    check.notes.push_back(fmt::format(
        "the warm-up takes {} steps, and the run has about {}: the learning rate never reaches {} ([schedule] "
        "warmup_steps)",
        c.schedule.warmup_steps, steps, c.optimizer.max_learning_rate));
}

}  // namespace

StreamOptions stream_options(const TrainConfig& c) {
  return {.sequence_length = c.data.sequence_length, .seed = c.run.seed, .weights = c.data.weights};
}

fs::path continued_checkpoint(const TrainConfig& c) {
  const fs::path from = c.run.continue_from;
  return newest_checkpoint(from).value_or(from);
}

TokenizerFiles read_tokenizer_files(const fs::path& data_folder) {
  TokenizerFiles files = {{"tokenizer.json", read_file(data_folder / "tokenizer.json")}};
  std::error_code ignored;
  if (const fs::path config = data_folder / "tokenizer_config.json"; fs::exists(config, ignored))
    files["tokenizer_config.json"] = read_file(config);
  return files;
}

int64_t checkpoints_at_once(const TrainConfig& c) {
  const int64_t saves = c.run.save_interval == 0 ? 1 : expected_steps(c) / c.run.save_interval + 1;
  return std::min(saves, c.run.keep_checkpoints + 1);
}

RunCheck check_run(const TrainConfig& c, const std::shared_ptr<const TokenDataset>& data, const fs::path& run) {
  RunCheck check;
  ConfigProblems problems;
  check.checkpoint = newest_checkpoint(run);
  if (check.checkpoint) {
    check.state = read_train_state(*check.checkpoint);
    check.notes = check_resumable(*check.checkpoint, c, TokenStream(data, stream_options(c)).fingerprint());
    check.finished = static_cast<double>(check.state.tokens) >= c.schedule.tokens;
    if (check.finished) return check;
  }
  check_ids(c.model, data->tokenizer(), problems);
  check_train_tokens(c, data, problems);
  check_held_out(c, *data, check, problems);
  if (!check.checkpoint) note_warm_up(c, check);
  note_memory(c, check);
  if (!check.checkpoint && !c.run.continue_from.empty()) collect(problems, [&] { check_continued(c, *data, check); });
  if (!check.checkpoint) collect(problems, [&] { check_nothing_lost(c, run); });
  check_folder(run, problems);
  check_disk(c, *data, run, problems);
  problems.throw_if_any(c.where);
  return check;
}

}  // namespace fathom
