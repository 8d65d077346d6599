#include "train/run/append_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace fathom {

AppendFile::AppendFile(const std::filesystem::path& path, Open open) : path_(path) {
  const int exclusive = open == Open::must_be_new ? O_EXCL : 0;
  // O_NONBLOCK: a FIFO of this name is refused below instead of waited for.
  fd_ = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | exclusive, 0644);
  if (fd_ < 0) throw_bad_input("{}: cannot be written: {}", path.string(), std::strerror(errno));
  struct stat st {};
  if (::fstat(fd_, &st) != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd_);
    throw_bad_input("{}: is not a regular file; move it away", path.string());
  }
  if (open == Open::alone && ::flock(fd_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(fd_);
    throw_bad_input("{}: another process is writing it; wait for that to end, or name another file", path.string());
  }
  size_ = static_cast<uint64_t>(st.st_size);
}

AppendFile::~AppendFile() { ::close(fd_); }

void AppendFile::append(std::string_view entry) {
  for (size_t done = 0; done < entry.size();) {
    const ssize_t n = ::write(fd_, entry.data() + done, entry.size() - done);
    if (n >= 0) {
      done += static_cast<size_t>(n);
    } else if (errno != EINTR) {
      const int reason = errno;
      const bool cut = ::ftruncate(fd_, static_cast<off_t>(size_)) == 0;
      throw_resource("{}: an entry of {} bytes could not be added: {}{}", path_.string(), entry.size(),
                     std::strerror(reason), cut ? "" : "; a part of it stays at the end of the file");
    }
  }
  size_ += entry.size();
}

void AppendFile::cut_to(uint64_t bytes) {
  if (::ftruncate(fd_, static_cast<off_t>(bytes)) != 0)
    throw_resource("{}: cannot be cut to {} bytes: {}", path_.string(), bytes, std::strerror(errno));
  size_ = bytes;
}

}  // namespace fathom
