// What a service manager is told of a service: sd_notify(3), the protocol of systemd, without its library. One datagram
// is one state; a manager that takes none loses it.
#pragma once
#include <chrono>
#include <string>
#include <string_view>

namespace fathom::server {

class ServiceManager {
 public:
  ServiceManager() = default;  // there is none: nothing is told
  // socket: a path, or "@name" of the abstract namespace; empty: none. watchdog: within which it wants to hear from the
  // service, or else restarts it; 0: it does not watch. bad_input Error for a socket that can be none.
  ServiceManager(const std::string& socket, std::chrono::microseconds watchdog);
  ~ServiceManager();
  ServiceManager(ServiceManager&& other) noexcept;
  ServiceManager& operator=(ServiceManager&&) = delete;

  // That of $NOTIFY_SOCKET, and of $WATCHDOG_USEC where $WATCHDOG_PID names this process or nobody.
  static ServiceManager of_environment();

  void ready(std::string_view status) const;
  void reloading() const;  // ready() ends it
  void stopping() const;
  void status(std::string_view text) const;
  void alive() const;  // the watchdog's
  std::chrono::microseconds watchdog() const noexcept { return watchdog_; }

 private:
  void tell(std::string_view state) const noexcept;
  int fd_ = -1;
  std::chrono::microseconds watchdog_{0};
};

}  // namespace fathom::server
