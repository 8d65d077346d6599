#include "http/server.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <sys/resource.h>

#include <atomic>
#include <new>
#include <random>
#include <thread>

#include "base/error.h"
#include "http/net/connection.h"
#include "http/net/core.h"
#include "http/net/listen.h"
#include "http/net/peer.h"

namespace fathom::http {
namespace {

constexpr rlim_t kOtherFiles = 256;  // that the program may have open besides its connections
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::seconds kAcceptLogInterval{60};

// Threads started while it lives have every signal blocked: signals are for the threads of the program.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

// As many connections as the limit of open files leaves room for, after raising it as far as it goes.
size_t affordable_connections(size_t wanted, const Log& log) {
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) return wanted;
  const rlim_t needed = wanted + kOtherFiles;
  if (files.rlim_cur < needed) {
    rlimit raised = files;
    raised.rlim_cur = files.rlim_max == RLIM_INFINITY ? needed : std::min(needed, files.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) files = raised;
  }
  if (files.rlim_cur >= needed) return wanted;
  const size_t left = files.rlim_cur > 2 * kOtherFiles ? files.rlim_cur - kOtherFiles : files.rlim_cur / 2;
  log.line(LogLevel::warning, "fewer connections than asked for: the limit of open files is too low",
           {{"connections", std::to_string(left), true}, {"open_files", std::to_string(files.rlim_cur), true}});
  return std::max<size_t>(left, 1);
}

Options checked(Options options, const Log& log) {
  check_options(options);
  options.limits.connections = affordable_connections(options.limits.connections, log);
  return options;
}

std::string random_prefix() {
  std::random_device random;
  return fmt::format("req-{:08x}{:08x}-", random(), random());
}

}  // namespace

class Server::Impl {
 public:
  Impl(Options options, Router router, Log log)
      : core_(std::make_shared<Core>(checked(std::move(options), log), std::move(router), std::move(log))),
        listening_(core_->options.address, core_->options.port),
        acceptor_(core_->io),
        pause_(core_->io.get_executor()) {
    core_->local_only = listening_.local_only();
    core_->unix_socket = listening_.family() == AF_UNIX;
    core_->request_id_prefix = random_prefix();
    reload();
    acceptor_.assign(asio::generic::stream_protocol(listening_.family(), 0), listening_.descriptor());
    listening_.release();
  }
  ~Impl() { stop(); }

  void start() {
    check(threads_.empty() && !stopped_, "a server is started once");
    const SignalsBlocked blocked;
    for (asio::io_context* context : {&core_->io, &core_->handlers})
      work_.emplace_back(asio::make_work_guard(*context));
    asio::post(core_->io, [this] { accept_next(); });
    threads_.emplace_back([this] { run_io(); });
    for (int i = 0; i < core_->options.threads; ++i) threads_.emplace_back([this] { core_->handlers.run(); });
  }

