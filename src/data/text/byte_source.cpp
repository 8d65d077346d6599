#include "data/text/byte_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace fathom {
namespace {

FileIdentity identity_of(const struct stat& st) {
  return {
      .size = static_cast<uint64_t>(st.st_size),
      .changed = static_cast<uint64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(st.st_mtim.tv_nsec),
      .inode = st.st_ino};
}

}  // namespace

std::string input_name(const std::filesystem::path& path) { return names_stdin(path) ? "stdin" : path.string(); }

FileSource::FileSource(const std::filesystem::path& path)
    : name_(input_name(path)),
      fd_(names_stdin(path) ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (fd_ < 0) throw_bad_input("{}: cannot be opened: {}", name_, std::strerror(errno));
  struct stat st {};
  const bool known = ::fstat(fd_, &st) == 0;
  if (known && S_ISDIR(st.st_mode)) {
    ::close(fd_);
    throw_bad_input("{}: is a directory; a file is needed", name_);
  }
  is_regular_ = known && S_ISREG(st.st_mode);
  identity_ = identity_of(st);
}

FileSource::~FileSource() { ::close(fd_); }

size_t FileSource::read(std::span<char> out) {
  size_t have = 0;
  while (have < out.size()) {
    const ssize_t n = ::read(fd_, out.data() + have, out.size() - have);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_bad_input("{}: cannot be read: {}", name_, std::strerror(errno));
    if (n == 0) break;
    have += static_cast<size_t>(n);
  }
  hash_.update(std::as_bytes(out.first(have)));
  position_ += have;
  return have;
}

void FileSource::check_unchanged() const {
  struct stat st {};
  if (!is_regular_ || ::fstat(fd_, &st) != 0) return;
  const FileIdentity now = identity_of(st);
  if (now.size != identity_.size || now.changed != identity_.changed)
    throw_bad_input("{}: changed while it was read; start again when nothing writes to it", name_);
}

size_t MemorySource::read(std::span<char> out) {
  const size_t n = rest_.copy(out.data(), out.size());
  rest_.remove_prefix(n);
  return n;
}

std::string_view PeekSource::peek(size_t n) {
  if (const size_t have = head_.size(); have < n) {
    head_.resize(n);
    head_.resize(have + in_.read(std::span(head_).subspan(have)));
  }
  return std::string_view(head_).substr(0, n);
}

size_t PeekSource::read(std::span<char> out) {
  const size_t n = head_.copy(out.data(), out.size());
  head_.erase(0, n);
  return n + in_.read(out.subspan(n));
}

}  // namespace fathom
