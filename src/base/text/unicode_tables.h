// What kind of character a code point is, pinned to one Unicode version, so that no library upgrade can change tokens.
//
// The classes are the major general categories L, M, N, P, S, and White_Space; they are disjoint. Version 16.0.0 is
// what the regular expressions of Hugging Face tokenizers 0.23 use (tools/tokenizer/make_unicode_tables.py --check: no
// code point differs).
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>

namespace fathom {

enum class CharClass : uint8_t { other, letter, mark, number, punctuation, symbol, space };

struct CharRange {
  uint32_t first, last;  // both included
  CharClass kind;
};

// Sorted, no overlap; what lies in none is CharClass::other.
std::span<const CharRange> char_ranges() noexcept;

// Numbers that Unicode 17.0.0 added. tokenizers' Digits stage counts them as digits (Rust's char::is_numeric is newer
// than its regex).
std::span<const uint32_t> numbers_new_in_unicode_17() noexcept;

// A lookup that starts from the range found last: running text mostly stays in one.
class CharClassifier {
 public:
  CharClass operator()(uint32_t code_point) noexcept {
    if (code_point < at_->first || code_point > at_->last) {
      const auto ranges = char_ranges();
      const auto next = std::upper_bound(ranges.begin(), ranges.end(), code_point,
                                         [](uint32_t c, const CharRange& r) { return c < r.first; });
      if (next == ranges.begin() || code_point > std::prev(next)->last) return CharClass::other;
      at_ = &*std::prev(next);
    }
    return at_->kind;
  }

 private:
  const CharRange* at_ = char_ranges().data();
};

}  // namespace fathom
