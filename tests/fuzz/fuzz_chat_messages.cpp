// Conversations as JSON: any text is read or refused with an Error; what was read is written, and read again, the same.
// Input: the conversation, and behind a NUL byte a chat template that it is fitted to.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tokenizer/chat/chat_messages.h"

namespace {

using namespace fathom;

void run(std::string_view input) {
  const std::string_view text = input.substr(0, input.find('\0'));
  const Conversation read = parse_conversation(text, "fuzz.json");
  const std::string written = to_json(read);
  check(to_json(parse_conversation(written, "fuzz.json")) == written, "what is written is read as it was");
  const std::string source(input.substr(std::min(input.size(), text.size() + 1)));
  if (source.size() > 2000 || read.messages.size() > 8) return;  // quick: the template runs once for each message
  fitted_to(ChatTemplate::from_source(source, "<s>", "</s>", "fuzz.jinja"), read, "fuzz.json");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    run(std::string_view(reinterpret_cast<const char*>(data), size));
  } catch (const Error&) {
  }
  return 0;
}
