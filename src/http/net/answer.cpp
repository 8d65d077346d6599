#include "http/net/answer.h"

#include "http/net/connection.h"

namespace fathom::http {
namespace {

class ServerExchange final : public Exchange {
 public:
  explicit ServerExchange(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  ~ServerExchange() override {
    if (!answer_->finished()) answer_->tell([answer = answer_](Connection& c) { c.abandoned(answer); });
  }

  void reply(Reply reply) noexcept override {
    if (!answer_->finish()) return;
    answer_->tell([answer = answer_, r = std::move(reply)](Connection& c) { c.reply(answer, r); });
  }
  void start(int status, std::string content_type, Headers headers) noexcept override {
    answer_->tell(
        [answer = answer_, status, type = std::move(content_type), h = std::move(headers)](Connection& c) mutable {
          c.start_stream(answer, Reply{status, std::move(type), std::move(h), {}});
        });
  }
  void write(std::string chunk) noexcept override {
    if (chunk.empty() || answer_->finished()) return;
    if (!answer_->reserve(chunk.size()))
      return answer_->tell([answer = answer_](Connection& c) { c.too_slow(answer); });
    answer_->tell(
        [answer = answer_, bytes = std::move(chunk)](Connection& c) { c.write(answer, bytes, bytes.size()); });
  }
  void end() noexcept override {
    if (answer_->finish()) answer_->tell([answer = answer_](Connection& c) { c.end_stream(answer); });
  }
  void keep_alive(std::chrono::milliseconds interval, std::string bytes) noexcept override {
    answer_->tell(
        [answer = answer_, interval, b = std::move(bytes)](Connection& c) { c.keep_alive(answer, interval, b); });
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
  const std::shared_ptr<Answer> answer_;
};

}  // namespace

void Answer::post(std::function<void(Connection&)> what) {
  const std::lock_guard lock(mutex_);
  if (gone_) return;
  if (const auto connection = connection_.lock())
    asio::post(connection->executor(),
               [connection, what = std::move(what)] { connection->guarded([&] { what(*connection); }); });
}

void Answer::fail(const char* what) noexcept {
  finish();
  try {
    post([answer = shared_from_this(), text = std::string(what)](Connection& c) { c.handler_failed(answer, text); });
  } catch (...) {
    break_off();
  }
}

// What Boost.Asio keeps it in lies in the answer: it can be posted when there is no memory left.
struct Answer::Closing {
  template <class T>
  struct Allocator {
    using value_type = T;
    explicit Allocator(std::byte* p) noexcept : place(p) {}
    template <class Other>
    Allocator(const Allocator<Other>& other) noexcept : place(other.place) {}
    T* allocate(size_t /*1*/) noexcept {
      static_assert(sizeof(T) <= sizeof(Answer::reserve_));
      return reinterpret_cast<T*>(place);
    }
    void deallocate(T*, size_t) noexcept {}
    friend bool operator==(const Allocator&, const Allocator&) = default;
    std::byte* place;
  };
  using allocator_type = Allocator<void>;
  allocator_type get_allocator() const noexcept { return allocator_type(answer->reserve_.data()); }
  void operator()() const { connection->broken_off(answer); }

  std::shared_ptr<Answer> answer;
  std::shared_ptr<Connection> connection;
};

void Answer::break_off() noexcept {
  const std::lock_guard lock(mutex_);
  if (gone_ || std::exchange(is_broken_, true)) return;
  if (auto connection = connection_.lock()) asio::post(connection->executor(), Closing{shared_from_this(), connection});
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
