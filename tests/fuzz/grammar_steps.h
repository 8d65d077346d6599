// A grammar from a fuzzer's input: a few random tokens are written under it, and what must always hold is checked.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/random.h"
#include "base/xxh64.h"
#include "grammar/matcher.h"

namespace fathom::fuzz {

inline std::shared_ptr<const TokenTrie> small_vocabulary() {
  static const auto vocabulary = [] {
    std::vector<std::string> tokens(257);
    for (size_t b = 0; b < 256; ++b) tokens[b] = static_cast<char>(b);
    for (const char* token :
         {"{\"", "\":", "\", \"", "aa", "ab", "\xC3", "\xA9\xE4", "\xE4\xB8\x80", "true", "12", "]}", "\\u00"})
      tokens.emplace_back(token);
    const std::vector<int32_t> ends = {256};
    return std::make_shared<const TokenTrie>(tokens, ends);
  }();
  return vocabulary;
}

inline void take_steps(const std::shared_ptr<const Grammar>& grammar, std::string_view source) {
  const uint64_t seed = xxh64(source);
  Matcher matcher(grammar, small_vocabulary());
  for (uint64_t step = 0; step < 24; ++step) {
    const TokenMask& mask = matcher.allowed();
    check(mask.allows(256) == matcher.can_end(), "an end is allowed exactly when the text may end");
    std::vector<int32_t> ways;
    for (int32_t id = 0; id < small_vocabulary()->n_ids(); ++id)
      if (mask.allows(id)) ways.push_back(id);
    check(std::ssize(ways) == mask.count, "the count is that of the mask");
    if (ways.empty()) return;
    for (const char c : matcher.forced()) {
      Matcher copy = matcher;
      check(copy.allowed().allows(static_cast<unsigned char>(c)), "what is forced is allowed");
      break;
    }
    const auto random = philox(seed, 1, step);
    const auto other = static_cast<int32_t>(random[1] % static_cast<uint64_t>(small_vocabulary()->n_ids()));
    check(Matcher(matcher).accept(other) == mask.allows(other), "what is allowed is accepted");
    const int32_t id = ways[random[0] % ways.size()];
    check(matcher.accept(id), "what is allowed is accepted");
  }
}

// Any text: refused with an Error, or a grammar of which the above holds.
template <class Compile>
int try_source(const uint8_t* data, size_t size, Compile&& compile) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    take_steps(compile(source), source);
  } catch (const Error& e) {
    check(e.kind() == ErrorKind::bad_input, "a refusal is bad input");
  }
  return 0;
}

}  // namespace fathom::fuzz
