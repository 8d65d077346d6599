#include "server/sse.h"

namespace fathom::server {

std::string sse_event(std::string_view text, std::string_view name) {
  std::string event;
  event.reserve(text.size() + name.size() + 24);
  if (!name.empty()) event.append("event: ").append(name).append("\n");
  return event.append("data: ").append(text).append("\n\n");
}

void EventStream::begin() {
  std::call_once(begun_, [this] {
    exchange_->start(200, "text/event-stream; charset=utf-8", {});
    exchange_->keep_alive(keep_alive_, ": keep-alive\n\n");
  });
}

void EventStream::send(const json::value& event, std::string_view name) {
  begin();
  exchange_->write(sse_event(json::serialize(event), name));
}

void EventStream::send_text(std::string_view text) {
  begin();
  exchange_->write(sse_event(text));
}

}  // namespace fathom::server
