#include "base/file/working_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"
#include "base/file/file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// A descriptor that holds the lock. Between open and lock the folder may have got its final name: then again.
int open_locked(const fs::path& path) {
  for (;;) {
    std::error_code error;
    fs::create_directories(path, error);
    const int fd = error ? -1 : ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
      throw_bad_input("{}: cannot be made: {}", path.string(), error ? error.message() : std::strerror(errno));
    const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;  // or there are no locks here
    if (!taken && is_file_of(fd, path)) return fd;
    ::close(fd);
    if (taken)
      throw_bad_input("{}: another process is writing it; wait for that to end, or name another", path.string());
  }
}

void remove_contents(const fs::path& path) noexcept {
  std::error_code ignored;
  for (fs::directory_iterator entry(path, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::error_code failed;
    fs::remove_all(entry->path(), failed);
  }
}

}  // namespace

WorkingFolder::WorkingFolder(const fs::path& path, Leftovers leftovers) : path_(path) {
  std::error_code error;
  const EndSignalsHeld held;
  const bool was_there = fs::exists(path, error);
  removed_ = was_there && leftovers == Leftovers::refused ? HalfWritten::Kind::contents : HalfWritten::Kind::folder;
  fd_ = open_locked(path);
  if (leftovers == Leftovers::removed) remove_contents(path);
  const bool is_empty = fs::is_empty(path, error);
  if (error || !is_empty) {
    if (!was_there) ::rmdir(path.c_str());
    ::close(fd_);
    if (error) throw_bad_input("{}: cannot be read: {}", path.string(), error.message());
    throw_bad_input("{}: is not empty; remove it first, or name another", path.string());
  }
  half_written_.emplace(path, removed_);
}

WorkingFolder::~WorkingFolder() {
  if (half_written_) {
    remove_contents(path_);
    if (removed_ == HalfWritten::Kind::folder) ::rmdir(path_.c_str());
  }
  ::close(fd_);
}

void WorkingFolder::keep() noexcept { half_written_.reset(); }

bool is_being_filled(const fs::path& folder) noexcept {
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool taken = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return taken;
}

}  // namespace fathom
