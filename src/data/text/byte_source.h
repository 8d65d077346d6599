// Bytes in order: of a file, a FIFO or stdin, and of what gzip and zstd made smaller.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/file/file.h"
#include "base/xxh64.h"

namespace fathom {

// How a path of an input is called in messages: "-" is stdin.
std::string input_name(const std::filesystem::path& path);
inline bool names_stdin(const std::filesystem::path& path) { return path == "-"; }

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `out`; fewer bytes only at the end. Errors name the file.
  virtual size_t read(std::span<char> out) = 0;
};

// A file, a FIFO, a device, or stdin ("-"). bad_input when it cannot be opened or read, or is a directory.
class FileSource : public ByteSource {
 public:
  explicit FileSource(const std::filesystem::path& path);
  ~FileSource() override;
  FileSource(const FileSource&) = delete;
  FileSource& operator=(const FileSource&) = delete;

  size_t read(std::span<char> out) override;
  uint64_t position() const noexcept { return position_; }
  uint64_t hash() const noexcept { return hash_.digest(); }  // XXH64 of what was read
  bool is_regular() const noexcept { return is_regular_; }
  // bad_input when something wrote to the regular file since it was opened.
  void check_unchanged() const;

 private:
  std::string name_;
  int fd_;
  bool is_regular_ = false;
  FileIdentity identity_;
  uint64_t position_ = 0;
  Xxh64 hash_;
};

// Bytes in memory, which must stay.
class MemorySource : public ByteSource {
 public:
  explicit MemorySource(std::string_view bytes) : rest_(bytes) {}
  size_t read(std::span<char> out) override;

 private:
  std::string_view rest_;
};

// Another source, whose first bytes can be looked at before they are read.
class PeekSource : public ByteSource {
 public:
  explicit PeekSource(ByteSource& in) : in_(in) {}
  // The next n bytes, fewer only at the end; valid until the next call.
  std::string_view peek(size_t n);
  size_t read(std::span<char> out) override;

 private:
  ByteSource& in_;
  std::string head_;  // those that were looked at and not read
};

enum class Packing : uint8_t { none, gzip, zstd };
// By the first bytes (4 are enough).
Packing packing_of(std::string_view head) noexcept;
// The bytes that `in` packs: several gzip members or zstd frames one after another are one text. Checksums are
// compared. bad_input, with `name`, when they end too early, are damaged, or something else follows.
std::unique_ptr<ByteSource> unpack(Packing packing, ByteSource& in, std::string name);

}  // namespace fathom
