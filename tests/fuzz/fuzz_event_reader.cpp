// Any bytes as an event stream: the events of the standard, however the stream is cut, and each of them read as a chunk
// of an answer. The first byte of the input says how it is cut.
#include "measure/serve/event_reader.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "support/strict_event_reader.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fathom;
  if (size == 0) return 0;
  std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const size_t piece = 1 + data[0] % 32;
  std::vector<std::string> got, wanted;
  for (testing::ServerSentEvent& event : testing::read_events_strictly(stream)) wanted.push_back(std::move(event.data));
  serve_bench::EventReader reader;
  for (; !stream.empty(); stream.remove_prefix(std::min(piece, stream.size())))
    reader.read(stream.substr(0, piece), [&](std::string_view event) { got.emplace_back(event); });
  if (got != wanted) std::abort();
  for (const std::string& event : got) {
    const serve_bench::Chunk chunk = serve_bench::read_chunk(event);
    if (chunk.done && !chunk.error.empty()) std::abort();
    if (serve_bench::refusal_words(event).empty() && !event.empty()) std::abort();
  }
  return 0;
}
