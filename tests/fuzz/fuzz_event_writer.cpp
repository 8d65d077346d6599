// Any texts as events of an answer: what a strict reader, and the reader of `fathom bench serve`, get out of the stream
// is what was sent. Input: pieces that end with a NUL byte; the first byte of a piece says how it is sent.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "base/text/utf8.h"
#include "measure/serve/event_reader.h"
#include "server/sse.h"
#include "support/strict_event_reader.h"

namespace {

using namespace fathom;

// The client's side of an answer: its bytes, with keep-alives between some of them.
class Recorder final : public http::Exchange {
 public:
  void reply(http::Reply) noexcept override { std::abort(); }
  void start(int status, std::string, http::Headers) noexcept override {
    if (status != 200 || started_) std::abort();
    started_ = true;
  }
  void write(std::string chunk) noexcept override {
    if (!started_) std::abort();
    if (++n_ % 3 == 0) bytes += keep_alive_;
    bytes += chunk;
  }
  void end() noexcept override {}
  void keep_alive(std::chrono::milliseconds, std::string text) noexcept override { keep_alive_ = std::move(text); }
  bool gone() const noexcept override { return false; }
  void on_gone(std::function<void()>) noexcept override {}

  std::string bytes;

 private:
  std::string keep_alive_;
  bool started_ = false;
  int n_ = 0;
};

// As the routes send: an event of JSON with or without a name, or a word.
testing::ServerSentEvent send(server::EventStream& stream, std::string_view piece) {
  static constexpr std::string_view kNames[] = {"", "message_start", "response.output_text.delta", "error"};
  const auto way = static_cast<unsigned char>(piece.empty() ? 0 : piece[0]);
  const std::string text(piece.empty() ? piece : piece.substr(1));
  if (way % 8 == 7) {
    stream.send_text("[DONE]");
    return {"", "[DONE]"};
  }
  json::value event = json::object{{"text", text}, {text, way}};
  if (way % 8 >= 4 && find_invalid_utf8(text) == std::string_view::npos) {
    try {
      event = parse_json(text, "fuzz");
    } catch (const Error&) {  // sent as a text, then
    }
  }
  const std::string_view name = kNames[way % 4];
  stream.send(event, name);
  return {std::string(name), json::serialize(event)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto exchange = std::make_shared<Recorder>();
  server::EventStream stream(exchange, std::chrono::milliseconds(1));
  std::vector<testing::ServerSentEvent> sent;
  for (size_t at = 0; at < input.size();) {
    const size_t end = std::min(input.find('\0', at), input.size());
    sent.push_back(send(stream, input.substr(at, end - at)));
    at = end + 1;
  }
  if (testing::read_events_strictly(exchange->bytes) != sent) std::abort();
  size_t n = 0;
  serve_bench::EventReader().read(exchange->bytes, [&](std::string_view event) {
    if (n == sent.size() || event != sent[n++].data) std::abort();
  });
  if (n != sent.size()) std::abort();
  return 0;
}
