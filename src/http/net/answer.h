// What a handler and the connection share of one answer. The handler's side may outlive connection and server.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>

#include "http/exchange.h"

namespace fathom::http {

class Connection;

class Answer : public std::enable_shared_from_this<Answer> {
 public:
  Answer(std::weak_ptr<Connection> connection, size_t write_bytes)
      : connection_(std::move(connection)), write_bytes_(write_bytes) {}

  // Runs `what` on the I/O thread, in the order of the calls; does nothing once the client is gone. Where memory runs
  // out on the way, the connection is closed.
  template <class What>
  void tell(What&& what) noexcept {
    try {
      post(std::forward<What>(what));
    } catch (...) {
      break_off();
    }
  }
  // The handler threw this.
  void fail(const char* what) noexcept;

  // The handler's side. finish() is true the first time.
  bool finish() noexcept;
  bool finished() const noexcept;
  bool reserve(size_t bytes) noexcept;  // false: too much is waiting, or was once
  bool gone() const noexcept { return gone_; }
  void on_gone(std::function<void()> callback);

  // The connection's side.
  void written(size_t bytes) noexcept { waiting_ -= bytes; }
  void client_is_gone() noexcept;

 private:
  struct Closing;
  void post(std::function<void(Connection&)> what);
  void break_off() noexcept;

  const std::weak_ptr<Connection> connection_;
  const size_t write_bytes_;
  mutable std::mutex mutex_;  // no post() begins after client_is_gone() has returned
  std::function<void()> callback_;
  bool finished_ = false, is_broken_ = false;
  alignas(std::max_align_t) std::array<std::byte, 128> reserve_;  // for the one Closing
  std::atomic<bool> gone_{false}, overflowed_{false};
  std::atomic<size_t> waiting_{0};
};

std::shared_ptr<Exchange> make_exchange(std::shared_ptr<Answer> answer);

}  // namespace fathom::http
