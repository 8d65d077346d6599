#include "server/service_manager.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/error.h"

namespace fathom::server {
namespace {

int connected(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if ((socket[0] != '/' && socket[0] != '@') || socket.size() < 2 || socket.size() >= sizeof(address.sun_path))
    throw_bad_input("NOTIFY_SOCKET is {}; needed is the path of a socket, or @ and a name", socket);
  std::memcpy(address.sun_path, socket.data(), socket.size());
  if (socket[0] == '@') address.sun_path[0] = '\0';
  const auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size() + (socket[0] == '/' ? 1 : 0));
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && ::connect(fd, reinterpret_cast<const sockaddr*>(&address), size) == 0) return fd;
  const int error = errno;
  if (fd >= 0) ::close(fd);
  throw_bad_input("NOTIFY_SOCKET: {} cannot be written to: {}", socket, std::strerror(error));
}

// nullopt: it is not set, or no number.
std::optional<int64_t> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  int64_t n = 0;
  const auto [end, error] = std::from_chars(text, text + std::strlen(text), n);
  return error == std::errc() && *end == '\0' && n > 0 ? std::optional(n) : std::nullopt;
}

}  // namespace

ServiceManager::ServiceManager(const std::string& socket, std::chrono::microseconds watchdog) : watchdog_(watchdog) {
  if (!socket.empty()) fd_ = connected(socket);
}

ServiceManager::~ServiceManager() {
  if (fd_ >= 0) ::close(fd_);
}

ServiceManager::ServiceManager(ServiceManager&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), watchdog_(other.watchdog_) {}

ServiceManager ServiceManager::of_environment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  if (socket == nullptr || *socket == '\0') return {};
  const bool is_watched = number_in("WATCHDOG_PID").value_or(::getpid()) == ::getpid();
  return {socket, std::chrono::microseconds(is_watched ? number_in("WATCHDOG_USEC").value_or(0) : 0)};
}

void ServiceManager::tell(std::string_view state) const noexcept {
  if (fd_ >= 0) (void)!::send(fd_, state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void ServiceManager::ready(std::string_view text) const { tell(fmt::format("READY=1\nSTATUS={}", text)); }

void ServiceManager::reloading() const {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();  // CLOCK_MONOTONIC
  tell(fmt::format("RELOADING=1\nMONOTONIC_USEC={}",
                   std::chrono::duration_cast<std::chrono::microseconds>(now).count()));
}

void ServiceManager::stopping() const { tell("STOPPING=1\nSTATUS=stopping: requests under way may end"); }

void ServiceManager::status(std::string_view text) const { tell(fmt::format("STATUS={}", text)); }

void ServiceManager::alive() const { tell("WATCHDOG=1"); }

}  // namespace fathom::server
