// Signals while a line is read from a terminal: they end a wait instead of the process, so that the terminal can be put
// back into the state in which it was found.
#pragma once
#include <signal.h>

#include <utility>
#include <vector>

namespace fathom {

// From construction to destruction, signals that would stop or end the process, and those that tell of the terminal
// (SIGWINCH, SIGCONT), are only noted. One at a time. Signals that were ignored stay so.
class TerminalSignals {
 public:
  TerminalSignals();
  ~TerminalSignals();
  TerminalSignals(const TerminalSignals&) = delete;
  TerminalSignals& operator=(const TerminalSignals&) = delete;

  // Waits until the descriptor can be read: 0; or a signal comes: its number.
  int wait_for_input(int descriptor);

 private:
  int pipe_[2];
  std::vector<std::pair<int, struct sigaction>> before_;
};

// Does to the process what the signal does where nobody catches it.
void obey_signal(int signal);

}  // namespace fathom
