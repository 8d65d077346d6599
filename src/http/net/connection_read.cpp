#include "base/error.h"
#include "http/net/connection.h"
#include "http/parse/token.h"

namespace fathom::http {
namespace {

constexpr size_t kSmallPiece = 4 << 10, kLargePiece = 64 << 10, kLongestLoggedPath = 256, kLongestLoggedMethod = 32;

// On a thread for handlers. The exchange is kept until what was thrown has been told: without an answer it would end as
// abandoned.
void call_handler(const Route& route, Request& request, const std::shared_ptr<Answer>& answer) noexcept {
  if (answer->gone()) return;
  std::shared_ptr<Exchange> exchange;
  try {
    exchange = make_exchange(answer);
    route.handler(std::move(request), exchange);
    return answer->tell([answer](Connection& c) { c.handler_returned(answer); });
  } catch (const std::exception& e) {
    answer->fail(e.what());
  } catch (...) {
    answer->fail("an exception of unknown type");
  }
}

}  // namespace

void Connection::read_more() {
  if (reading_ || phase_ == Phase::closed || (client_ended_ && phase_ != Phase::lingering)) return;
  if (phase_ == Phase::answering && in_.size() - in_at_ >= core_->options.limits.pipelined_bytes) return;
  in_.erase(0, in_at_);
  in_at_ = 0;
  const bool large = phase_ == Phase::lingering || (parser_ && parser_->state() == RequestParser::State::body);
  if (!large && piece_.capacity() > kSmallPiece) std::string().swap(piece_);
  if (in_.empty() && in_.capacity() > kSmallPiece && !large) std::string().swap(in_);
  piece_.resize(large ? kLargePiece : kSmallPiece);
  reading_ = true;
  transport_->read(piece_.data(), piece_.size(),
                   told([](Connection& c, const error_code& ec, size_t n) { c.on_read(ec, n); }));
}

void Connection::on_read(const error_code& ec, size_t n) {
  reading_ = false;
  if (phase_ == Phase::closed) return;
  core_->received += n;
  if (phase_ == Phase::lingering) {
    if (transport_->is_tls()) return say_done();
    return ec ? close() : read_more();
  }
  if (ec) return on_client_end();
  in_.append(piece_, 0, n);
  if (phase_ == Phase::answering)
    read_more();
  else
    process_input();
}

// The end of what the client sends counts as its leaving, unless the answer is complete and only has to be written
// (then the write tells whether it came through), or its handler may yet give it at once (handler_returned()).
void Connection::on_client_end() {
  client_ended_ = true;
  if (phase_ != Phase::answering || !(current_->complete || current_->in_handler)) close();
}

void Connection::process_input() {
  while (phase_ == Phase::idle || phase_ == Phase::reading) {
    if (phase_ == Phase::idle) {
      if (unread().empty()) {
        if (client_ended_) return close();
        deadline_.set(core_->options.limits.idle_time, later([](Connection& c) { c.close(); }));
        return read_more();
      }
      begin_request();
    }
    in_at_ += parser_->feed(unread());
    switch (parser_->state()) {
      case RequestParser::State::head:
      case RequestParser::State::body:
        return client_ended_ ? close() : read_more();
      case RequestParser::State::head_done:
        if (!on_head()) return;
        break;
      case RequestParser::State::done:
        return dispatch();
      case RequestParser::State::bad:
        return refuse_bad_request();
    }
  }
}

void Connection::begin_request() {
  move_to(Phase::reading);
  parser_.emplace(core_->options.limits.request);
  current_.emplace();
  current_->begun = Clock::now();
  deadline_.set(core_->options.limits.head_time, later([](Connection& c) { c.request_timed_out(); }));
}

bool Connection::on_head() {
  CurrentRequest& now = *current_;
  const RequestHead& head = parser_->head();
  name_request();
  now.http_1_1 = head.http_1_1;
  now.keep_alive = head.keep_alive && !core_->draining;
  now.head_only = head.method == "HEAD";
  deadline_.set(core_->options.limits.request_time - (Clock::now() - now.begun),
                later([](Connection& c) { c.request_timed_out(); }));

  const auto keys = core_->keys();
  Admission admission =
      admit(head, {core_->options, core_->router, *keys, core_->local_only, core_->unix_socket, core_->draining});
  now.route = admission.route;
  now.key_name = std::move(admission.key_name);
  now.cors = std::move(admission.cors);
  if (admission.refusal) {
    now.keep_alive = now.keep_alive && !head.has_body();  // what would follow is a body that nobody reads
    move_to(Phase::answering);
    send_whole(*admission.refusal);
    return false;
  }
  admitted_ = std::move(admission);
  parser_->accept_body(core_->options.limits.body_bytes);
  if (parser_->state() == RequestParser::State::body && head.http_1_1 && !head.header("expect").empty() &&
      unread().empty()) {
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
    flush();
  }
  return true;
}

void Connection::name_request() {
  const RequestHead& head = parser_->head();
  const std::string_view sent_id = head.header("x-request-id");
  current_->id = is_token_id(sent_id) ? std::string(sent_id) : core_->new_request_id();
  current_->method = head.method.substr(0, kLongestLoggedMethod);
  current_->path = head.target.substr(0, std::min(head.target.find('?'), kLongestLoggedPath));
}

void Connection::refuse_bad_request() {
  if (current_->id.empty()) name_request();
  refuse({.status = parser_->status(), .message = parser_->reason()}, true);
}

void Connection::request_timed_out() {
  ++core_->timeouts;
  if (current_->id.empty()) name_request();
  refuse({.status = 408, .message = "The request did not arrive in time."}, true);
}

void Connection::dispatch() {
  deadline_.clear();
  move_to(Phase::answering);
  RequestHead& head = parser_->head();
  Request request;
  request.id = current_->id;
  request.method = current_->head_only ? "GET" : std::move(head.method);
  request.target = std::move(head.target);
  request.path = std::move(admitted_.target.path);
  request.query = std::move(admitted_.target.query);
  request.headers = std::move(head.headers);
  request.body = parser_->take_body();
  request.peer = peer_;
  request.key_name = current_->key_name;
  request.path_parameters = std::move(admitted_.path_parameters);
  parser_.reset();
  auto answer = std::make_shared<Answer>(weak_from_this(), core_->options.limits.write_bytes);
  current_->answer = answer;
  current_->in_handler = true;
  ++core_->running;
  asio::post(core_->handlers, [core = core_, route = current_->route, request = std::move(request),
                               answer = std::move(answer)]() mutable { call_handler(*route, request, answer); });
  read_more();
}

void Connection::handler_failed(const AnswerPtr& answer, const std::string& what) {
  if (!is_current(answer)) return;
  core_->log.line(LogLevel::error, "a handler failed",
                  {{"id", current_->id}, {"route", current_->route->pattern}, {"what", what}});
  if (current_->started) return close();
  refuse({.status = 500,
          .message = "The server failed to answer this request. Its log has the reason under the request's id."},
         false);
}

// What it said while it ran has been done.
void Connection::handler_returned(const AnswerPtr& answer) {
  if (phase_ != Phase::answering || current_->answer != answer) return;
  current_->in_handler = false;
  if (client_ended_ && !current_->complete) close();
}

}  // namespace fathom::http
