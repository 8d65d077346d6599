#include <fmt/format.h>

#include "base/text/suggest.h"
#include "http/net/connection.h"
#include "http/response_head.h"

namespace fathom::http {
namespace {

constexpr size_t kSlowestBytesPerSecond = 8 << 10, kKeptBuffer = 64 << 10;

bool has_header(const Headers& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(), [&](const auto& h) { return equal_in_any_case(h.first, name); });
}

}  // namespace

bool Connection::is_current(const AnswerPtr& answer) const noexcept {
  return phase_ == Phase::answering && current_->answer == answer && !current_->complete;
}

void Connection::reply(const AnswerPtr& answer, const Reply& reply) {
  if (!is_current(answer)) return;
  if (!current_->started) return send_whole(reply);
  core_->log.line(LogLevel::error, "a handler replied within its stream", {{"id", current_->id}});
  close();
}

void Connection::start_stream(const AnswerPtr& answer, Reply head) {
  if (!is_current(answer) || current_->started) return;
  if (!has_header(head.headers, "Cache-Control")) head.headers.emplace_back("Cache-Control", "no-store");
  if (!has_header(head.headers, "X-Accel-Buffering")) head.headers.emplace_back("X-Accel-Buffering", "no");
  if (!current_->http_1_1) current_->keep_alive = false;  // only the end of the connection ends such a stream
  send_head(head, std::nullopt);
  arm_keep_alive(keep_alive_interval_);
  flush();
}

void Connection::write(const AnswerPtr& answer, std::string_view bytes, size_t reserved) {
  if (!is_current(answer) || !current_->started || current_->head_only) return answer->written(reserved);
  out_reserved_ += reserved;
  send_stream_bytes(bytes);
  flush();
}

void Connection::end_stream(const AnswerPtr& answer) {
  if (!is_current(answer)) return;
  if (!current_->started) send_head({.body = ""}, std::nullopt);
  complete_stream();
}

void Connection::keep_alive(const AnswerPtr& answer, std::chrono::milliseconds interval, const std::string& bytes) {
  if (!is_current(answer)) return;
  keep_alive_interval_ = interval;
  keep_alive_bytes_ = bytes;
  if (current_->started) arm_keep_alive(interval);
}

void Connection::abandoned(const AnswerPtr& answer) {
  if (!is_current(answer)) return;
  core_->log.line(LogLevel::error, "a handler gave no whole answer", {{"id", current_->id}});
  answer->finish();
  if (current_->started) return close();  // the client sees that its stream is cut
  refuse({.status = 500, .message = "The server gave no answer to this request."}, false);
}

void Connection::too_slow(const AnswerPtr& answer) {
  if (!is_current(answer)) return;
  ++core_->dropped;
  core_->log.line(LogLevel::warning, "a client reads too slowly and is dropped",
                  {{"id", current_->id}, {"peer", peer_}});
  close();
}

void Connection::broken_off(const AnswerPtr& answer) noexcept {
  if (!is_current(answer)) return;
  core_->log.line(LogLevel::error, "there was no memory for an answer, and its connection is closed",
                  {{"id", current_->id}, {"peer", peer_}});
  close();
}

void Connection::refuse(const ErrorInfo& error, bool close) {
  if (close) current_->keep_alive = false;
  if (phase_ != Phase::answering) move_to(Phase::answering);
  send_whole(error_reply(error, core_->router.error_form(current_->path)));
}

void Connection::send_whole(const Reply& reply) {
  deadline_.clear();
  send_head(reply, reply.body.size());
  if (!current_->head_only && status_has_body(current_->status)) {
    out_ += reply.body;
    current_->body_bytes = reply.body.size();
  }
  current_->complete = true;
  flush();
}

void Connection::send_head(const Reply& reply, std::optional<uint64_t> length) {
  CurrentRequest& now = *current_;
  now.started = true;
  last_bytes_ = Clock::now();
  now.status = reply.status >= 200 && reply.status <= 599 ? reply.status : 500;
  if (core_->draining) now.keep_alive = false;
  out_ += response_head({.status = now.status,
                         .content_type = reply.content_type,
                         .request_id = now.id,
                         .headers = &reply.headers,
                         .cors = &now.cors,
                         .content_length = length,
                         .http_1_1 = now.http_1_1,
                         .keep_alive = now.keep_alive});
}

void Connection::send_stream_bytes(std::string_view bytes) {
  if (current_->http_1_1)
    fmt::format_to(std::back_inserter(out_), "{:x}\r\n{}\r\n", bytes.size(), bytes);
  else
    out_ += bytes;
  current_->body_bytes += bytes.size();
  last_bytes_ = Clock::now();
}

void Connection::complete_stream() {
  keep_alive_deadline_.clear();
  deadline_.clear();
  if (current_->http_1_1 && !current_->head_only) out_ += "0\r\n\r\n";
  current_->complete = true;
  flush();
}

void Connection::flush() {
  if (!writing_.empty() || phase_ == Phase::closed) return;
  if (out_.empty()) {
    if (phase_ == Phase::answering && current_->complete) finish_answer();
    return;
  }
  writing_.swap(out_);
  writing_reserved_ = std::exchange(out_reserved_, 0);
  const auto time = core_->options.limits.write_time + std::chrono::seconds(writing_.size() / kSlowestBytesPerSecond);
  write_deadline_.set(
      time, later([](Connection& c) {
        ++c.core_->dropped;
        c.core_->log.line(LogLevel::warning, "a client does not read and is dropped", {{"peer", c.peer_}});
        c.close();
      }));
  transport_->write(writing_.data(), writing_.size(),
                    told([](Connection& c, const error_code& ec, size_t n) { c.on_written(ec, n); }));
}

void Connection::on_written(const error_code& ec, size_t n) {
  core_->sent += n;
  if (phase_ == Phase::closed) return;
  write_deadline_.clear();
  if (ec) return close();
  if (current_ && current_->answer) current_->answer->written(std::exchange(writing_reserved_, 0));
  writing_.clear();
  if (writing_.capacity() > kKeptBuffer) std::string().swap(writing_);
  flush();
}

void Connection::finish_answer() {
  account(current_->status);
  const bool again = current_->keep_alive;
  if (current_->answer) current_->answer->finish();
  current_.reset();
  parser_.reset();
  keep_alive_interval_ = {};
  keep_alive_deadline_.clear();
  if (!again) return linger();
  move_to(Phase::idle);
  process_input();
}

// Set anew only when it fires: a timer for every token would cost more than the token.
void Connection::arm_keep_alive(Clock::duration after) {
  if (keep_alive_interval_.count() <= 0 || keep_alive_bytes_.empty()) return keep_alive_deadline_.clear();
  keep_alive_deadline_.set(after, later([](Connection& c) {
                             if (c.phase_ != Phase::answering || c.current_->complete) return;
                             const auto quiet = Clock::now() - c.last_bytes_;
                             if (quiet < c.keep_alive_interval_)
                               return c.arm_keep_alive(c.keep_alive_interval_ - quiet);
                             if (c.writing_.empty() && !c.current_->head_only) c.send_stream_bytes(c.keep_alive_bytes_);
                             c.flush();
                             c.arm_keep_alive(c.keep_alive_interval_);
                           }));
}

}  // namespace fathom::http
