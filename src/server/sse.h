// An answer as server-sent events, or as one JSON object:
// https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "base/json/json.h"
#include "http/errors.h"
#include "http/exchange.h"

namespace fathom::server {

// One event: `data: TEXT`, after `event: NAME` where there is one. text has no line ends: JSON writes them as \n.
std::string sse_event(std::string_view text, std::string_view name = {});

// A stream of events. Any thread may begin it; the head is sent once.
class EventStream {
 public:
  EventStream(std::shared_ptr<http::Exchange> exchange, std::chrono::milliseconds keep_alive)
      : exchange_(std::move(exchange)), keep_alive_(keep_alive) {}

  void begin();
  void send(const json::value& event, std::string_view name = {});
  void send_text(std::string_view text);
  void end() { exchange_->end(); }
  bool gone() const { return exchange_->gone(); }

 private:
  std::shared_ptr<http::Exchange> exchange_;
  std::chrono::milliseconds keep_alive_;
  std::once_flag begun_;
};

}  // namespace fathom::server
