// The listening socket, by plain system calls, so that each failure has its sentence.
#pragma once
#include <sys/types.h>

#include <string>

namespace fathom::http {

// Owns the descriptor, and the file of a Unix socket: that is removed when it is still ours.
class Listening {
 public:
  // "unix:/path": mode 0600; a socket there that nobody listens on is replaced, anything else is an Error. Otherwise an
  // IP address or "localhost" and a port; "::" takes IPv4 too.
  Listening(const std::string& address, int port);
  ~Listening();
  Listening(const Listening&) = delete;
  Listening& operator=(const Listening&) = delete;

  int descriptor() const noexcept { return fd_; }
  int release() noexcept;  // the descriptor belongs to the caller from now on
  int family() const noexcept { return family_; }
  int port() const noexcept { return port_; }                 // 0 for a Unix socket
  bool local_only() const noexcept { return local_; }         // a loopback address or a Unix socket
  const std::string& name() const noexcept { return name_; }  // "127.0.0.1:8080", "[::1]:8080", "unix:/path"

 private:
  void listen_on_path(const std::string& path);
  void listen_on_address(const std::string& address, int port);

  int fd_ = -1, family_ = 0, port_ = 0;
  bool local_ = false;
  std::string name_, path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace fathom::http
