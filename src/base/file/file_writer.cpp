#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/file/file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// One huge page: file systems that keep large folios then hold what was written in huge pages (ext4 of Linux 6.18: all
// of a file; written a megabyte at a time, none of it).
constexpr size_t kWriteBuffer = size_t{1} << 21;

constexpr std::string_view kPartialEnd = ".partial";

std::string system_reason() { return std::strerror(errno); }

[[noreturn]] void refuse(const fs::path& path) {
  throw_bad_input("{}: cannot be written: {}", path.string(), system_reason());
}

// N of /dev/fd/N and the other names that a process's own descriptors have.
std::optional<int> named_descriptor(const fs::path& path) {
  const std::string text = path.string();
  if (text == "/dev/stdout") return STDOUT_FILENO;
  if (text == "/dev/stderr") return STDERR_FILENO;
  for (const std::string_view folder : {"/dev/fd/", "/proc/self/fd/"}) {
    if (!text.starts_with(folder)) continue;
    int n = 0;
    const char* end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data() + folder.size(), end, n);
    if (error == std::errc() && stop == end && n >= 0) return n;
  }
  return std::nullopt;
}

// Where a path leads: its last link followed, there or not. A descriptor's name stays what it is.
fs::path followed(fs::path path) {
  std::error_code error;
  for (int i = 0; i < 40 && !named_descriptor(path) && fs::is_symlink(path, error); ++i) {
    const fs::path to = fs::read_symlink(path, error);
    if (error) break;
    path = path.parent_path() / to;  // `to` itself when it is absolute
  }
  return path;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : "."; }

bool may_write(const fs::path& path) { return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0; }

// Of a target that is no stream: everything that can be known beforehand.
void check_target(const fs::path& path, const fs::path& target) {
  struct stat st {};
  if (::stat(target.c_str(), &st) == 0) {
    if (S_ISDIR(st.st_mode)) throw_bad_input("{}: is a directory; name a file", path.string());
    if (!may_write(target)) refuse(path);
  } else if (errno != ENOENT) {
    refuse(path);
  }
  const fs::path folder = folder_of(target);
  std::error_code error;
  if (!fs::is_directory(folder, error))
    throw_bad_input("{}: cannot be written: there is no folder {}", path.string(), folder.string());
  if (!may_write(folder))
    throw_bad_input("{}: cannot be written: its folder {}: {}", path.string(), folder.string(), system_reason());
}

int open_through(const fs::path& path, const fs::path& target) {
  if (const auto fd = named_descriptor(target)) {
    std::fflush(nullptr);  // what was printed before comes before
    return ::fcntl(*fd, F_DUPFD_CLOEXEC, 0);
  }
  struct stat st {};
  if (::stat(target.c_str(), &st) == 0 && S_ISSOCK(st.st_mode))
    throw_bad_input("{}: is a socket; name a file, a FIFO or a device", path.string());
  return ::open(target.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
}

// A name that a file system takes: the end goes on a name that was cut, should it be too long.
fs::path partial_of(const fs::path& path) {
  const std::string name = path.filename().string().substr(0, NAME_MAX - kPartialEnd.size());
  return path.parent_path() / (name + std::string(kPartialEnd));
}

// Opens the partial file of a path and locks it; what a killed writer left there is written over. -1 with EWOULDBLOCK
// when another writer has it. Between open and lock that writer may have given the file its final name: then again.
int open_of_path(const fs::path& partial) {
  for (;;) {
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (fd < 0) return fd;
    const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // or there are no locks here
    if (!taken && is_file_of(fd, partial) && ::ftruncate(fd, 0) == 0) return fd;
    const bool again = !taken && !is_file_of(fd, partial);
    const int error = errno;
    ::close(fd);
    errno = error;
    if (!again) return -1;
  }
}

// Opens a partial file that no other writer has, and locks it. Names do not come twice. Between open and lock
// remove_abandoned() may have taken it away: then the next one.
int open_own(const fs::path& path, fs::path& partial) {
  static std::atomic<int> n_opened{0};
  for (;;) {
    partial = fmt::format("{}.{}-{}{}", path.string(), ::getpid(), n_opened++, kPartialEnd);
    const int fd = ::open(partial.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 && errno == EEXIST) continue;
    if (fd < 0) return fd;
    ::flock(fd, LOCK_EX);  // where locks do not work, remove_abandoned() cannot lock either
    if (is_file_of(fd, partial)) return fd;
    ::close(fd);
  }
}

// The rights of a file that is about to be replaced. One who may not give files away keeps it as his own.
void keep_rights(int fd, const fs::path& target) {
  struct stat st {
  }, ours{};
  if (::stat(target.c_str(), &st) != 0 || ::fstat(fd, &ours) != 0) return;
  const bool same_owner = st.st_uid == ours.st_uid && st.st_gid == ours.st_gid;
  const bool given = same_owner || ::fchown(fd, st.st_uid, st.st_gid) == 0;
  ::fchmod(fd, st.st_mode & (given ? 07777 : 0777));
}

void wait_until_writable(int fd) {
  pollfd p{.fd = fd, .events = POLLOUT, .revents = 0};
  ::poll(&p, 1, -1);
}

}  // namespace

