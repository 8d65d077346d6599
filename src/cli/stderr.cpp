#include "cli/stderr.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>

namespace fathom {
namespace {

// SIGPIPE keeps its meaning for stdout, so it is blocked for this write alone, and taken when it has come.
ssize_t write_or_drop(void*, const char* bytes, size_t n) {
  sigset_t pipe_signal, before;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &before);
  for (size_t done = 0; done < n;) {
    const ssize_t written = ::write(STDERR_FILENO, bytes + done, n - done);
    if (written > 0) {
      done += static_cast<size_t>(written);
    } else if (errno == EPIPE) {
      const std::timespec now = {};
      sigtimedwait(&pipe_signal, nullptr, &now);
      break;
    } else if (errno != EINTR) {
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return static_cast<ssize_t>(n);
}

}  // namespace

void make_stderr_forgiving() {
  cookie_io_functions_t functions = {};
  functions.write = write_or_drop;
  std::FILE* forgiving = fopencookie(nullptr, "w", functions);
  if (forgiving == nullptr) return;
  std::setvbuf(forgiving, nullptr, _IONBF, 0);
  stderr = forgiving;
}

}  // namespace fathom
