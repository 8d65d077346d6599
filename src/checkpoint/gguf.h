// GGUF files (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3, little-endian: reading and
// writing.
//
//     "GGUF"  u32 version  u64 n_tensors  u64 n_keys
//     n_keys    x  { string key, u32 type, value }
//     n_tensors x  { string name, u32 n_dims, u64 dims[n_dims] (innermost first), u32 type, u64 offset }
//     zeros up to a multiple of general.alignment (32 when absent), then the tensors at their offsets from here
//
// A string is a u64 length and its bytes; an array is a u32 element type, a u64 count and the elements. A model may be
// split over files "name-00001-of-0000N.gguf": the first holds the metadata, each holds split.no, split.count and
// split.tensors.count.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file/file.h"
#include "checkpoint/tensor_source.h"

namespace fathom {

enum class GgufType : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

// "u8", "string", ...
std::string_view name(GgufType type) noexcept;

// One value: a scalar, or an array of scalars or strings.
struct GgufValue {
  GgufType type = GgufType::u8;  // of the scalar or of the array's elements; never `array`
  bool is_array = false;
  std::string bytes;                 // the number or numbers, little-endian; empty for strings
  std::vector<std::string> strings;  // the string or strings

  size_t count() const noexcept;
};

// Ordered key -> value. A getter returns nothing when the key is absent, and throws bad_input naming file and key when
// the value is of another type: "any integer type" counts as an integer, f32 and f64 as floats, and nothing is
// converted between these two.
class GgufMetadata {
 public:
  explicit GgufMetadata(std::string where = "metadata") : where_(std::move(where)) {}

  std::optional<int64_t> get_int(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::string> get_string(std::string_view key) const;
  std::optional<std::vector<int64_t>> get_ints(std::string_view key) const;
  std::optional<std::vector<float>> get_floats(std::string_view key) const;
  std::optional<std::vector<std::string>> get_strings(std::string_view key) const;

  // A new key goes to the end; an old one keeps its place.
  void set_u8(std::string_view key, uint8_t value);
  void set_u16(std::string_view key, uint16_t value);
  void set_u32(std::string_view key, uint32_t value);
  void set_i32(std::string_view key, int32_t value);
  void set_u64(std::string_view key, uint64_t value);
  void set_f32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string_view value);
  void set_i32s(std::string_view key, std::span<const int32_t> values);
  void set_u32s(std::string_view key, std::span<const uint32_t> values);
  void set_f32s(std::string_view key, std::span<const float> values);
  void set_strings(std::string_view key, std::span<const std::string> values);
  void set(std::string_view key, GgufValue value);
  void erase(std::string_view key);

  bool has(std::string_view key) const noexcept { return find(key) != nullptr; }
  const GgufValue* find(std::string_view key) const noexcept;
  std::vector<std::string> keys() const;  // in order
  size_t size() const noexcept { return entries_.size(); }
  // The file, for messages.
  const std::string& where() const noexcept { return where_; }
  // For people: the number, the quoted string, or "[1, 2, 3, ... 102400 in all]"; long strings are cut.
  std::string text(std::string_view key) const;

 private:
  struct Entry {
    std::string key;
    GgufValue value;
  };
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;  // find() by string_view allocates nothing
  };
  // The value, checked to be of one of `types` (nullptr when absent).
  const GgufValue* typed(std::string_view key, bool is_array, std::span<const GgufType> types,
                         const char* needed) const;
  template <class T>
  void set_numbers(std::string_view key, GgufType type, bool is_array, std::span<const T> values);

  std::string where_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t, Hash, std::equal_to<>> index_;
};

// One file, as its bytes say. The tensors' bytes point into `file`.
struct GgufFile {
  uint32_t version = 3;
  GgufMetadata metadata;
  std::vector<TensorInfo> tensors;
};

// Reads the header and checks all of it: every count, length, type, dimension and offset against what is there, in
// linear time and without recursion. bad_input or unsupported, naming `where` and the key or tensor.
GgufFile parse_gguf(std::span<const std::byte> file, const std::string& where);

// The file starts with "GGUF". False too when it cannot be read.
bool looks_like_gguf(const std::filesystem::path& path);

// The tensors of a GGUF model in one file or in many, mapped, not read.
class GgufSource : public TensorSource {
 public:
  // `path` is the file, or any one shard of a split model; the others must lie beside it.
  static std::unique_ptr<GgufSource> open(const std::filesystem::path& path);

  // Of the first shard: split.* keys included.
  const GgufMetadata& metadata() const noexcept { return metadata_; }
  const std::vector<TensorInfo>& tensors() const noexcept override { return tensors_; }
  const TensorInfo* find(std::string_view name) const noexcept override;
  const std::string& where() const noexcept override { return where_; }
  std::span<const MappedFile> files() const noexcept override { return files_; }

 private:
  GgufSource() = default;
  void open_split(const std::vector<std::filesystem::path>& shards);
  void index_tensors();

  std::string where_;
  std::vector<MappedFile> files_;
  GgufMetadata metadata_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> index_;
};

struct GgufTensorPlan {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;  // outermost first, 1 to 4 dimensions
};

// Writes version 3, alignment 32. Everything but the tensors' bytes is known at first; then the bytes follow in the
// order of the plan:
//
//     GgufWriter writer("model.gguf", metadata, plan);
//     for (each tensor) for (each row) writer.append(row_bytes);      // pieces may be of any size; they never span two
//     tensors writer.finish();
//
// max_shard_bytes > 0 splits the model: a shard takes tensors while their bytes fit (always at least one); the files
// are then named "model-00001-of-0000N.gguf", unless one is enough. Nothing appears under the final names before
// finish(), which needs all bytes.
class GgufWriter {
 public:
  // Refuses (bad_input) names that llama.cpp would not load (empty, 64 bytes and longer, doubled), shapes that are no
  // whole number of blocks, and types that GGUF has not.
  GgufWriter(const std::filesystem::path& path, const GgufMetadata& metadata, std::vector<GgufTensorPlan> plan,
             uint64_t max_shard_bytes = 0);
  ~GgufWriter();

  // The next bytes of the current tensor. More than it has room for is a broken invariant.
  void append(std::span<const std::byte> bytes);
  // The tensor that the next append() goes to; nullptr when all are complete.
  const GgufTensorPlan* current() const noexcept;
  // Renames all files into place. Every tensor must be complete.
  void finish();

  const std::vector<std::filesystem::path>& paths() const noexcept { return paths_; }
  uint64_t tensor_bytes() const noexcept { return tensor_bytes_; }  // of all tensors, without padding

 private:
  void open_shard(size_t shard);

  GgufMetadata metadata_;
  std::vector<GgufTensorPlan> plan_;
  std::vector<uint64_t> sizes_;      // bytes of each tensor
  std::vector<size_t> shard_begin_;  // first tensor of each shard, and one more: the number of tensors
  std::vector<std::filesystem::path> paths_;
  std::vector<std::unique_ptr<FileWriter>> writers_;
  uint64_t tensor_bytes_ = 0;
  size_t tensor_ = 0;     // the current tensor
  uint64_t written_ = 0;  // of its bytes
};

}  // namespace fathom
