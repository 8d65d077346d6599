#include "base/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

namespace fathom {

void open_closed_streams() noexcept {
  // In ascending order: open() takes the lowest descriptor that is free. Each is opened for what it is not used for.
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd)
    if (::fcntl(fd, F_GETFD) < 0 && ::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
      ::_exit(2);  // there is nobody to tell
}

}  // namespace fathom
