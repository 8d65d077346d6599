// A client made of a bare socket, and a server to talk to, for the tests of src/http.
#pragma once
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>

#include "base/error.h"
#include "http/server.h"

namespace fathom::http {

using namespace std::chrono_literals;

// What came back for one request.
struct Response {
  int status = 0;  // 0: nothing that begins like an answer
  std::string head, body;
  std::string header(const std::string& name) const {
    const size_t at = head.find("\r\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 4;
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

struct Unconnected {};
inline constexpr Unconnected unconnected;

class Client {
 public:
  explicit Client(Unconnected) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {}
  explicit Client(int port) : Client(unconnected) { connect(port); }
  explicit Client(const std::string& path) {
    fd_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    path.copy(to.sun_path, sizeof to.sun_path - 1);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { close(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void connect(int port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  bool connected() const { return connected_; }
  int descriptor() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  void reset() {  // RST instead of FIN
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void finish_sending() { ::shutdown(fd_, SHUT_WR); }

  // False once the other side has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }

  // More bytes into received(); false at the end, on an error, and after `patience`.
  bool receive(std::chrono::milliseconds patience = 5s) {
    pollfd ready{fd_, POLLIN, 0};
    if (::poll(&ready, 1, static_cast<int>(patience.count())) <= 0) return false;
    char piece[16384];
    const ssize_t n = ::recv(fd_, piece, sizeof piece, 0);
    if (n <= 0) {
      ended_ = true;
      return false;
    }
    in_.append(piece, static_cast<size_t>(n));
    return true;
  }
  const std::string& received() const { return in_; }
  bool wait_for(std::string_view text, std::chrono::milliseconds patience = 5s) {
    while (in_.find(text) == std::string::npos)
      if (!receive(patience)) return false;
    return true;
  }
  // Whether the other side closed, within `patience`.
  bool ended(std::chrono::milliseconds patience = 5s) {
    while (!ended_ && receive(patience)) {
    }
    return ended_;
  }

  // The next whole answer: by its Content-Length or its chunks; `head_only` for HEAD.
  Response response(bool head_only = false) {
    Response out;
    while (in_.find("\r\n\r\n") == std::string::npos)
      if (!receive()) return out;
    const size_t end = in_.find("\r\n\r\n") + 4;
    out.head = in_.substr(0, end);
    in_.erase(0, end);
    out.status = out.head.starts_with("HTTP/1.1 ") ? std::atoi(out.head.c_str() + 9) : 0;
    if (out.status == 100) return response(head_only);
    if (head_only || out.status == 204) return out;
    if (out.header("Transfer-Encoding") == "chunked") {
      read_chunks(out.body);
    } else if (const std::string length = out.header("Content-Length"); !length.empty()) {
      const size_t n = std::stoul(length);
      while (in_.size() < n && receive()) {
      }
      out.body = in_.substr(0, n);
      in_.erase(0, n);
    } else {
      while (receive()) {
      }
      out.body.swap(in_);
    }
    return out;
  }
  Response ask(std::string_view request) {
    send(request);
    return response();
  }

 private:
  void read_chunks(std::string& body) {
    for (;;) {
      while (in_.find("\r\n") == std::string::npos)
        if (!receive()) return;
      const size_t line = in_.find("\r\n"), n = std::stoul(in_.substr(0, line), nullptr, 16);
      while (in_.size() < line + 2 + n + 2)
        if (!receive()) return;
      body += in_.substr(line + 2, n);
      in_.erase(0, line + 2 + n + 2);
      if (n == 0) return;
    }
  }

  int fd_ = -1;
  bool connected_ = false, ended_ = false;
  std::string in_;
};

inline std::string get(std::string_view target, std::string_view more = "") {
  return fmt::format("GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", target, more);
}
inline std::string post(std::string_view target, std::string_view body, std::string_view more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n{}\r\n{}", target, body.size(), more,
                     body);
}

// Waits until something that another thread does has happened.
template <class Condition>
bool eventually(Condition&& condition, std::chrono::milliseconds patience = 10s) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

inline Options quick_options() {
  Options options;
  options.limits.linger_time = 500ms;
  return options;
}

// A started server with GET /hello, POST /echo and what a test adds.
struct TestServer {
  explicit TestServer(Options options = quick_options(), Router more = {}, Log log = {})
      : server(std::move(options), with_basics(std::move(more)), std::move(log)) {
    server.start();
  }
  int port() const { return server.port(); }
  // Closes and waits: whatever state the clients are in.
  ~TestServer() { server.stop(); }

  static Router with_basics(Router router) {
    router.add("GET", "/hello", Access::open, [](const Request& request, const std::shared_ptr<Exchange>& exchange) {
      exchange->reply({.content_type = "text/plain", .body = "hello " + request.key_name});
    });
    router.add("POST", "/echo", Access::key, [](Request request, const std::shared_ptr<Exchange>& exchange) {
      exchange->reply({.body = std::move(request.body)});
    });
    return router;
  }

  Server server;
};

}  // namespace fathom::http
