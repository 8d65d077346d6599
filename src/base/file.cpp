#include "base/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/error.h"

namespace fathom {
namespace {

std::string system_reason() { return std::strerror(errno); }

struct OpenedFile {
  int fd;
  FileIdentity identity;
};

OpenedFile open_regular(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO without a writer would otherwise wait for ever, before fstat can tell what it is.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) throw_bad_input("{}: cannot be opened: {}", path.string(), system_reason());
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    const char* what = S_ISDIR(st.st_mode)    ? "a directory"
                       : S_ISFIFO(st.st_mode) ? "a FIFO"
                       : S_ISCHR(st.st_mode)  ? "a device"
                                              : "not a regular file";
    ::close(fd);
    throw_bad_input("{}: is {}; a regular file is needed", path.string(), what);
  }
  return {
      fd,
      {.size = static_cast<uint64_t>(st.st_size),
       .changed = static_cast<uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(st.st_mtim.tv_nsec),
       .inode = st.st_ino}};
}

// The table that the SIGBUS handler reads. It must need no lock and no allocation: a fixed number of slots, each
// published by its `begin` and emptied by zeroing it. More files than slots: the rest end with the default action, as
// without the handler.
struct MappedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::array<char, 512> path{};
};
std::array<MappedRange, 1024> mapped_ranges;

void write_stderr(const char* text) noexcept {
  const ssize_t ignored = ::write(STDERR_FILENO, text, std::strlen(text));
  static_cast<void>(ignored);
}

void on_sigbus(int, siginfo_t* signal_info, void*) {
  const auto address = reinterpret_cast<uintptr_t>(signal_info->si_addr);
  for (const MappedRange& r : mapped_ranges) {
    const uintptr_t begin = r.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin || address >= r.end.load(std::memory_order_relaxed)) continue;
    write_stderr("\nfathom: ");
    write_stderr(r.path.data());
    write_stderr(
        ": the file can no longer be read (truncated or replaced while in use, or a disk error); restore it and start "
        "again\n");
    ::_exit(2);
  }
  ::signal(SIGBUS, SIG_DFL);  // not one of ours: the instruction faults again and the default action follows
}

void guard_range(const std::byte* data, size_t size, const std::filesystem::path& path) {
  static const bool installed = [] {
    struct sigaction action {};
    action.sa_sigaction = on_sigbus;
    action.sa_flags = SA_SIGINFO;
    return ::sigaction(SIGBUS, &action, nullptr) == 0;
  }();
  static_cast<void>(installed);
  const auto begin = reinterpret_cast<uintptr_t>(data);
  for (MappedRange& r : mapped_ranges) {
    uintptr_t empty = 0;
    if (!r.end.compare_exchange_strong(empty, begin + size)) continue;  // `end` claims the slot
    std::strncpy(r.path.data(), path.c_str(), r.path.size() - 1);
    r.begin.store(begin, std::memory_order_release);
    return;
  }
}

void unguard_range(const std::byte* data) noexcept {
  for (MappedRange& r : mapped_ranges) {
    if (r.begin.load(std::memory_order_relaxed) != reinterpret_cast<uintptr_t>(data)) continue;
    r.begin.store(0, std::memory_order_release);
    r.end.store(0, std::memory_order_release);
    return;
  }
}

}  // namespace

