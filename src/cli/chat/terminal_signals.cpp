#include "cli/chat/terminal_signals.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace fathom {
namespace {

volatile sig_atomic_t g_pipe = -1;  // a signal handler can reach nothing else

extern "C" void note_signal(int signal) {
  const int error = errno;
  const auto byte = static_cast<unsigned char>(signal);
  if (write(g_pipe, &byte, 1) < 0) errno = 0;  // full: as many signals as it holds wait already
  errno = error;
}

}  // namespace

TerminalSignals::TerminalSignals() {
  if (pipe2(pipe_, O_CLOEXEC | O_NONBLOCK) != 0) throw_resource("no descriptors are left for a pipe");
  g_pipe = pipe_[1];
  struct sigaction action = {};
  action.sa_handler = note_signal;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH}) {
    struct sigaction before = {};
    sigaction(signal, nullptr, &before);
    if (before.sa_handler == SIG_IGN) continue;
    before_.emplace_back(signal, before);
    sigaction(signal, &action, nullptr);
  }
}

TerminalSignals::~TerminalSignals() {
  for (const auto& [signal, action] : before_) sigaction(signal, &action, nullptr);
  g_pipe = -1;
  close(pipe_[0]);
  close(pipe_[1]);
}

int TerminalSignals::wait_for_input(int descriptor) {
  while (true) {
    unsigned char signal = 0;
    if (read(pipe_[0], &signal, 1) == 1) return signal;
    pollfd waited[] = {{descriptor, POLLIN, 0}, {pipe_[0], POLLIN, 0}};
    if (poll(waited, 2, -1) > 0 && waited[1].revents == 0) return 0;  // a closed terminal can be read too: its end
  }
}

void obey_signal(int signal) {
  struct sigaction action = {}, before = {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, &before);
  raise(signal);
  sigaction(signal, &before, nullptr);  // of a signal that stops: the process goes on here
}

}  // namespace fathom
