// One connection: requests are read, answered in their order, one at a time; then it waits for the next or is closed.
//
//     handshake -> idle -> reading -> answering -> idle, or lingering -> closed
//
// While it answers, it goes on reading (at most Limits::pipelined_bytes), because only a read tells that the client has
// left. Everything runs on the I/O thread, but for handlers. Memory that runs out closes the connection that needed it:
// callbacks are guarded(), and one that is never called has had its connection closed (told()).
#pragma once
#include <exception>
#include <optional>
#include <string>

#include "http/admission.h"
#include "http/net/answer.h"
#include "http/net/asio.h"
#include "http/net/core.h"

namespace fathom::http {

// The request that is read or answered now.
struct CurrentRequest {
  std::string id, method, path, key_name;  // the path as sent, without the query
  const Route* route = nullptr;
  Headers cors;
  Clock::time_point begun;
  bool http_1_1 = true, keep_alive = false, head_only = false;
  bool started = false, complete = false;  // of the answer: its head is written; its end is
  bool in_handler = false;                 // it has been called, and has not returned
  int status = 0;
  uint64_t body_bytes = 0;
  std::shared_ptr<Answer> answer;  // null where no handler is asked
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(std::shared_ptr<Core> core, std::unique_ptr<Transport> transport, std::string peer);

  void begin();           // once, when it is in a shared_ptr
  void close() noexcept;  // the table lets go of it
  Executor executor() const noexcept { return core_->io.get_executor(); }
  // Does what a callback has to do. Where that throws (memory that runs out), this connection is closed, and no other.
  template <class What>
  void guarded(What&& what) noexcept {
    try {
      what();
    } catch (const std::exception& e) {
      fail(e);
    }
  }

  // Of the handler, in the order of its calls; what comes from another answer than the current one is passed over.
  using AnswerPtr = std::shared_ptr<Answer>;
  void reply(const AnswerPtr& answer, const Reply& reply);
  void start_stream(const AnswerPtr& answer, Reply head);
  void write(const AnswerPtr& answer, std::string_view bytes, size_t reserved);
  void end_stream(const AnswerPtr& answer);
  void keep_alive(const AnswerPtr& answer, std::chrono::milliseconds interval, const std::string& bytes);
  void abandoned(const AnswerPtr& answer);
  void handler_failed(const AnswerPtr& answer, const std::string& what);
  void handler_returned(const AnswerPtr& answer);
  void too_slow(const AnswerPtr& answer);
  void broken_off(const AnswerPtr& answer) noexcept;  // something that was said has been lost

 private:
  enum class Phase : uint8_t { handshake, idle, reading, answering, lingering, closed };

  // connection_read.cpp
  void read_more();
  void on_read(const error_code& ec, size_t n);
  void on_client_end();
  void process_input();
  void begin_request();
  void name_request();  // id, method and path, of a head that may be incomplete
  bool on_head();       // false: it has been answered
  void refuse_bad_request();
  void dispatch();
  void request_timed_out();
  std::string_view unread() const noexcept { return std::string_view(in_).substr(in_at_); }

  // connection_write.cpp
  bool is_current(const AnswerPtr& answer) const noexcept;
  void refuse(const ErrorInfo& error, bool close);
  void send_whole(const Reply& reply);
  void send_head(const Reply& reply, std::optional<uint64_t> length);
  void send_stream_bytes(std::string_view bytes);
  void complete_stream();
  void flush();
  void on_written(const error_code& ec, size_t n);
  void finish_answer();
  void arm_keep_alive(Clock::duration after);

  // connection.cpp
  void shake_hands();
  void move_to(Phase phase);
  void linger();
  void say_done();
  void account(int status) noexcept;
  void fail(const std::exception& e) noexcept;
  // For Deadline::set.
  template <class What>
  std::function<void()> later(What what) {
    return [self = shared_from_this(), what] { self->guarded([&] { what(*self); }); };
  }
  // For the transport: what(*this, results...) when an operation has ended.
  template <class What>
  auto told(What what) {
    return [pending = std::make_shared<Pending>(shared_from_this()), what](auto... results) {
      const auto self = std::exchange(pending->connection, nullptr);
      self->guarded([&] { what(*self, results...); });
    };
  }
  struct Pending {
    explicit Pending(std::shared_ptr<Connection> c) : connection(std::move(c)) {}
    ~Pending() {
      if (connection) connection->close();
    }
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    std::shared_ptr<Connection> connection;  // null: the end has been told
  };

  const std::shared_ptr<Core> core_;  // first: everything below may use its io_context when it is destroyed
  std::unique_ptr<Transport> transport_;
  const std::string peer_;
  std::optional<ConnectionTable::Place> place_;  // in the table, until it is closed
  Phase phase_ = Phase::handshake;
  Deadline deadline_, write_deadline_, keep_alive_deadline_;

  std::optional<RequestParser> parser_;
  std::string in_;  // received; from in_at_ on, not yet parsed
  size_t in_at_ = 0;
  std::string piece_;  // what a read fills
  bool reading_ = false, client_ended_ = false;

  std::optional<CurrentRequest> current_;
  Admission admitted_;                              // of its head, until it is handed on
  std::string out_, writing_;                       // to be written next; being written
  size_t out_reserved_ = 0, writing_reserved_ = 0;  // of them, counted against Limits::write_bytes
  Clock::time_point last_bytes_;
  std::chrono::milliseconds keep_alive_interval_{0};
  std::string keep_alive_bytes_;
};

}  // namespace fathom::http
