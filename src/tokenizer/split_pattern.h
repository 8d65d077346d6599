// The regular expressions of the pre-tokenizers, as hand-written scanners: linear time and constant stack on any text.
//
// A pattern is recognised by its text. Two kinds are known, anything else is refused:
//   runs           PREFIX ATOM QUANTIFIER, where PREFIX is nothing, " ?" or "\s?", ATOM a bracket class or \p{X},
//   QUANTIFIER nothing, "+"
//                  or "{m,n}": "[\r\n]", "\s?\p{L}+", "\p{N}{1,3}", "[\u4e00-\u9fa5...]+", ...
//   whole texts    "\s+$", GPT-2's and DeepSeek-V3's alternations, character for character
//
// Semantics are those of Oniguruma's Ruby syntax, which Hugging Face tokenizers uses: leftmost match, alternatives in
// order, greedy.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/unicode_tables.h"

namespace fathom {

// A text as code points and their classes, index by character.
struct CharText {
  std::vector<uint32_t> code_points;
  std::vector<CharClass> classes;
  std::vector<uint32_t> offsets;  // of the bytes; one more than characters

  size_t size() const noexcept { return code_points.size(); }
  // Replaces the content. Ill-formed sequences become U+FFFD with the bytes' own offsets. `text` is smaller than 4 GiB.
  void assign(std::string_view text);
};

// A set of characters: [...] or \p{X}.
class CharSet {
 public:
  void add(uint32_t first, uint32_t last);
  void add(CharClass kind) { classes_ |= 1u << static_cast<unsigned>(kind); }
  void negate() { negated_ = true; }
  void finish();  // sorts; call before contains

  bool contains(uint32_t code_point, CharClass kind) const noexcept {
    const bool listed = code_point < 128 ? ascii_[code_point] : in_ranges(code_point);
    return (listed || (classes_ >> static_cast<unsigned>(kind) & 1u) != 0) != negated_;
  }

 private:
  struct Range {
    uint32_t first, last;
  };
  bool in_ranges(uint32_t code_point) const noexcept;

  std::vector<Range> ranges_;
  std::array<bool, 128> ascii_{};
  uint32_t classes_ = 0;
  bool negated_ = false;
};

// What a scanner finds at one place of [at, end): a match of `length` characters, or none here nor at the next `skip` -
// 1 places.
struct ScanResult {
  size_t length, skip;
};

struct RunScanner {
  enum class Prefix : uint8_t { none, blank, space };  // "", " ?", "\s?"
  Prefix prefix = Prefix::none;
  CharSet set;
  size_t min = 1, max = 1;
  ScanResult scan(const CharText& text, size_t at, size_t end) const noexcept;
};
// \s+$ where $ also stands before a line feed.
struct TrailingSpaceScanner {
  ScanResult scan(const CharText& text, size_t at, size_t end) const noexcept;
};
struct Gpt2Scanner {
  ScanResult scan(const CharText& text, size_t at, size_t end) const noexcept;
};
struct DeepSeekV3Scanner {
  ScanResult scan(const CharText& text, size_t at, size_t end) const noexcept;
};
// Numbers: each alone, or runs.
struct DigitsScanner {
  bool individual;
  ScanResult scan(const CharText& text, size_t at, size_t end) const noexcept;
};

// One of the above.
struct Scanner {
  enum class Kind : uint8_t { run, trailing_space, gpt2, deepseek_v3, digits, each_digit };
  Kind kind = Kind::run;
  RunScanner run;  // for Kind::run
};

// Throws unsupported with the pattern's text when it is not one of the above. `where` names the place in the file.
Scanner compile_split_pattern(std::string_view pattern, const std::string& where);

// The pattern texts of the family, by name; see pretokenize.cpp for the stages that use them.
extern const std::string_view kNewlinePattern, kCasedLettersPattern, kPunctuationPattern, kTrailingSpacePattern,
    kCjkPattern, kCoderLettersPattern, kCoderPunctuationPattern, kThreeNumbersPattern, kV3CjkPattern, kV3Pattern,
    kGpt2Pattern;

}  // namespace fathom
