// Server-sent events of a streamed completion, from pieces cut anywhere.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace fathom::serve_bench {

// The data of each event; comments and fields other than data are passed over. Lines end with LF, CR LF or CR.
class EventReader {
 public:
  // on_data is called for every event that a call completes.
  void read(std::string_view bytes, const std::function<void(std::string_view data)>& on_data);

 private:
  void end_line(const std::function<void(std::string_view data)>& on_data);
  std::string line_, data_;
  bool has_data_ = false, after_cr_ = false, is_first_line_ = true;
};

// What one chunk of OpenAI's completions or chat completions says. The text counts, not its form: `text`, or `content`
// or `reasoning_content` of a delta.
struct Chunk {
  bool done = false;      // "[DONE]"
  bool has_text = false;  // of at least one byte
  bool has_usage = false;
  int64_t prompt_tokens = 0, output_tokens = 0;
  std::string error;  // what an error event says, or that the data is no JSON; empty: none
};
Chunk read_chunk(std::string_view data);

// What an answer that is no 200 says: its error's message, else its first bytes.
std::string refusal_words(std::string_view body);

}  // namespace fathom::serve_bench
