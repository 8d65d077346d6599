#include "http/net/connection.h"

namespace fathom::http {

Connection::Connection(std::shared_ptr<Core> core, std::unique_ptr<Transport> transport, std::string peer)
    : core_(std::move(core)),
      transport_(std::move(transport)),
      peer_(std::move(peer)),
      deadline_(executor()),
      write_deadline_(executor()),
      keep_alive_deadline_(executor()) {}

void Connection::begin() {
  place_ = core_->connections.add(shared_from_this());
  guarded([&] { shake_hands(); });
}

void Connection::shake_hands() {
  deadline_.set(core_->options.limits.head_time, later([](Connection& c) {
                  ++c.core_->timeouts;
                  c.close();
                }));
  transport_->handshake(told([](Connection& c, const error_code& ec) {
    if (c.phase_ == Phase::closed) return;
    if (ec) return c.close();
    c.move_to(Phase::idle);
    c.process_input();
  }));
}

void Connection::move_to(Phase phase) {
  phase_ = phase;
  core_->connections.move(*place_,
                          phase == Phase::answering ? ConnectionTable::Kind::busy : ConnectionTable::Kind::waiting);
}

// Closing a socket with unread bytes in it makes the system throw away what the client has not yet read of the answer.
// So we only say that we are done, and read until the client says so too.
void Connection::linger() {
  if (client_ended_) return close();
  move_to(Phase::lingering);
  deadline_.set(core_->options.limits.linger_time, later([](Connection& c) { c.close(); }));
  if (transport_->is_tls() && reading_) return transport_->cancel();  // and on_read() calls say_done()
  say_done();
}

void Connection::say_done() {
  transport_->finish(told([](Connection& c, const error_code&) {
    if (c.phase_ != Phase::lingering) return;
    if (c.transport_->is_tls()) return c.close();
    c.read_more();
  }));
}

void Connection::account(int status) noexcept {
  const CurrentRequest& c = *current_;
  const auto time = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - c.begun);
  core_->log.access({c.id, peer_, c.key_name, c.method, c.path, status, c.body_bytes, time});
  core_->count_answer(c.route, status);
  if (c.answer) --core_->running;
}

void Connection::fail(const std::exception& e) noexcept {
  core_->log.line(LogLevel::error, "a connection failed and is closed", {{"peer", peer_}, {"what", e.what()}});
  close();
}

void Connection::close() noexcept {
  if (phase_ == Phase::closed) return;
  const bool was_answering = phase_ == Phase::answering;
  phase_ = Phase::closed;
  deadline_.clear();
  write_deadline_.clear();
  keep_alive_deadline_.clear();
  transport_->close();
  if (was_answering && current_) {
    ++core_->gone;
    account(499);
    if (current_->answer) current_->answer->client_is_gone();
    current_.reset();
  }
  core_->connections.remove(*std::exchange(place_, std::nullopt));
}

}  // namespace fathom::http