  void drain() { core_->draining = true; }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    if (threads_.empty()) return acceptor_close();
    asio::post(core_->io, [this] {
      acceptor_close();
      pause_.clear();
      while (const auto connection = core_->connections.any()) connection->close();
    });
    work_.clear();
    for (std::thread& thread : threads_) thread.join();
  }

  void reload() {
    const Options& o = core_->options;
    auto keys = o.keys_file.empty() ? std::make_shared<const KeySet>()
                                    : std::make_shared<const KeySet>(std::filesystem::path(o.keys_file));
    std::shared_ptr<const TlsContext> tls;
    if (!o.tls_certificate.empty()) tls = std::make_shared<const TlsContext>(o.tls_certificate, o.tls_key);
    core_->set_secrets(std::move(keys), std::move(tls));
  }

  std::string address() const {
    if (core_->unix_socket) return listening_.name();
    return (core_->options.tls_certificate.empty() ? "http://" : "https://") + listening_.name();
  }

  const Core& core() const { return *core_; }
  int port() const { return listening_.port(); }

 private:
  void run_io() {
    for (;;) {
      try {
        core_->io.run();
        return;
      } catch (const std::exception& e) {  // of memory, most likely: what it was for has been closed
        core_->log.line(LogLevel::error, "the I/O thread caught an exception", {{"what", e.what()}});
        go_on_accepting();
      }
    }
  }

  // It may have been lost to what was thrown; nothing else would begin it again.
  void go_on_accepting() {
    while (!stopped_) try {
        if (accepting_.expired()) accept_next();
        return;
      } catch (const std::bad_alloc&) {
        std::this_thread::sleep_for(kAcceptPause);
      }
  }

  void acceptor_close() {
    error_code ignored;
    acceptor_.close(ignored);
  }

  // Held by what leads to the next accept.
  std::shared_ptr<void> accepting() {
    auto token = std::make_shared<bool>();
    accepting_ = token;
    return token;
  }

  void accept_next() {
    if (!acceptor_.is_open()) return;
    acceptor_.async_accept(core_->io, peer_, [this, token = accepting()](const error_code& ec, Socket socket) mutable {
      token.reset();
      if (!acceptor_.is_open()) return;
      if (ec && ec != asio::error::connection_aborted) return accept_later(ec);
      if (!ec) seat(std::move(socket));
      accept_next();
    });
  }

  // Out of descriptors or memory: trying again at once would spin. Linux says so even where no client waits; then
  // nobody has to make room yet.
  void accept_later(const error_code& ec) {
    pollfd pending{acceptor_.native_handle(), POLLIN, 0};
    if (::poll(&pending, 1, 0) == 0)
      return acceptor_.async_wait(Acceptor::wait_read, [this, token = accepting()](const error_code&) mutable {
        token.reset();
        accept_next();
      });
    ++core_->accept_errors;
    if (const auto now = Clock::now(); now >= next_accept_log_) {
      next_accept_log_ = now + kAcceptLogInterval;
      core_->log.line(LogLevel::warning, "connections cannot be accepted", {{"why", ec.message()}});
    }
    evict_one();
    pause_.set(kAcceptPause, [this, token = accepting()]() mutable {
      token.reset();
      accept_next();
    });
  }

  bool evict_one() {
    const auto oldest = core_->connections.oldest_to_close();
    if (!oldest) return false;
    ++core_->evicted;
    oldest->close();
    return true;
  }

  void seat(Socket socket) {
    ++core_->accepted;
    const auto tls = core_->tls();
    if (core_->connections.size() >= core_->options.limits.connections && !evict_one()) return turn_away(socket, !tls);
    if (!core_->unix_socket) {
      const int on = 1;
      ::setsockopt(socket.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      ::setsockopt(socket.native_handle(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    const auto* address = reinterpret_cast<const sockaddr*>(peer_.data());
    std::make_shared<Connection>(core_, tls ? tls->transport(std::move(socket)) : plain_transport(std::move(socket)),
                                 peer_name(address))
        ->begin();
  }

  // As far as it goes without waiting.
  void turn_away(Socket& socket, bool plain) {
    ++core_->refused;
    const std::string body = core_->router.error_form("/")(
        {.status = 503, .message = "The server has too many connections.", .code = "too_many_connections"});
    const std::string text = fmt::format(
        "HTTP/1.1 503 Service Unavailable\r\nServer: fathom\r\nContent-Type: application/json\r\nRetry-After: {}\r\n"
        "Content-Length: {}\r\nConnection: close\r\n\r\n{}",
        core_->options.retry_after, body.size(), body);
    if (plain) ::send(socket.native_handle(), text.data(), text.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    error_code ignored;
    socket.shutdown(Socket::shutdown_send, ignored);
  }

  const std::shared_ptr<Core> core_;
  Listening listening_;
  Acceptor acceptor_;  // this and what follows, up to work_: of the I/O thread
  Deadline pause_;
  asio::generic::stream_protocol::endpoint peer_;
  Clock::time_point next_accept_log_{};
  std::weak_ptr<void> accepting_;  // expired: no accept, nor anything that leads to one, is under way
  std::vector<asio::executor_work_guard<Executor>> work_;
  std::vector<std::thread> threads_;
  std::atomic<bool> stopped_ = false;
};

Server::Server(Options options, Router router, Log log)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(router), std::move(log))) {}
Server::~Server() = default;

int Server::port() const noexcept { return impl_->port(); }
std::string Server::address() const { return impl_->address(); }
void Server::start() { impl_->start(); }
void Server::drain() noexcept { impl_->drain(); }
void Server::stop() noexcept { impl_->stop(); }
void Server::reload_keys() { impl_->reload(); }
const Router& Server::router() const noexcept { return impl_->core().router; }

ServerCounts Server::counts() const {
  const Core& c = impl_->core();
  ServerCounts out;
  out.connections_open = c.connections.size();
  out.requests_running = c.running;
  out.connections_accepted = c.accepted;
  out.connections_refused = c.refused;
  out.connections_evicted = c.evicted;
  out.accept_errors = c.accept_errors;
  out.timeouts = c.timeouts;
  out.clients_gone = c.gone;
  out.clients_dropped = c.dropped;
  out.bytes_received = c.received;
  out.bytes_sent = c.sent;
  out.answered = c.answered();
  return out;
}

std::vector<ServerCounts::Answered> Core::answered() const {
  const std::lock_guard lock(mutex_);
  std::vector<ServerCounts::Answered> out;
  for (const auto& [what, count] : answered_)
    out.push_back({what.first ? what.first->method : "", what.first ? what.first->pattern : "", what.second, count});
  return out;
}

}  // namespace fathom::http
