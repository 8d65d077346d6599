// Sets of Unicode characters as ranges of code points, and as the bytes of their UTF-8 forms.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/text/unicode_tables.h"

namespace fathom::grammar {

struct CodeRange {
  uint32_t first, last;  // both included
  bool operator==(const CodeRange&) const = default;
  bool operator<(const CodeRange& o) const noexcept { return first != o.first ? first < o.first : last < o.last; }
};

// Always sorted, without overlap or neighbours, without surrogates (which UTF-8 cannot write).
class CharSet {
 public:
  CharSet() = default;
  CharSet(std::initializer_list<CodeRange> ranges) : CharSet(std::vector<CodeRange>(ranges)) {}
  explicit CharSet(std::vector<CodeRange> ranges);

  static CharSet all() { return CharSet{{0, 0x10FFFF}}; }
  static CharSet of_class(CharClass kind);  // the characters of a class of base/text/unicode_tables.h

  CharSet inverted() const;
  CharSet operator|(const CharSet& other) const;
  CharSet operator&(const CharSet& other) const;
  bool empty() const noexcept { return ranges_.empty(); }
  const std::vector<CodeRange>& ranges() const noexcept { return ranges_; }
  bool operator==(const CharSet&) const = default;
  bool operator<(const CharSet& o) const noexcept { return ranges_ < o.ranges_; }  // for maps

 private:
  std::vector<CodeRange> ranges_;
};

// Any byte from `first[i]` to `last[i]` at place i < length: together the UTF-8 forms of a range of characters.
struct ByteSequence {
  uint8_t first[4], last[4];
  int length;
};

// The sequences that spell exactly the characters of the set; no text is spelt by two of them.
std::vector<ByteSequence> utf8_sequences(const CharSet& set);

}  // namespace fathom::grammar
