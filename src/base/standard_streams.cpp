#include "base/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace fathom {

void open_closed_streams() noexcept {
  // In ascending order: open() takes the lowest descriptor that is free. stdin is opened for writing and stdout for
  // reading, so that using them fails.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == STDOUT_FILENO ? O_RDONLY : O_WRONLY) != fd)
      ::_exit(2);  // there is nobody to tell
}

}  // namespace fathom
