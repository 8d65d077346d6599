#include "train/run/run_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace fathom {
namespace {

// What the holder wrote: its process number.
std::string holder(int fd) {
  char text[24];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  std::string pid(text, static_cast<size_t>(n > 0 ? n : 0));
  pid = pid.substr(0, pid.find_first_not_of("0123456789"));
  return pid.empty() ? "" : " (process " + pid + ")";
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& run) {
  const std::filesystem::path path = run / "lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
  if (fd_ < 0)
    throw_bad_input("{}: cannot be written: {}; name another folder with -o", path.string(), std::strerror(errno));
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    const std::string other = holder(fd_);
    ::close(fd_);
    throw_bad_input(
        "{}: another `fathom train`{} is writing this run; wait for it to end, or name another folder with -o",
        run.string(), other);
  }
  const std::string pid = std::to_string(::getpid()) + "\n";
  // For the message above alone: when it cannot be written, the lock holds all the same.
  if (::ftruncate(fd_, 0) == 0) static_cast<void>(::pwrite(fd_, pid.data(), pid.size(), 0) == 0);
}

RunLock::~RunLock() { ::close(fd_); }

}  // namespace fathom
