// Server-sent events read by the letter of https://html.spec.whatwg.org/multipage/server-sent-events.html, section
// 9.2.6, from a whole stream at once: slowly, and in another way than the readers and writers that it judges.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace fathom::testing {

struct ServerSentEvent {
  std::string name, data;  // name: "" where the stream gave none
  bool operator==(const ServerSentEvent&) const = default;
};

// Lines that ended; what stands behind the last line end is none yet.
inline std::vector<std::string> event_stream_lines(std::string_view stream) {
  if (stream.starts_with("\xEF\xBB\xBF")) stream.remove_prefix(3);
  std::vector<std::string> lines;
  for (size_t at = 0;;) {
    const size_t end = stream.find_first_of("\r\n", at);
    if (end == std::string_view::npos) return lines;
    lines.emplace_back(stream.substr(at, end - at));
    at = end + (stream.substr(end, 2) == "\r\n" ? 2 : 1);
  }
}

inline std::vector<ServerSentEvent> read_events_strictly(std::string_view stream) {
  std::vector<ServerSentEvent> events;
  ServerSentEvent next;
  for (const std::string& line : event_stream_lines(stream)) {
    if (line.empty()) {
      if (!next.data.empty()) {
        next.data.pop_back();  // the line end of its last line
        events.push_back(next);
      }
      next = {};
      continue;
    }
    const size_t colon = line.find(':');
    const std::string field = line.substr(0, colon);
    std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.erase(0, 1);
    if (field == "data") next.data += value + '\n';
    if (field == "event") next.name = value;
  }
  return events;
}

}  // namespace fathom::testing
