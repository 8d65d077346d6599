// Signals of a service, waited for by one thread: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads.
// That thread also tells the service manager how the service is.
#include <algorithm>
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

int ServiceSignals::wait(std::chrono::microseconds time) const {
  const timespec t{.tv_sec = time.count() / 1'000'000, .tv_nsec = time.count() % 1'000'000 * 1'000L};
  const int signal = sigtimedwait(&set_, nullptr, &t);
  return signal > 0 ? signal : 0;
}

// What a manager has been told so far.
class Service::Report {
 public:
  Report(const Service& service, const ServiceManager& manager) : service_(service), manager_(manager) {}

  // Until the next call of tell().
  std::chrono::microseconds pause() const {
    if (!is_ready_) return std::chrono::milliseconds(20);
    const std::chrono::microseconds second = std::chrono::seconds(1);
    return manager_.watchdog().count() > 0 ? std::min(second, manager_.watchdog() / 2) : second;
  }
  void tell() {
    if (!is_ready_) tell_of_start();
    const std::chrono::microseconds half = manager_.watchdog() / 2;
    const auto now = EngineThread::Clock::now();
    if (half.count() == 0 || now < next_) return;
    next_ = now + half;
    if (service_.seconds_without_progress() <= std::chrono::duration<double>(half).count()) manager_.alive();
  }
  void reloaded() { manager_.ready(serving()); }

 private:
  std::string serving() const { return fmt::format("serving {} at {}", service_.models_->names(), service_.address()); }
  void tell_of_start() {
    is_ready_ = true;
    const ServedModels& models = *service_.models_;
    for (size_t i = 0; i < models.size() && service_.options_.model.engine.load_at_once; ++i) {
      const EngineSnapshot s = models[i].engine_snapshot();
      if (s.loads > 0) continue;
      is_ready_ = false;
      if (s.state == EngineState::failed && !std::exchange(is_failed_, true))
        manager_.status(fmt::format("{} could not be loaded: {}", models[i].name(), s.error));
    }
    if (is_ready_) manager_.ready(serving());
  }

  const Service& service_;
  const ServiceManager& manager_;
  bool is_ready_ = false, is_failed_ = false;
  EngineThread::Clock::time_point next_;
};

// A file that is wrong leaves what there was in use.
void Service::reload() {
  try {
    log_.reopen();
    server_->reload_keys();
    log_.line(http::LogLevel::info, "keys and certificates were read again");
  } catch (const Error& e) {
    log_.line(http::LogLevel::error, e.what());
  }
}

int Service::run_until_signal(const ServiceSignals& signals, const ServiceManager& manager) {
  start();
  Report report(*this, manager);
  int first = 0;
  while (first == 0) {
    report.tell();
    first = signals.wait(report.pause());
    if (first != SIGHUP) continue;
    first = 0;
    manager.reloading();
    reload();
    report.reloaded();
  }
  manager.stopping();
  log_.line(http::LogLevel::info, "stopping: requests under way may end; a second signal ends at once");
  drain();
  while (!models_->all_stopped() || server_->counts().requests_running > 0) {
    report.tell();
    const int signal = signals.wait(std::chrono::milliseconds(20));
    if (signal == SIGTERM || signal == SIGINT) break;
  }
  stop();
  return first;
}

}  // namespace fathom::server
