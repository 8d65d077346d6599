#include "http/net/listen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace fathom::http {
namespace {

constexpr int kBacklog = 1024;

int new_socket(int family) {
  const int fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw_resource("no socket can be made: {}", std::strerror(errno));
  return fd;
}

[[noreturn]] void refuse_bind(const std::string& name, int port, int error) {
  if (error == EADDRINUSE)
    throw_bad_input("{} is taken: another program listens there. Try another port, or 0 for any that is free", name);
  if (error == EACCES && port > 0 && port < 1024)
    throw_bad_input("{}: ports below 1024 need a privilege. Try a port from 1024 on, or CAP_NET_BIND_SERVICE", name);
  if (error == EADDRNOTAVAIL) throw_bad_input("{} is not an address of this machine", name);
  throw_bad_input("{} cannot be listened on: {}", name, std::strerror(error));
}

sockaddr_un unix_address(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path)
    throw_bad_input("unix:{}: the path of a socket has 1 to {} bytes", path, sizeof address.sun_path - 1);
  path.copy(address.sun_path, path.size());
  return address;
}

// Makes way for a socket of that path: removes one that nobody listens on any more.
void remove_stale(const std::string& path, const sockaddr_un& address) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return;
  if (!S_ISSOCK(status.st_mode)) throw_bad_input("unix:{}: there is something there that is no socket", path);
  const int fd = new_socket(AF_UNIX);
  const int connected = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  ::close(fd);
  if (connected == 0 || error == EAGAIN) throw_bad_input("unix:{} is taken: another program listens there", path);
  if (error != ECONNREFUSED) throw_bad_input("unix:{} cannot be listened on: {}", path, std::strerror(error));
  ::unlink(path.c_str());
}

}  // namespace

Listening::Listening(const std::string& address, int port) {
  try {
    if (address.starts_with("unix:"))
      listen_on_path(address.substr(5));
    else
      listen_on_address(address, port);
  } catch (...) {
    if (fd_ >= 0) ::close(fd_);
    throw;
  }
}

Listening::~Listening() {
  if (fd_ >= 0) ::close(fd_);
  struct stat status {};
  if (!path_.empty() && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ && status.st_ino == inode_)
    ::unlink(path_.c_str());
}

int Listening::release() noexcept {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void Listening::listen_on_path(const std::string& path) {
  const sockaddr_un address = unix_address(path);
  remove_stale(path, address);
  family_ = AF_UNIX;
  local_ = true;
  name_ = "unix:" + path;
  fd_ = new_socket(AF_UNIX);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) refuse_bind(name_, 0, errno);
  struct stat status {};
  // Nobody can connect before listen(): the mode is right when they can.
  if (::chmod(path.c_str(), 0600) != 0 || ::lstat(path.c_str(), &status) != 0 || ::listen(fd_, kBacklog) != 0)
    refuse_bind(name_, 0, errno);
  path_ = path;
  device_ = status.st_dev;
  inode_ = status.st_ino;
}

void Listening::listen_on_address(const std::string& address, int port) {
  if (port < 0 || port > 65535) throw_bad_input("port {}: a port is a number from 0 to 65535", port);
  std::string text = address == "localhost" ? "127.0.0.1" : address;
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  sockaddr_storage storage{};
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  socklen_t size = 0;
  if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
    family_ = v4->sin_family = AF_INET;
    v4->sin_port = htons(static_cast<uint16_t>(port));
    local_ = (ntohl(v4->sin_addr.s_addr) >> 24) == 127;
    size = sizeof *v4;
  } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
    family_ = v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(static_cast<uint16_t>(port));
    local_ = IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
    size = sizeof *v6;
  } else {
    throw_bad_input("{}: an address to listen on is an IP address, localhost, or unix:/path",
                    quoted_for_message(address));
  }
  const std::string host = family_ == AF_INET6 ? "[" + text + "]" : text;
  fd_ = new_socket(family_);
  const int on = 1, off = 0;
  ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family_ == AF_INET6) ::setsockopt(fd_, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  if (::bind(fd_, reinterpret_cast<const sockaddr*>(&storage), size) != 0 || ::listen(fd_, kBacklog) != 0)
    refuse_bind(fmt::format("{}:{}", host, port), port, errno);
  ::getsockname(fd_, reinterpret_cast<sockaddr*>(&storage), &size);
  port_ = ntohs(family_ == AF_INET ? v4->sin_port : v6->sin6_port);
  name_ = fmt::format("{}:{}", host, port_);
}

}  // namespace fathom::http
