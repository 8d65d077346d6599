// Safetensors: reading a file, or a folder with one file or with shards and their index; and writing them.
// A file is: header length (8 bytes, little-endian), header (JSON: name -> dtype, shape, data_offsets), data.
// Format: https://huggingface.co/docs/safetensors (metadata parsing).
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file/file.h"
#include "checkpoint/tensor_source.h"

namespace fathom {

inline constexpr std::string_view kSafetensorsFile = "model.safetensors";
inline constexpr std::string_view kSafetensorsIndex = "model.safetensors.index.json";

// Whether a folder holds weights that SafetensorsSource opens. bad_input when it does, but not all of them, or more
// than one model without an index.
bool holds_safetensors(const std::filesystem::path& folder);

// Maps the files and checks their headers against the file's length; the data is not touched. Element types F32, F16,
// BF16, F8_E4M3.
class SafetensorsSource : public TensorSource {
 public:
  // A .safetensors file, which may be any one of the shards of a model that lie beside it; or a folder that holds
  // model.safetensors, or model.safetensors.index.json with its shards (the first when it has both, as transformers
  // does), or without an index all shards of one model, or a single .safetensors file. Shards are named by plain file
  // names; they may be symbolic links, as in the cache of huggingface_hub.
  explicit SafetensorsSource(const std::filesystem::path& path);

  const std::vector<TensorInfo>& tensors() const noexcept override { return tensors_; }
  const TensorInfo* find(std::string_view name) const noexcept override;
  const std::string& where() const noexcept override { return where_; }
  std::span<const MappedFile> files() const noexcept override { return files_; }

 private:
  std::vector<TensorInfo> map(const std::filesystem::path& file);
  void open_indexed(const std::filesystem::path& folder);
  void open_files(const std::vector<std::filesystem::path>& files);

  std::string where_;
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;  // keys are the names in tensors_
};

// The tensors of one file's bytes, in the order of their data. `file` is the name for messages. Every length, offset
// and shape is checked; the spans point into `bytes`. Shared by the source and by the fuzz target.
std::vector<TensorInfo> parse_safetensors(std::span<const std::byte> bytes, const std::string& file);

struct PlannedTensor {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;

  uint64_t bytes() const noexcept;
};

// Writes tensors one after the other without holding them: first the plan, then the bytes.
class SafetensorsWriter {
 public:
  // `path` ending in ".safetensors": one file. Otherwise a folder, made when missing: model.safetensors, or when the
  // plan exceeds max_shard_bytes model-0000i-of-0000N.safetensors with the index that transformers reads. A single
  // tensor may exceed the limit.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<PlannedTensor> plan, uint64_t max_shard_bytes);
  // Without commit(): everything written so far is removed.
  ~SafetensorsWriter();

  // The plan in the order in which write() takes the bytes: within a shard wider elements come first, which keeps every
  // tensor aligned.
  const std::vector<PlannedTensor>& plan() const noexcept { return plan_; }
  // The next bytes, in pieces of any length.
  void write(std::span<const std::byte> bytes);
  // All bytes of the plan must have been written.
  void commit();

 private:
  struct Shard {
    std::filesystem::path path;
    size_t first, end;  // of plan_
    uint64_t bytes;
  };
  void split_into_shards(uint64_t max_shard_bytes);
  void name_shards(const std::filesystem::path& path);
  void open_shard();
  void close_shard();
  void write_index() const;

  std::vector<PlannedTensor> plan_;
  std::vector<Shard> shards_;
  std::filesystem::path folder_;
  std::unique_ptr<FileWriter> file_;
  size_t shard_ = 0;   // being written
  uint64_t left_ = 0;  // data bytes still to come in it
  bool done_ = false;
};

}  // namespace fathom
