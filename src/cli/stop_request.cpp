#include "cli/stop_request.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace fathom {
namespace {

volatile std::sig_atomic_t noted = 0;

void note(int signal) {
  if (noted == 0) noted = signal;
}

}  // namespace

void note_stop_requests() {
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before {};
    if (::sigaction(signal, nullptr, &before) == 0 && before.sa_handler == SIG_IGN) continue;
    struct sigaction action {};
    action.sa_handler = note;
    action.sa_flags = SA_RESTART;  // a write under way goes on
    ::sigaction(signal, &action, nullptr);
  }
}

int stop_request() noexcept { return noted; }

void end_as_requested() {
  const int signal = noted;
  std::fflush(nullptr);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  std::_Exit(128 + signal);  // not reached, unless the signal is blocked
}

}  // namespace fathom
