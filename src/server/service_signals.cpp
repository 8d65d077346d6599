// Signals of a service, waited for by one thread: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads.
#include <csignal>
#include <ctime>

#include "http/server.h"
#include "server/service.h"

namespace fathom::server {

ServiceSignals::ServiceSignals() {
  sigemptyset(&set_);
  for (const int s : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set_, s);
  pthread_sigmask(SIG_BLOCK, &set_, &before_);
}

ServiceSignals::~ServiceSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

int ServiceSignals::wait(std::chrono::milliseconds time) const {
  const timespec t{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000L};
  const int signal = sigtimedwait(&set_, nullptr, &t);
  return signal > 0 ? signal : 0;
}

int Service::run_until_signal(const ServiceSignals& signals) {
  start();
  int first = 0;
  while (first == 0) {
    const int signal = signals.wait(std::chrono::seconds(1));
    if (signal != SIGHUP) {
      first = signal;
      continue;
    }
    try {
      server_->reload_keys();
      log_.line(http::LogLevel::info, "keys and certificates were read again");
    } catch (const Error& e) {
      log_.line(http::LogLevel::error, e.what());
    }
  }
  log_.line(http::LogLevel::info, "stopping: requests under way may end; a second signal ends at once");
  drain();
  while (!models_->all_stopped() || server_->counts().requests_running > 0) {
    const int signal = signals.wait(std::chrono::milliseconds(20));
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  stop();
  return first;
}

}  // namespace fathom::server