bool is_file_of(int fd, const fs::path& path) noexcept {
  struct stat ours {
  }, named{};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &named) == 0 && ours.st_ino == named.st_ino &&
         ours.st_dev == named.st_dev;
}

bool is_stream(const fs::path& path) {
  const fs::path target = followed(path);
  struct stat st {};
  return named_descriptor(target) || (::stat(target.c_str(), &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode));
}

void check_writable(const fs::path& path, std::span<const fs::path> inputs) {
  if (is_stream(path)) return;
  const fs::path target = followed(path);
  check_target(path, target);
  std::error_code error;
  const bool is_input = is_mapped(target) || std::any_of(inputs.begin(), inputs.end(), [&](const fs::path& input) {
                          return fs::equivalent(target, input, error);
                        });
  if (is_input) throw_bad_input("{}: is also an input, which writing would destroy; name another file", path.string());
}

bool is_same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  const fs::path real = fs::weakly_canonical(fs::absolute(followed(a), error), error);
  return !error && real == fs::weakly_canonical(fs::absolute(followed(b), error), error) && !error;
}

FileWriter::FileWriter(const fs::path& path, Partial partial) : path_(path), target_(followed(path)) {
  if (is_stream(target_)) {
    fd_ = open_through(path_, target_);
    if (fd_ < 0) refuse(path_);
  } else {
    check_target(path_, target_);
    open_partial(partial);
  }
  buffer_.reserve(kWriteBuffer);
}

void FileWriter::open_partial(Partial partial) {
  partial_ = partial_of(target_);
  const EndSignalsHeld held;
  fd_ = partial == Partial::own ? open_own(target_, partial_) : open_of_path(partial_);
  if (fd_ < 0 && errno == EWOULDBLOCK)
    throw_bad_input("{}: another process is writing it; wait for that to end, or name another file", path_.string());
  if (fd_ < 0) throw_bad_input("{}: cannot be written: {}: {}", path_.string(), partial_.string(), system_reason());
  half_written_.emplace(partial_);
}

FileWriter::~FileWriter() {
  if (fd_ < 0) return;
  const EndSignalsHeld held;
  if (!partial_.empty()) ::unlink(partial_.c_str());
  half_written_.reset();  // the name is free for another writer
  ::close(fd_);
}

void FileWriter::write_out(std::span<const std::byte> bytes, uint64_t at) {
  for (size_t done = 0; done < bytes.size();) {
    const size_t left = bytes.size() - done;
    const ssize_t n = partial_.empty() ? ::write(fd_, bytes.data() + done, left)
                                       : ::pwrite(fd_, bytes.data() + done, left, static_cast<off_t>(at + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {  // a pipe that somebody made not to wait
      wait_until_writable(fd_);
      continue;
    }
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
  if (partial_.empty())
    throw_bad_input("{}: is a pipe or a device, but this format is not written in order; name a file", path_.string());
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
  const bool through = partial_.empty();
  if (!through) keep_rights(fd_, target_);
  const bool flushed = ::fsync(fd_) == 0 || (through && (errno == EINVAL || errno == EROFS));  // no disk behind it
  if (!flushed) failed("cannot be flushed to disk");
  {
    const EndSignalsHeld held;
    if (!through && ::rename(partial_.c_str(), target_.c_str()) != 0) failed("cannot be renamed into place");
    half_written_.reset();
  }
  ::close(std::exchange(fd_, -1));  // with it the lock: not before the file has its name
  if (through) return;
  // The new name is durable only once its folder is.
  const int dir = ::open(folder_of(target_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    ::fsync(dir);
    ::close(dir);
  }
}

namespace {

// A descriptor that holds the lock of a partial file; -1 when its writer does, or there is none.
int lock_abandoned(const fs::path& partial) noexcept {
  const int fd = ::open(partial.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd >= 0 && ::flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  if (fd >= 0) ::close(fd);
  return -1;
}

}  // namespace

bool is_abandoned(const fs::path& partial) noexcept {
  const int fd = lock_abandoned(partial);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

bool remove_abandoned(const fs::path& partial) noexcept {
  const int fd = lock_abandoned(partial);
  if (fd < 0) return false;
  const bool removed = ::unlink(partial.c_str()) == 0;
  ::close(fd);
  return removed;
}

bool is_partial_of(std::string_view extension, const fs::path& path) {
  const std::string name = path.filename().string();
  return name.find(std::string(extension) + ".") != std::string::npos && name.ends_with(kPartialEnd);
}

void remove_abandoned_in(const fs::path& folder, std::string_view extension) {
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (is_partial_of(extension, entry->path())) remove_abandoned(entry->path());
}

}  // namespace fathom
