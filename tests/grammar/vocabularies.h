// Vocabularies for tests of grammars, and texts as their tokens.
#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "grammar/matcher.h"

namespace fathom::test {

// Ids 0 to 255 are the bytes, 256 ends a text, 257 is another token without bytes.
inline constexpr int32_t kEndId = 256;
inline std::vector<std::string> byte_tokens() {
  std::vector<std::string> out;
  for (int b = 0; b < 256; ++b) out.emplace_back(1, static_cast<char>(b));
  out.resize(258);
  return out;
}

inline std::shared_ptr<const TokenTrie> trie_of(const std::vector<std::string>& tokens) {
  const std::vector<int32_t> ends = {kEndId};
  return std::make_shared<const TokenTrie>(tokens, ends);
}
inline std::shared_ptr<const TokenTrie> byte_vocabulary() {
  static const auto vocabulary = trie_of(byte_tokens());
  return vocabulary;
}

// The bytes, and n pieces of the texts cut anywhere, in the middle of characters too. One text must not be empty.
inline std::vector<std::string> tokens_cut_from(const std::vector<std::string>& texts, size_t n, uint64_t seed) {
  std::vector<std::string> out = byte_tokens();
  for (uint64_t i = 0; out.size() < 258 + n; ++i) {
    const std::string& text = texts[static_cast<size_t>(philox(seed, 1, i)[0]) % texts.size()];
    if (text.empty()) continue;
    const auto at = static_cast<size_t>(philox(seed, 2, i)[0]) % text.size();
    out.push_back(text.substr(at, 1 + philox(seed, 3, i)[0] % 7));
  }
  return out;
}

// Whether the whole text can be written byte by byte and then ended. Every byte is looked up in the mask as well.
inline bool accepts(const std::shared_ptr<const Grammar>& grammar, std::string_view text) {
  Matcher matcher(grammar, byte_vocabulary());
  for (const char c : text) {
    const auto id = static_cast<int32_t>(static_cast<unsigned char>(c));
    const bool allowed = matcher.allowed().allows(id);
    EXPECT_EQ(matcher.accept(id), allowed) << text;
    if (!allowed) return false;
  }
  EXPECT_EQ(matcher.can_end(), matcher.allowed().allows(kEndId));
  return matcher.can_end();
}

// A table of texts: those in the first list are accepted, those in the second are not.
inline void expect_texts(const std::shared_ptr<const Grammar>& grammar, const std::vector<std::string>& good,
                         const std::vector<std::string>& bad) {
  for (const std::string& text : good) EXPECT_TRUE(accepts(grammar, text)) << text;
  for (const std::string& text : bad) EXPECT_FALSE(accepts(grammar, text)) << text;
}

}  // namespace fathom::test
