// Any bytes as an input file: refused with an Error, or documents whose parts keep their promises.
//
// Input: a byte that chooses the name, the separator and the policy, then the file.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/json/json.h"
#include "base/text/utf8.h"
#include "data/hold_out.h"
#include "data/text/documents.h"

namespace {
using namespace fathom;

void require(bool condition) {
  if (!condition) std::abort();
}

// A record that the strict reader takes as well has the same text for both.
void compare_with_strict_reader(const RawDocument& document, std::string_view text) {
  json::value value;
  try {
    value = parse_json(document.bytes, "fuzz");
  } catch (const Error&) {
    return;
  }
  const json::string* string = value.is_object() ? value.get_object().at("text").if_string() : value.if_string();
  require(text == (string == nullptr ? std::string_view() : std::string_view(*string)));
}

void use(std::string_view text) {
  const SplitText split = hold_out_pieces(text, 0.1, 1);
  size_t bytes = 0;
  for (const auto& parts : {split.train, split.held_out})
    for (const std::string_view part : parts) bytes += part.size();
  require(bytes == text.size() || text.empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 1), size - 1);
  DocumentFormat format{.separator = (data[0] & 1) != 0 ? "\n\n" : "",
                        .as_text = (data[0] & 2) != 0,
                        .max_document_bytes = size_t{1} << 22,
                        .cut_after = (data[0] & 4) != 0 ? 100u : 0u};
  try {
    DocumentFile file(bytes, (data[0] & 8) != 0 ? "fuzz.jsonl" : "fuzz", format);
    uint64_t number = 0;
    for (RawDocument document; file.next(document); number = document.number) {
      require(document.number > number);
      std::string storage;
      try {
        const std::string_view text = file.text(document, storage);
        if (file.form() != DocumentForm::text) compare_with_strict_reader(document, text);
        use(text);
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
  return 0;
}
