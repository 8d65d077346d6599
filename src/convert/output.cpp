#include "convert/output.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/file/file.h"
#include "base/file/file_name.h"
#include "base/file/working_folder.h"
#include "base/progress.h"
#include "checkpoint/safetensors.h"
#include "config/config_gguf.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kFolderShardBytes = 5'000'000'000;

// text_bytes: of the vocabulary and the other files.
void check_room_on_disk(const fs::path& out, const std::vector<OutTensor>& plan, uint64_t text_bytes) {
  if (is_stream(out)) return;
  uint64_t weights = 0;
  for (const OutTensor& t : plan) weights += byte_count(t);
  std::error_code failed;
  const fs::space_info space = fs::space(out.has_parent_path() ? out.parent_path() : ".", failed);
  if (!failed) check_room(out, room_needed(weights, plan.size(), text_bytes), space.available);
}

uint64_t size_of(const GgufMetadata& metadata) {
  uint64_t n = 0;
  for (const std::string& key : metadata.keys()) {
    const GgufValue& value = *metadata.find(key);
    n += key.size() + 32 + value.bytes.size();
    for (const std::string& s : value.strings) n += 8 + s.size();
  }
  return n;
}

void write_file(const fs::path& path, std::string_view text) {
  FileWriter file(path);
  file.write(text);
  file.commit();
}

// The plan in the order of the writer, which puts wider elements first.
std::vector<OutTensor> in_order_of(const SafetensorsWriter& writer, std::vector<OutTensor> plan) {
  std::unordered_map<std::string, size_t> place;
  for (size_t i = 0; i < plan.size(); ++i) place.emplace(plan[i].name, i);
  std::vector<OutTensor> ordered;
  for (const PlannedTensor& t : writer.plan()) ordered.push_back(std::move(plan[place.at(t.name)]));
  return ordered;
}

}  // namespace

RoomNeeded room_needed(uint64_t weight_bytes, size_t n_tensors, uint64_t text_bytes) {
  const uint64_t for_file_system = std::min<uint64_t>(weight_bytes / 100, 64 << 20);
  return {.weights = weight_bytes, .beside = text_bytes + 1024 * n_tensors + for_file_system};
}

void check_room(const fs::path& out, const RoomNeeded& need, uint64_t available) {
  if (need.weights + need.beside <= available) return;
  const auto text = [](uint64_t bytes) { return human_bytes(static_cast<double>(bytes)); };
  throw_resource(
      "{}: the weights take {}, and {} more are needed for the vocabulary, headers and the file system, but the disk "
      "has {} free",
      out.string(), text(need.weights), text(need.beside), text(available));
}

bool names_gguf(const fs::path& out) { return has_extension(out, ".gguf") || is_stream(out); }

fs::path without_trailing_slash(const fs::path& path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

void check_output_free(const fs::path& out) {
  if (is_stream(out)) return;
  if (is_being_filled(out))
    throw_bad_input("{}: another process is writing it; wait for that to end, or name another", out.string());
  std::error_code ignored;
  if (fs::exists(out, ignored) && !(fs::is_directory(out, ignored) && fs::is_empty(out, ignored)))
    throw_bad_input("{}: exists already; remove it first, or choose another name", out.string());
  const fs::path parent = out.has_parent_path() ? out.parent_path() : ".";
  if (!fs::is_directory(parent, ignored))
    throw_bad_input("{}: the folder {} does not exist", out.string(), parent.string());
  if (has_extension(out, ".safetensors"))
    throw_bad_input(
        "{}: name a folder (it receives config.json and the tokenizer beside the weights), or something.gguf",
        out.string());
  if (names_gguf(out)) check_writable(out);
}

void write_folder(ThreadPool& pool, const ModelRows& original, const fs::path& out, const OutputOptions& options,
                  const std::map<std::string, std::string>& files, const ProgressFn& progress) {
  const ModelRows source = in_layout(original, folder_layout(original.config));
  std::vector<OutTensor> plan = plan_folder(source, options.type);
  const std::string dtype = torch_dtype(plan);
  bool f8 = false;
  std::vector<PlannedTensor> planned;
  for (const OutTensor& t : plan) {
    planned.push_back({t.name, t.dtype, t.shape});
    f8 = f8 || t.scales;
  }
  uint64_t text_bytes = 0;
  for (const auto& [name, text] : files) text_bytes += text.size();
  check_room_on_disk(out, plan, text_bytes);
  WorkingFolder folder(out, WorkingFolder::Leftovers::refused);
  SafetensorsWriter writer(out, std::move(planned),
                           options.max_shard_bytes != 0 ? options.max_shard_bytes : kFolderShardBytes);
  write_tensors(
      pool, in_order_of(writer, std::move(plan)), source, options.encoding,
      [&](std::span<const std::byte> bytes) { writer.write(bytes); }, progress);
  writer.commit();
  for (const auto& [name, text] : files) {
    fs::create_directories((out / name).parent_path());
    write_file(out / name, text);
  }
  write_file(out / "config.json", config_to_json(source.config, dtype, f8));  // last: without it the folder is no model
  folder.keep();
}

void write_gguf(ThreadPool& pool, const ModelRows& original, const fs::path& out, const OutputOptions& options,
                const GgufMetadata& text, const ProgressFn& progress) {
  if (options.max_shard_bytes != 0 && is_stream(out))
    throw_bad_input("{}: is a pipe or a device, which cannot be split; name a file, or leave --max-shard-size out",
                    out.string());
  const ModelRows source = in_layout(original, gguf_layout(original.config));
  const std::vector<OutTensor> plan = plan_gguf(source, options.type);
  GgufMetadata metadata = config_to_gguf(source.config);
  metadata.set_u32("general.quantization_version", 2);  // of ggml's formats
  metadata.set_u32("general.file_type", file_type_of(plan, options.type));
  for (const std::string& key : text.keys()) metadata.set(key, *text.find(key));
  std::vector<GgufTensorPlan> planned;
  planned.reserve(plan.size());
  for (const OutTensor& t : plan) planned.push_back({t.name, t.dtype, t.shape});
  check_room_on_disk(out, plan, size_of(metadata));
  GgufWriter writer(out, metadata, std::move(planned), options.max_shard_bytes);
  write_tensors(
      pool, plan, source, options.encoding, [&](std::span<const std::byte> bytes) { writer.append(bytes); }, progress);
  writer.finish();
}

}  // namespace fathom
