// Files: read whole, memory-mapped, or written so that a reader sees either the old file or the whole new one.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/interrupt.h"

namespace fathom {

// The whole file as bytes. bad_input if it is missing, not a regular file (a FIFO or a device would block), or larger
// than max_bytes.
std::string read_file(const std::filesystem::path& path, uint64_t max_bytes = uint64_t{1} << 30);

// What tells a file from another, and from what it was before: content is not looked at. Time of its last change in
// nanoseconds.
struct FileIdentity {
  uint64_t size = 0, changed = 0, inode = 0, device = 0;
};

// A regular file mapped read-only. Opening costs the same for any size. While any MappedFile lives, a SIGBUS inside one
// of the ranges (the file was truncated under us, or the disk failed) ends the process with one sentence that names the
// file and exit code 2.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }
  const FileIdentity& identity() const noexcept { return identity_; }  // when it was opened

 private:
  std::filesystem::path path_;
  FileIdentity identity_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Whether a file or folder of that name exists; false, too, where the system does not say.
bool is_there(const std::filesystem::path& path) noexcept;

// Whether any MappedFile of this process is that file, by whatever name.
bool is_mapped(const std::filesystem::path& path);

// Lets the system take back the memory of mapped bytes that are not needed for now; reading them again reads the file.
// Bytes outside every MappedFile are left alone.
void forget_mapped(std::span<const std::byte> bytes) noexcept;

// Whose partial file a writer takes: the one of `path`, which one writer has at a time, or a new one, `path` +
// ".PID-N.partial": several processes may then write `path` at once, and the last to commit wins. Both are locked, so
// that one whose writer was killed is told from one that is being written.
enum class Partial : uint8_t { of_path, own };

// Writes a file whole or not at all: to `path` + ".partial", then flushes, fsyncs and renames in commit(). Destroyed
// without commit(), or ended by a signal (interrupt.h), the partial file is removed and `path` is as it was.
//
// A symbolic link is followed: the file it names is written. Mode and owner of a file that was there are kept; its
// other hard links keep the old content. What is no regular file (a device, a FIFO, /dev/stdout, /dev/fd/N) is never
// replaced: it is opened and written through, as it comes.
//
// bad_input Error when `path` is a directory, may not be written, or is being written by another process; a full disk
// is a resource Error; both with the system's reason.
class FileWriter {
 public:
  explicit FileWriter(const std::filesystem::path& path, Partial partial = Partial::of_path);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(std::string_view text) { write(std::as_bytes(std::span(text.data(), text.size()))); }
  // Zero bytes up to the next multiple of `alignment` from the start of the file.
  void pad_to(uint64_t alignment);
  // Replaces bytes that were written: at + bytes.size() <= position(). bad_input when they are gone: a pipe, a device.
  void overwrite(uint64_t at, std::span<const std::byte> bytes);
  uint64_t position() const noexcept { return position_; }
  void commit();

 private:
  void open_partial(Partial partial);
  void flush();
  void write_out(std::span<const std::byte> bytes, uint64_t at);

  std::filesystem::path path_, target_, partial_;  // as it was named; what it leads to; empty when written through
  std::optional<HalfWritten> half_written_;
  int fd_ = -1;
  uint64_t position_ = 0;
  std::string buffer_;
};

// What a command asks before it begins to work: refuses a `path` that FileWriter would refuse, and one that is also an
// input, under whatever name: one of `inputs`, or mapped by this process. Says nothing of a disk that will be full.
void check_writable(const std::filesystem::path& path, std::span<const std::filesystem::path> inputs = {});

// Whether two names lead to one file, be it there already or not: links are followed.
bool is_same_file(const std::filesystem::path& a, const std::filesystem::path& b);

// Whether the descriptor is the file or folder of that name, and no other has taken its place.
bool is_file_of(int fd, const std::filesystem::path& path) noexcept;

// A device, a FIFO, a socket, or a descriptor by its name: something that FileWriter writes through.
bool is_stream(const std::filesystem::path& path);

// A partial file of Partial::own whose writer was killed: nobody holds its lock. remove: true when it was one and is
// gone.
bool is_abandoned(const std::filesystem::path& partial) noexcept;
bool remove_abandoned(const std::filesystem::path& partial) noexcept;

// By its name a partial file of a file with that extension (".panels"), of Partial::own.
bool is_partial_of(std::string_view extension, const std::filesystem::path& path);
// remove_abandoned() of all of those in a folder, if it can be listed.
void remove_abandoned_in(const std::filesystem::path& folder, std::string_view extension);

}  // namespace fathom