std::string read_file(const std::filesystem::path& path, uint64_t max_bytes) {
  const OpenedFile f = open_regular(path);
  if (f.identity.size > max_bytes) {
    ::close(f.fd);
    throw_bad_input("{}: has {} bytes; at most {} can be read here", path.string(), f.identity.size, max_bytes);
  }
  std::string text(f.identity.size, '\0');
  size_t have = 0;
  while (have < text.size()) {
    const ssize_t n = ::read(f.fd, text.data() + have, text.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      const std::string reason = n < 0 ? system_reason() : "it became shorter while being read";
      ::close(f.fd);
      throw_bad_input("{}: cannot be read: {}", path.string(), reason);
    }
    have += static_cast<size_t>(n);
  }
  ::close(f.fd);
  return text;
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const OpenedFile f = open_regular(path);
  identity_ = f.identity;
  size_ = f.identity.size;
  if (size_ > 0) {
    void* p = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, f.fd, 0);
    const std::string reason = p == MAP_FAILED ? system_reason() : "";
    ::close(f.fd);
    if (p == MAP_FAILED)
      throw_resource("{}: cannot map {} bytes: {}; is there an address-space limit (ulimit -v)?", path.string(), size_,
                     reason);
    data_ = static_cast<const std::byte*>(p);
    guard_range(data_, size_, path_);
  } else {
    ::close(f.fd);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      identity_(other.identity_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

void forget_mapped(std::span<const std::byte> bytes) noexcept {
  constexpr uintptr_t kPage = 4096;
  const auto first = (reinterpret_cast<uintptr_t>(bytes.data()) + kPage - 1) / kPage * kPage;
  const auto end = (reinterpret_cast<uintptr_t>(bytes.data()) + bytes.size()) / kPage * kPage;
  if (first >= end) return;
  for (const MappedRange& r : mapped_ranges) {
    const uintptr_t begin = r.begin.load(std::memory_order_acquire);
    if (begin == 0 || first < begin || end > r.end.load(std::memory_order_relaxed)) continue;
    ::madvise(reinterpret_cast<void*>(first), end - first, MADV_DONTNEED);  // the mapping is shared: nothing is lost
    return;
  }
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  unguard_range(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);  // munmap's signature is not const
}

namespace {

// One huge page: file systems that keep large folios then hold what was written in huge pages (ext4 of Linux 6.18: all
// of a file; written a megabyte at a time, none of it).
constexpr size_t kWriteBuffer = size_t{1} << 21;

// Opens a partial file that no other writer has, and locks it. Names do not come twice. Between open and lock
// remove_abandoned() may have taken it away: then the next one.
int open_own(const std::filesystem::path& path, std::filesystem::path& partial) {
  static std::atomic<int> n_opened{0};
  for (;;) {
    partial = fmt::format("{}.{}-{}.partial", path.string(), ::getpid(), n_opened++);
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return fd;
    ::flock(fd, LOCK_EX);  // where locks do not work, remove_abandoned() cannot lock either
    struct stat st {};
    if (::fstat(fd, &st) != 0 || st.st_nlink > 0) return fd;
    ::close(fd);
  }
}

}  // namespace

FileWriter::FileWriter(const std::filesystem::path& path, Partial partial)
    : path_(path), partial_(path.string() + ".partial") {
  fd_ = partial == Partial::own ? open_own(path_, partial_)
                                : ::open(partial_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd_ < 0) throw_bad_input("{}: cannot be written: {}", path_.string(), system_reason());
  buffer_.reserve(kWriteBuffer);
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  ::unlink(partial_.c_str());
  ::close(fd_);
}

void FileWriter::write_out(std::span<const std::byte> bytes, uint64_t at) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::pwrite(fd_, bytes.data() + done, bytes.size() - done, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_resource("{}: writing stopped after {} bytes: {}", path_.string(), at + done, system_reason());
    done += static_cast<size_t>(n);
  }
}

void FileWriter::flush() {
  write_out(std::as_bytes(std::span(buffer_)), position_ - buffer_.size());
  buffer_.clear();
}

void FileWriter::overwrite(uint64_t at, std::span<const std::byte> bytes) {
  check(at + bytes.size() <= position_, "only what was written is replaced");
  flush();
  write_out(bytes, at);
}

void FileWriter::write(std::span<const std::byte> bytes) {
  const char* p = reinterpret_cast<const char*>(bytes.data());
  for (size_t left = bytes.size(); left > 0;) {
    const size_t n = std::min(left, kWriteBuffer - buffer_.size());
    buffer_.append(p, n);
    p += n;
    left -= n;
    position_ += n;
    if (buffer_.size() == kWriteBuffer) flush();
  }
}

void FileWriter::pad_to(uint64_t alignment) {
  const uint64_t over = position_ % alignment;
  if (over != 0) write(std::string_view(std::string(alignment - over, '\0')));
}

void FileWriter::commit() {
  flush();
  const auto failed = [&](const char* what) { throw_resource("{}: {}: {}", path_.string(), what, system_reason()); };
  if (::fsync(fd_) != 0) failed("cannot be flushed to disk");
  if (::rename(partial_.c_str(), path_.c_str()) != 0) failed("cannot be renamed into place");
  ::close(std::exchange(fd_, -1));  // with it the lock: not before the file has its name
  // The new name is durable only once its folder is.
  const std::filesystem::path folder = path_.has_parent_path() ? path_.parent_path() : ".";
  const int dir = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    ::fsync(dir);
    ::close(dir);
  }
}

namespace {

// A descriptor that holds the lock of a partial file; -1 when its writer does, or there is none.
int lock_abandoned(const std::filesystem::path& partial) noexcept {
  const int fd = ::open(partial.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace

bool is_abandoned(const std::filesystem::path& partial) noexcept {
  const int fd = lock_abandoned(partial);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

bool remove_abandoned(const std::filesystem::path& partial) noexcept {
  const int fd = lock_abandoned(partial);
  if (fd < 0) return false;
  const bool removed = ::unlink(partial.c_str()) == 0;
  ::close(fd);
  return removed;
}

bool is_partial_of(std::string_view extension, const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  return name.find(std::string(extension) + ".") != std::string::npos && name.ends_with(".partial");
}

void remove_abandoned_in(const std::filesystem::path& folder, std::string_view extension) {
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_partial_of(extension, entry->path())) remove_abandoned(entry->path());
}

}  // namespace fathom
