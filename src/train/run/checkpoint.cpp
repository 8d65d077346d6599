#include "train/run/checkpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <functional>
#include <numeric>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/xxh64.h"
#include "checkpoint/safetensors.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPartial = ".partial";

fs::path checkpoint_path(const fs::path& run, int64_t step) { return run / fmt::format("step-{:08}", step); }

// The number of step-NNNNNNNN; nothing for any other name, such as that of a copy somebody keeps.
std::optional<int64_t> step_of_name(std::string_view name) {
  constexpr std::string_view kPrefix = "step-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
  return error == std::errc() && end == name.data() + name.size() && step >= 0 ? std::optional(step) : std::nullopt;
}

// Ascending by step.
std::vector<fs::path> checkpoints_of(const fs::path& run) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code ignored;
  for (fs::directory_iterator entry(run, ignored), end; !ignored && entry != end; entry.increment(ignored))
    if (const auto step = step_of_name(entry->path().filename().string()); step && fs::is_directory(entry->path()))
      found.emplace_back(*step, entry->path());
  std::sort(found.begin(), found.end());
  std::vector<fs::path> paths;
  paths.reserve(found.size());
  for (auto& [step, path] : found) paths.push_back(std::move(path));
  return paths;
}

fs::path state_path(const fs::path& checkpoint) { return checkpoint / "training" / "state.json"; }
fs::path optimizer_path(const fs::path& checkpoint) { return checkpoint / "training" / "optimizer.safetensors"; }

void sync_folder(const fs::path& folder) {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// In two moves, so that a kill between them leaves nothing half there under the final name.
void remove_checkpoint(const fs::path& checkpoint) {
  const fs::path doomed = checkpoint.string() + kPartial;
  fs::remove_all(doomed);
  fs::rename(checkpoint, doomed);
  fs::remove_all(doomed);
}

void write_text(const fs::path& path, std::string_view text) {
  FileWriter writer(path);
  writer.write(text);
  writer.commit();
}

void write_weights(const fs::path& folder, const Parameters& parameters, MatmulPrecision precision) {
  std::vector<PlannedTensor> plan;
  for (const ParameterInfo& p : parameters.list())
    plan.push_back({.name = p.name,
                    .dtype = precision == MatmulPrecision::bf16 && p.decays ? DType::bf16 : DType::f32,
                    .shape = p.shape});
  constexpr uint64_t kMaxShard = uint64_t{5} << 30;
  SafetensorsWriter writer(folder, plan, kMaxShard);
  std::vector<uint16_t> half;
  for (const PlannedTensor& t : writer.plan()) {
    const ParameterInfo& p = parameters.named(t.name);
    const std::span<const float> values(parameters.master().data + p.offset, static_cast<size_t>(p.size));
    if (t.dtype == DType::f32) {
      writer.write(std::as_bytes(values));
      continue;
    }
    half.resize(values.size());
    std::transform(values.begin(), values.end(), half.begin(), f32_to_bf16);
    writer.write(std::as_bytes(std::span<const uint16_t>(half)));
  }
  writer.commit();
}

// Read in pieces: mapped, a whole checkpoint would count as this process's memory.
uint64_t file_hash(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw_bad_input("{}: cannot be read: {}", path.string(), std::strerror(errno));
  std::vector<char> piece(size_t{1} << 20);
  Xxh64 hash;
  while (in) {
    in.read(piece.data(), std::ssize(piece));
    hash.update(std::as_bytes(std::span(piece.data(), static_cast<size_t>(in.gcount()))));
  }
  if (in.bad()) throw_bad_input("{}: reading stopped: {}", path.string(), std::strerror(errno));
  return hash.digest();
}

json::object file_list(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  json::object out;
  for (const fs::path& f : files)
    out[fs::relative(f, folder).string()] = {{"bytes", static_cast<int64_t>(fs::file_size(f))},
                                             {"xxh64", hash_text(file_hash(f))}};
  return out;
}

json::value read_state(const fs::path& checkpoint) {
  const fs::path path = state_path(checkpoint);
  if (!fs::exists(path))
    throw_bad_input(
        "{}: is missing, and no run can go on from a checkpoint without it; put it back, or move the folder {} away to "
        "go on from the one before, or name another folder with -o",
        path.string(), checkpoint.filename().string());
  json::value state = parse_json(read_file(path), path.string());
  if (!state.is_object()) throw_bad_input("{}: is {}, no object", path.string(), json_kind_name(state));
  return state;
}

// A whole number, or hash text, of state.json.
int64_t state_int(const json::value& state, const char* key, const std::string& where) {
  const json::object* o = state.if_object();
  const json::value* v = o == nullptr ? nullptr : o->if_contains(key);
  if (v == nullptr || !v->is_int64() || v->get_int64() < 0)
    throw_bad_input("{}: training/state.json has no whole number {}", where, key);
  return v->get_int64();
}
std::string state_text(const json::value& state, const char* key, const std::string& where) {
  const json::object* o = state.if_object();
  const json::value* v = o == nullptr ? nullptr : o->if_contains(key);
  if (v == nullptr || !v->is_string()) throw_bad_input("{}: training/state.json has no text {}", where, key);
  return std::string(v->get_string());
}

void verify_files(const fs::path& checkpoint, const json::value& state) {
  const json::object* o = state.if_object();
  const json::value* files = o == nullptr ? nullptr : o->if_contains("files");
  if (files == nullptr || !files->is_object())
    throw_bad_input("{}: training/state.json lists no files", checkpoint.string());
  for (const auto& [name, entry] : files->get_object()) {
    const fs::path path = checkpoint / std::string(name);
    if (!fs::exists(path))
      throw_bad_input("{}: the file is missing, though training/state.json lists it", path.string());
    if (state_text(entry, "xxh64", checkpoint.string()) != hash_text(file_hash(path)))
      throw_bad_input(
          "{}: the file is not the one that was saved (checksum differs); remove this checkpoint to resume from the "
          "one before",
          path.string());
  }
}

}  // namespace

