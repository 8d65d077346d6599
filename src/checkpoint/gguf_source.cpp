#include <algorithm>
#include <iterator>

#include "base/error.h"
#include "checkpoint/gguf.h"
#include "checkpoint/shard_name.h"

namespace fathom {
namespace {

// All shards of the model that `path` belongs to, in order; `path` alone when it is not split.
std::vector<std::filesystem::path> list_shards(const std::filesystem::path& path, const GgufMetadata& metadata) {
  const auto shard = parse_shard_name(path.filename().string(), ".gguf");
  int64_t count = metadata.get_int("split.count").value_or(1);
  if (count == 0) count = 1;  // what `llama-gguf-split --merge` leaves behind
  if (count == 1 && (!shard || shard->count == 1)) return {path};
  if (!shard) {
    throw_bad_input(
        "{}: is one of {} files of a split model (key 'split.count'), but its name does not end in "
        "-0000K-of-{:05}.gguf; the "
        "others cannot be found. Give the files their own names back",
        path.string(), count, count);
  }
  if (count != shard->count) {
    throw_bad_input("{}: its name says that the model has {} files, but its key 'split.count' says {}; was it renamed?",
                    path.string(), shard->count, count);
  }
  std::vector<std::filesystem::path> shards;
  for (int64_t i = 1; i <= count; ++i) {
    shards.push_back(path.parent_path() / shard->file(static_cast<int>(i), ".gguf"));
    std::error_code ignored;
    if (!std::filesystem::exists(shards.back(), ignored)) {
      throw_bad_input("{}: file {} of {} of the split model is missing; all must lie in one folder",
                      shards.back().string(), i, count);
    }
  }
  return shards;
}

void check_shard(const GgufMetadata& metadata, int64_t no, int64_t count) {
  const auto found_no = metadata.get_int("split.no"), found_count = metadata.get_int("split.count");
  if (found_no != no || found_count != count) {
    const auto text = [](const std::optional<int64_t>& n) { return n ? fmt::format("{}", *n) : std::string("absent"); };
    throw_bad_input(
        "{}: by its name it is shard {} of {}, so that keys 'split.no' and 'split.count' must be {} and {}; they are "
        "{} and {}",
        metadata.where(), no + 1, count, no, count, text(found_no), text(found_count));
  }
}

}  // namespace

const TensorInfo* GgufSource::find(std::string_view name) const noexcept {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

void GgufSource::open_split(const std::vector<std::filesystem::path>& shards) {
  const auto count = static_cast<int64_t>(shards.size());
  for (int64_t no = 0; no < count; ++no) {
    const MappedFile& file = files_.emplace_back(shards[static_cast<size_t>(no)]);
    GgufFile parsed = parse_gguf(file.bytes(), file.path().string());
    check_shard(parsed.metadata, no, count);
    if (no == 0) metadata_ = std::move(parsed.metadata);
    std::move(parsed.tensors.begin(), parsed.tensors.end(), std::back_inserter(tensors_));
  }
  const auto expected = metadata_.get_int("split.tensors.count");
  if (expected && *expected != static_cast<int64_t>(tensors_.size())) {
    throw_bad_input(
        "{}: key 'split.tensors.count' is {}, but the {} files hold {} tensors; do all belong to one model?",
        metadata_.where(), *expected, count, tensors_.size());
  }
}

void GgufSource::index_tensors() {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const auto [it, is_new] = index_.try_emplace(tensors_[i].name, i);
    if (!is_new) {
      throw_bad_input("{}: tensor {} lies in {} too", tensors_[i].file, quoted_for_message(tensors_[i].name),
                      tensors_[it->second].file);
    }
  }
}

std::unique_ptr<GgufSource> GgufSource::open(const std::filesystem::path& path) {
  std::unique_ptr<GgufSource> source(new GgufSource);
  source->where_ = path.string();
  MappedFile given(path);
  GgufFile parsed = parse_gguf(given.bytes(), path.string());
  const std::vector<std::filesystem::path> shards = list_shards(path, parsed.metadata);
  if (shards.size() > 1) {
    source->open_split(shards);
  } else {
    source->files_.push_back(std::move(given));
    source->metadata_ = std::move(parsed.metadata);
    source->tensors_ = std::move(parsed.tensors);
  }
  source->index_tensors();
  return source;
}

}  // namespace fathom
