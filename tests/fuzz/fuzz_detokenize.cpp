// Any ids: refused, or decoded to bytes; the stream gives the same text in whole characters. And any text through a
// vocabulary with every part that splits text.
//
// Input: the first byte picks what the rest is: ids of two bytes each, or a text for one of the pre-tokenizers.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer.h"

namespace {
using namespace fathom;

void require(bool condition) {
  if (!condition) std::abort();
}

// All bytes but the last eight, which no UTF-8 text has; some merges; special and other added tokens.
VocabularyData vocabulary(const char* pre) {
  VocabularyData v;
  v.pre = pre;
  const auto add = [&](std::string spelling, TokenType type) {
    v.tokens.push_back(std::move(spelling));
    v.token_types.push_back(static_cast<int32_t>(type));
  };
  for (int b = 0; b < 0xF8; ++b) add(spelling_of_bytes(std::string(1, static_cast<char>(b))), TokenType::normal);
  for (const char* merge :
       {"a b", "ab ab", "\u0120 a", "\u00e4 \u00b8", "\u00e4\u00b8 \u0143", "\u00c2 \u0122", "1 1", "\u010a \u010a"}) {
    const std::string_view text(merge);
    const size_t space = text.find(' ');
    add(std::string(text.substr(0, space)) + std::string(text.substr(space + 1)), TokenType::normal);
    v.merges.emplace_back(text);
  }
  add("<s>", TokenType::control);
  add("<s><s>", TokenType::user_defined);
  add("\u00f8", TokenType::user_defined);
  v.bos = v.eos = 0xF8 + 8;
  v.add_bos = true;
  return v;
}

void decode_ids(const Tokenizer& tokenizer, std::string_view bytes) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2)
    ids.push_back((static_cast<uint8_t>(bytes[i]) << 8 | static_cast<uint8_t>(bytes[i + 1])) % 280 - 4);
  for (const bool skip_special : {false, true}) {
    StreamDecoder stream(tokenizer, skip_special);
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = stream.push(id);
      require(find_invalid_utf8(piece) == std::string::npos);
      text += piece;
    }
    text += stream.flush();
    require(text == tokenizer.decode(ids, {.skip_special = skip_special, .replace_invalid = true}));
  }
}

void encode_text(const Tokenizer& tokenizer, std::string_view text) {
  for (const bool parse_special : {false, true}) {
    const auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
    require(tokenizer.decode(ids) == replace_invalid_utf8(text));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Tokenizer tokenizers[] = {Tokenizer::from_vocabulary(vocabulary("deepseek-llm"), "fuzz"),
                                         Tokenizer::from_vocabulary(vocabulary("deepseek-coder"), "fuzz"),
                                         Tokenizer::from_vocabulary(vocabulary("deepseek-v3"), "fuzz"),
                                         Tokenizer::from_vocabulary(vocabulary("gpt-2"), "fuzz")};
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    data[0] % 5 == 4 ? decode_ids(tokenizers[0], rest) : encode_text(tokenizers[data[0] % 5], rest);
  } catch (const Error&) {
  }
  return 0;
}