std::optional<fs::path> newest_checkpoint(const fs::path& run) {
  const std::vector<fs::path> all = checkpoints_of(run);
  return all.empty() ? std::nullopt : std::optional(all.back());
}

void save_checkpoint(const fs::path& run, const RunSnapshot& snapshot) {
  const TrainConfig& config = snapshot.config;
  const TrainState& state = snapshot.state;
  const fs::path target = checkpoint_path(run, state.step), partial = target.string() + kPartial;
  fs::remove_all(partial);
  std::error_code error;
  fs::create_directories(partial / "training", error);
  if (error) throw_bad_input("{}: cannot be made: {}", partial.string(), error.message());
  try {
    write_text(partial / "config.json",
               config_to_json(config.model, config.run.products == MatmulPrecision::bf16 ? "bfloat16" : "float32"));
    write_weights(partial, snapshot.parameters, config.run.products);
    for (const auto& [name, text] : snapshot.tokenizer) write_text(partial / name, text);
    write_optimizer_file(optimizer_path(partial), snapshot.optimizer);
    const json::object text = {{"step", state.step},
                               {"next_sequence", state.next_sequence},
                               {"tokens", state.tokens},
                               {"skipped_steps", state.skipped_steps},
                               {"config", config_values(config)},
                               {"stream_fingerprint", hash_text(snapshot.stream_fingerprint)},
                               {"seed", config.run.seed},
                               {"files", file_list(partial)}};
    write_text(partial / "training" / "state.json", to_pretty_json(text));
  } catch (...) {
    fs::remove_all(partial, error);
    throw;
  }
  sync_folder(partial / "training");
  sync_folder(partial);
  fs::remove_all(target);
  fs::rename(partial, target);
  sync_folder(run);
}

TrainState read_train_state(const fs::path& checkpoint) {
  const json::value state = read_state(checkpoint);
  const std::string where = checkpoint.string();
  const TrainState s = {.step = state_int(state, "step", where),
                        .next_sequence = state_int(state, "next_sequence", where),
                        .tokens = state_int(state, "tokens", where),
                        .skipped_steps = state_int(state, "skipped_steps", where)};
  if (const auto named = step_of_name(checkpoint.filename().string()); named && *named != s.step)
    throw_bad_input("{}: holds step {}; give the folder its own name back", where, s.step);
  return s;
}

std::vector<std::string> check_resumable(const fs::path& checkpoint, const TrainConfig& config,
                                         uint64_t stream_fingerprint) {
  const std::string where = checkpoint.string();
  const json::value state = read_state(checkpoint);
  std::vector<std::string> changes;
  const json::value* saved = state.get_object().if_contains("config");
  if (saved != nullptr && saved->is_object()) {
    changes = check_config_unchanged(saved->get_object(), config, read_train_state(checkpoint), where);
  } else if (state_text(state, "config_fingerprint", where) != hash_text(config.file_hash)) {
    throw_bad_input(
        "{}: was made with another config (by a fathom that did not keep its values); put the old values back, or "
        "start a new run in another folder with -o",
        where);
  }
  if (state_text(state, "stream_fingerprint", where) != hash_text(stream_fingerprint))
    throw_bad_input(
        "{}: was made with other data than {} holds now, or with other weights of its sources; resuming would read "
        "another stream. Name the old data in [data] path, or start a new run with -o (and continue_from)",
        where, config.data.path);
  return changes;
}

TrainState load_checkpoint(const fs::path& checkpoint, const TrainConfig& config, uint64_t stream_fingerprint,
                           Parameters& parameters, AdamW& optimizer) {
  check_resumable(checkpoint, config, stream_fingerprint);
  verify_files(checkpoint, read_state(checkpoint));
  read_optimizer_file(optimizer_path(checkpoint), parameters, optimizer);
  return read_train_state(checkpoint);
}

void prune_checkpoints(const fs::path& run, int64_t keep) {
  std::vector<fs::path> all = checkpoints_of(run);
  std::erase_if(all, [](const fs::path& p) { return !fs::exists(state_path(p)); });  // weights that somebody keeps
  for (int64_t i = 0; i + keep < std::ssize(all); ++i) remove_checkpoint(all[static_cast<size_t>(i)]);
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kPartial) && step_of_name(name.substr(0, name.size() - std::strlen(kPartial))))
      fs::remove_all(entry.path());
  }
}

uint64_t checkpoint_bytes(const TrainConfig& config, const TokenizerFiles& tokenizer) {
  uint64_t parameters = 0, weights = 0, text = 0;
  ModelWeights model = empty_weights(config.model, false);
  for_each_tensor(model, config.model, [&](const std::string&, Weight&, const Shape& shape) {
    const auto n = static_cast<uint64_t>(std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>()));
    parameters += n;
    weights += n * (config.run.products == MatmulPrecision::bf16 && shape.size() > 1 ? 2 : 4);
  });
  for (const auto& [name, content] : tokenizer) text += content.size();
  return weights + 3 * 4 * parameters + text;
}

}  // namespace fathom
