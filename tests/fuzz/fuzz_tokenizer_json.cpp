// tokenizer.json and tokenizer_config.json from outside: read or refused, never a crash; and what was read holds its
// promises.
//
// Input: the text of tokenizer.json, optionally a NUL and the text of tokenizer_config.json, optionally a NUL and a
// text to encode.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/tokenizer.h"

namespace {
using namespace fathom;

std::string_view take_part(std::string_view& rest) {
  const size_t end = std::min(rest.find('\0'), rest.size());
  const std::string_view part = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return part;
}

void require(bool condition) {
  if (!condition) std::abort();
}

// Encoding gives ids of the vocabulary; what is written is read back as the same.
void use(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.add_special = true, .parse_special = parse_special});
    require(find_invalid_utf8(tokenizer.decode(ids, {.replace_invalid = true})) == std::string_view::npos);
    const Tokenizer again =
        Tokenizer::from_json(to_tokenizer_json(tokenizer), to_tokenizer_config_json(tokenizer), "written");
    require(again.encode(text, {.add_special = true, .parse_special = parse_special}) == ids);
  }
  Tokenizer::from_vocabulary(to_vocabulary(tokenizer), "written");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  const std::string_view json = take_part(rest), config = take_part(rest);
  try {
    use(Tokenizer::from_json(json, config, "fuzz"), rest);
  } catch (const Error&) {
  }
  return 0;
}
