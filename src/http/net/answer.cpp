#include "http/net/answer.h"

#include "http/net/connection.h"

namespace fathom::http {
namespace {

class ServerExchange final : public Exchange {
 public:
  explicit ServerExchange(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  ~ServerExchange() override {
    if (!answer_->finished()) tell([answer = answer_](Connection& c) { c.abandoned(answer); });
  }

  void reply(Reply reply) noexcept override {
    if (!answer_->finish()) return;
    tell([answer = answer_, r = std::move(reply)](Connection& c) { c.reply(answer, r); });
  }
  void start(int status, std::string content_type, Headers headers) noexcept override {
    tell([answer = answer_, status, type = std::move(content_type), h = std::move(headers)](Connection& c) mutable {
      c.start_stream(answer, Reply{status, std::move(type), std::move(h), {}});
    });
  }
  void write(std::string chunk) noexcept override {
    if (chunk.empty() || answer_->finished()) return;
    if (!answer_->reserve(chunk.size())) return tell([answer = answer_](Connection& c) { c.too_slow(answer); });
    tell([answer = answer_, bytes = std::move(chunk)](Connection& c) { c.write(answer, bytes, bytes.size()); });
  }
  void end() noexcept override {
    if (answer_->finish()) tell([answer = answer_](Connection& c) { c.end_stream(answer); });
  }
  void keep_alive(std::chrono::milliseconds interval, std::string bytes) noexcept override {
    tell([answer = answer_, interval, b = std::move(bytes)](Connection& c) { c.keep_alive(answer, interval, b); });
  }
  bool gone() const noexcept override { return answer_->gone(); }
  void on_gone(std::function<void()> callback) noexcept override {
    try {
      answer_->on_gone(std::move(callback));
    } catch (...) {  // of the callback, which has then been called
      return;
    }
  }

 private:
  // Memory may run out on the way; the connection then finds the answer broken, and closes.
  template <class What>
  void tell(What&& what) noexcept {
    try {
      answer_->post(std::forward<What>(what));
    } catch (...) {
      answer_->set_broken();
    }
  }

  const std::shared_ptr<Answer> answer_;
};

}  // namespace

void Answer::post(std::function<void(Connection&)> what) {
  const std::lock_guard lock(mutex_);
  if (gone_) return;
  if (const auto connection = connection_.lock())
    asio::post(connection->strand(),
               [connection, what = std::move(what)] { connection->guarded([&] { what(*connection); }); });
}

bool Answer::finish() noexcept {
  std::function<void()> dropped;
  const std::lock_guard lock(mutex_);
  if (finished_) return false;
  finished_ = true;
  dropped.swap(callback_);
  return true;
}

bool Answer::finished() const noexcept {
  const std::lock_guard lock(mutex_);
  return finished_;
}

bool Answer::reserve(size_t bytes) noexcept {
  if (overflowed_) return false;
  const size_t before = waiting_.fetch_add(bytes);
  if (before > 0 && before + bytes > write_bytes_) overflowed_ = true;
  return !overflowed_;
}

void Answer::on_gone(std::function<void()> callback) {
  std::unique_lock lock(mutex_);
  if (finished_) return;
  if (!gone_) {
    callback_.swap(callback);
    return lock.unlock();  // the one before is destroyed outside of the lock
  }
  lock.unlock();
  if (callback) callback();
}

void Answer::client_is_gone() noexcept {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (gone_.exchange(true)) return;
    callback.swap(callback_);
  }
  try {
    if (callback) callback();
  } catch (...) {  // nobody is left to be told
    return;
  }
}

std::shared_ptr<Exchange> make_exchange(std::shared_ptr<Answer> answer) {
  return std::make_shared<ServerExchange>(std::move(answer));
}

}  // namespace fathom::http
