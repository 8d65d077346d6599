#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "checkpoint/gguf.h"

namespace fathom {
namespace {

constexpr uint64_t kAlignment = 32;
constexpr size_t kMaxTensorName = 63;  // ggml keeps 64 bytes, the last one zero

constexpr uint64_t padded(uint64_t bytes) noexcept { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
void put(std::string& out, T number) {
  out.append(reinterpret_cast<const char*>(&number), sizeof(number));
}

void put_string(std::string& out, std::string_view text) {
  put(out, static_cast<uint64_t>(text.size()));
  out += text;
}

void put_value(std::string& out, const GgufValue& v) {
  if (v.is_array) {
    put(out, static_cast<uint32_t>(GgufType::array));
    put(out, static_cast<uint32_t>(v.type));
    put(out, static_cast<uint64_t>(v.count()));
  } else {
    put(out, static_cast<uint32_t>(v.type));
  }
  out += v.bytes;
  for (const std::string& s : v.strings) put_string(out, s);
}

// The bytes of one tensor, and everything that would not load elsewhere refused.
uint64_t planned_bytes(const GgufTensorPlan& t, const std::string& where) {
  const DTypeInfo& type = info(t.dtype);
  if (t.name.empty() || t.name.size() > kMaxTensorName)
    throw_bad_input("{}: tensor name {} has {} bytes; 1 to {} are needed", where, quoted_for_message(t.name),
                    t.name.size(), kMaxTensorName);
  if (type.ggml_type < 0)
    throw_unsupported("{}: tensor {} of type {} has no GGUF form; write it as bf16", where, quoted_for_message(t.name),
                      type.name);
  uint64_t elements = 1;
  bool ok = !t.shape.empty() && t.shape.size() <= 4 && t.shape.back() % type.block_elements == 0;
  for (int64_t dim : t.shape)
    ok = ok && dim > 0 && !__builtin_mul_overflow(elements, static_cast<uint64_t>(dim), &elements);
  uint64_t bytes = 0;
  ok = ok && !__builtin_mul_overflow(elements / static_cast<uint64_t>(type.block_elements),
                                     static_cast<uint64_t>(type.block_bytes), &bytes);
  if (!ok || bytes > uint64_t{1} << 62) {
    throw_bad_input(
        "{}: tensor {} of shape {} cannot be stored as {}: 1 to 4 dimensions and rows of whole blocks of {} are needed",
        where, quoted_for_message(t.name), shape_text(t.shape), type.name, type.block_elements);
  }
  return bytes;
}

// First tensor of each shard, and the number of tensors.
std::vector<size_t> shard_borders(const std::vector<uint64_t>& sizes, uint64_t max_shard_bytes) {
  std::vector<size_t> begin = {0};
  uint64_t in_shard = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (max_shard_bytes > 0 && i > begin.back() && in_shard + padded(sizes[i]) > max_shard_bytes) {
      begin.push_back(i);
      in_shard = 0;
    }
    in_shard += padded(sizes[i]);
  }
  begin.push_back(sizes.size());
  return begin;
}

std::filesystem::path shard_path(const std::filesystem::path& path, size_t shard, size_t n_shards) {
  if (n_shards == 1) return path;
  return path.parent_path() / fmt::format("{}-{:05}-of-{:05}.gguf", path.stem().string(), shard + 1, n_shards);
}

// The header of one file: metadata, then the records of tensors [begin, end).
std::string header_bytes(const GgufMetadata& metadata, std::span<const GgufTensorPlan> tensors,
                         std::span<const uint64_t> sizes) {
  std::string out = "GGUF";
  put(out, uint32_t{3});
  put(out, static_cast<uint64_t>(tensors.size()));
  put(out, static_cast<uint64_t>(metadata.size()));
  for (const std::string& key : metadata.keys()) {
    put_string(out, key);
    put_value(out, *metadata.find(key));
  }
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const GgufTensorPlan& t = tensors[i];
    put_string(out, t.name);
    put(out, static_cast<uint32_t>(t.shape.size()));
    for (auto dim = t.shape.rbegin(); dim != t.shape.rend(); ++dim) put(out, static_cast<uint64_t>(*dim));
    put(out, static_cast<uint32_t>(info(t.dtype).ggml_type));
    put(out, offset);
    offset += padded(sizes[i]);
  }
  return out;
}

}  // namespace

GgufWriter::GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata,
                       std::vector<GgufTensorPlan> plan, uint64_t max_shard_bytes)
    : metadata_(metadata), plan_(std::move(plan)) {
  metadata_.erase("general.alignment");  // always the default
  std::unordered_set<std::string_view> names;
  for (const GgufTensorPlan& t : plan_) {
    sizes_.push_back(planned_bytes(t, path.string()));
    if (__builtin_add_overflow(tensor_bytes_, sizes_.back(), &tensor_bytes_) || tensor_bytes_ > uint64_t{1} << 62)
      throw_bad_input("{}: the tensors are larger than any file", path.string());
    if (!names.insert(t.name).second)
      throw_bad_input("{}: tensor {} is planned twice", path.string(), quoted_for_message(t.name));
  }
  shard_begin_ = shard_borders(sizes_, max_shard_bytes);
  const size_t n_shards = shard_begin_.size() - 1;
  if (n_shards > 65535) {  // split.count is a u16
    throw_bad_input("{}: shards of {} bytes would make {} files; at most 65535 are possible. Allow larger shards",
                    path.string(), max_shard_bytes, n_shards);
  }
  for (size_t i = 0; i < n_shards; ++i) paths_.push_back(shard_path(path, i, n_shards));
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata_.erase(key);
  open_shard(0);
}

GgufWriter::~GgufWriter() = default;

void GgufWriter::open_shard(size_t shard) {
  const size_t n_shards = paths_.size();
  GgufMetadata metadata = shard == 0 ? metadata_ : GgufMetadata();
  if (n_shards > 1) {
    metadata.set_u16("split.no", static_cast<uint16_t>(shard));
    metadata.set_u16("split.count", static_cast<uint16_t>(n_shards));
    metadata.set_i32("split.tensors.count", static_cast<int32_t>(plan_.size()));
  }
  const size_t begin = shard_begin_[shard], n = shard_begin_[shard + 1] - begin;
  writers_.push_back(std::make_unique<FileWriter>(paths_[shard]));
  writers_.back()->write(
      header_bytes(metadata, std::span(plan_).subspan(begin, n), std::span(sizes_).subspan(begin, n)));
  writers_.back()->pad_to(kAlignment);
}

const GgufTensorPlan* GgufWriter::current() const noexcept {
  return tensor_ < plan_.size() ? &plan_[tensor_] : nullptr;
}

void GgufWriter::append(std::span<const std::byte> bytes) {
  check(tensor_ < plan_.size() && bytes.size() <= sizes_[tensor_] - written_, "appended bytes fit the current tensor");
  if (written_ == 0 && tensor_ == shard_begin_[writers_.size()]) open_shard(writers_.size());
  writers_.back()->write(bytes);
  written_ += bytes.size();
  if (written_ < sizes_[tensor_]) return;
  writers_.back()->pad_to(kAlignment);
  ++tensor_;
  written_ = 0;
}

void GgufWriter::finish() {
  check(tensor_ == plan_.size(), "every planned tensor is complete");
  for (auto& writer : writers_) writer->commit();
  writers_.clear();
}

}  // namespace fathom
