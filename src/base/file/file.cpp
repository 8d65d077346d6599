#include "base/file/file.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
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
       .inode = st.st_ino,
       .device = st.st_dev}};
}

// The table that the SIGBUS handler reads. It must need no lock and no allocation: a fixed number of slots, each
// published by its `begin` and emptied by zeroing it. More files than slots: the rest end with the default action, as
// without the handler.
struct MappedRange {
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  std::atomic<uint64_t> inode{0}, device{0};
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
    remove_half_written();  // what was to be made of it
    ::_exit(2);
  }
  ::signal(SIGBUS, SIG_DFL);  // not one of ours: the instruction faults again and the default action follows
}

void guard_range(const std::byte* data, const FileIdentity& identity, const std::filesystem::path& path) {
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
    if (!r.end.compare_exchange_strong(empty, begin + identity.size)) continue;  // `end` claims the slot
    std::strncpy(r.path.data(), path.c_str(), r.path.size() - 1);
    r.inode.store(identity.inode);
    r.device.store(identity.device);
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
    guard_range(data_, identity_, path_);
  } else {
    ::close(f.fd);
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      identity_(other.identity_),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

bool is_there(const std::filesystem::path& path) noexcept {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

bool is_mapped(const std::filesystem::path& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) != 0) return false;
  return std::any_of(mapped_ranges.begin(), mapped_ranges.end(), [&](const MappedRange& r) {
    return r.begin.load(std::memory_order_acquire) != 0 && r.inode.load() == st.st_ino && r.device.load() == st.st_dev;
  });
}

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

}  // namespace fathom
