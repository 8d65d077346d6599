// A file of packed weights (packing/packed_weights.h), mapped by later runs in place of packing again. Little-endian:
//
//   offset  size
//        0     8  magic "FTHMPNL\n"
//        8     4  version of this format, 1
//       12     4  kPackedLayoutVersion
//       16     8  fingerprint of the model (packed_fingerprint)
//       24     8  size of the file
//       32     8  size of the header
//       40     8  n_tensors
//       48     8  checksum of the header: XXH64 of its bytes 0 to 47, then of those from 56 on
//       56        path of the model when the file was written, for people: u64 length, bytes, zeros to a multiple of 8
//                 n_tensors x { name as the path is; u32 type, as in GGUF; u32 0; i64 rows, cols;
//                               u64 offset, u64 XXH64 of its packed form }
//
// Packed weights begin at the first multiple of 2 MB after the header, then each at the next multiple of kPackedAlign.
// Every byte that a run uses is under a checksum. Deleting the file, also while it is in use, loses nothing but time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/file/file.h"
#include "checkpoint/tensor_source.h"
#include "packing/packed_weights.h"

namespace fathom {

inline constexpr const char* kPackedFileExtension = ".panels";

struct PackedTensor {
  std::string name;
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0;
  uint64_t offset = 0, checksum = 0;

  uint64_t bytes() const noexcept;  // of its packed form
};

struct PackedHeader {
  uint64_t fingerprint = 0, file_bytes = 0;
  std::string model;
  std::vector<PackedTensor> tensors;
};

// The header of a file that begins with `bytes` (all of it, or as much as there is of it) and has `file_bytes`. Refuses
// (bad_input; unsupported for another version) whatever is not exactly as above; `where` names it in messages.
PackedHeader parse_packed_header(std::span<const std::byte> bytes, uint64_t file_bytes, const std::string& where);
// The header's bytes. Offsets and file_bytes follow from the rest: place_tensors sets them.
std::string packed_header_bytes(const PackedHeader& header);
void place_tensors(PackedHeader& header);

// What the packed weights of a model are known by: size, time of change and inode of each of its files (no path); name,
// type, shape and place of every weight; kPackedLayoutVersion; and 4 KB from each of 64 weights spread over all. A file
// that is changed in place elsewhere, with its time set back, is taken for the same. Nothing when `source` is null or
// the weights do not lie in its files.
std::optional<uint64_t> packed_fingerprint(const TensorSource* source, std::span<const NamedWeight> weights);

std::filesystem::path packed_file_path(const std::filesystem::path& folder, uint64_t fingerprint);

// A mapped file.
class PackedFile {
 public:
  using ProgressFn = PackedWeights::ProgressFn;

  // Checks the header; the weights are not read. Errors as of parse_packed_header.
  explicit PackedFile(const std::filesystem::path& path);

  const PackedHeader& header() const noexcept { return header_; }
  const std::filesystem::path& path() const noexcept { return file_.path(); }

  // Reads all weights, by all threads, which also brings them into memory. bad_input when a checksum differs.
  void verify(ThreadPool& pool, const ProgressFn& progress = {}) const;
  // Sets Weight::packed, valid as long as this lives. bad_input, and nothing set, when these are not its weights.
  void attach(uint64_t fingerprint, std::span<const NamedWeight> weights) const;

 private:
  std::span<const std::byte> packed(const PackedTensor& t) const noexcept;

  MappedFile file_;
  PackedHeader header_;
};

// Packs the weights into a file, one after the other: memory holds one of them at a time. Makes the folder, removes
// what killed writers left in it, and replaces a file of that name when all is written and flushed; several processes
// may do so at once. resource or bad_input Error when the disk has no room or cannot be written; nothing is left then.
void write_packed_file(ThreadPool& pool, const std::filesystem::path& path, const std::filesystem::path& model,
                       uint64_t fingerprint, std::span<const NamedWeight> weights,
                       const PackedWeights::ProgressFn& progress = {});

}  // namespace fathom
