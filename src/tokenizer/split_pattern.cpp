#include "tokenizer/split_pattern.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "base/text/utf8.h"

namespace fathom {

using enum CharClass;

void CharText::assign(std::string_view text) {
  code_points.clear();
  classes.clear();
  offsets.clear();
  CharClassifier classify;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<uint8_t>(text[i]);
    const Utf8Char c = byte < 0x80 ? Utf8Char{byte, 1, true} : decode_utf8(text, i);
    code_points.push_back(c.code_point);
    classes.push_back(classify(c.code_point));
    offsets.push_back(static_cast<uint32_t>(i));
    i += c.length;
  }
  offsets.push_back(static_cast<uint32_t>(text.size()));
}

void CharSet::add(uint32_t first, uint32_t last) {
  for (uint32_t c = first; c <= last && c < 128; ++c) ascii_[c] = true;
  if (last >= 128) ranges_.push_back({std::max<uint32_t>(first, 128), last});
}

void CharSet::finish() {
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.first < b.first; });
  std::vector<Range> joined;
  for (const Range& r : ranges_) {
    if (!joined.empty() && r.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, r.last);
    } else {
      joined.push_back(r);
    }
  }
  ranges_ = std::move(joined);
}

bool CharSet::in_ranges(uint32_t c) const noexcept {
  const auto next =
      std::upper_bound(ranges_.begin(), ranges_.end(), c, [](uint32_t x, const Range& r) { return x < r.first; });
  return next != ranges_.begin() && c <= std::prev(next)->last;
}

// ---- Scanners ----

namespace {

constexpr ScanResult match(size_t length) { return {length, 1}; }
constexpr ScanResult no_match(size_t skip = 1) { return {0, skip}; }

bool is_newline(uint32_t c) { return c == '\r' || c == '\n'; }
bool is_ascii_letter(uint32_t c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; }
bool is_ascii_punctuation(uint32_t c) { return c > 0x20 && c < 0x7F && !is_ascii_letter(c) && !(c >= '0' && c <= '9'); }

// First place of [at, end) whose class is not one of `kinds` (bits).
size_t end_of_run(const CharText& text, size_t at, size_t end, uint32_t kinds) noexcept {
  while (at < end && (kinds >> static_cast<unsigned>(text.classes[at]) & 1u) != 0) ++at;
  return at;
}
constexpr uint32_t bits(auto... kinds) { return ((1u << static_cast<unsigned>(kinds)) | ...); }

// \s+(?!\S)|\s+ : a run of white space, without its last character when that is not the only one and something follows
// the run.
size_t space_run_length(const CharText& text, size_t at, size_t end) noexcept {
  const size_t stop = end_of_run(text, at, end, bits(space));
  const size_t n = stop - at;
  return stop == end || n == 1 ? n : n - 1;
}

}  // namespace

ScanResult RunScanner::scan(const CharText& text, size_t at, size_t end) const noexcept {
  const auto run = [&](size_t from) {
    const size_t stop = std::min(end, from + max);
    size_t i = from;
    while (i < stop && set.contains(text.code_points[i], text.classes[i])) ++i;
    return i - from;
  };
  const bool prefixed = (prefix == Prefix::space && text.classes[at] == space) ||
                        (prefix == Prefix::blank && text.code_points[at] == ' ');
  if (prefixed && at + 1 < end)
    if (const size_t n = run(at + 1); n >= min) return match(1 + n);
  const size_t n = run(at);
  return n >= min ? match(n) : no_match(std::max<size_t>(n, 1));
}

ScanResult TrailingSpaceScanner::scan(const CharText& text, size_t at, size_t end) const noexcept {
  const size_t stop = end_of_run(text, at, end, bits(space));
  if (stop == at) return no_match();
  if (stop == end) return match(stop - at);
  for (size_t i = stop - 1; i > at; --i)
    if (text.code_points[i] == '\n') return match(i - at);
  return no_match(stop - at);
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
ScanResult Gpt2Scanner::scan(const CharText& text, size_t at, size_t end) const noexcept {
  const auto& c = text.code_points;
  if (c[at] == '\'' && at + 1 < end) {
    const uint32_t first = c[at + 1], second = at + 2 < end ? c[at + 2] : 0;
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return match(2);
    if (((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l')) return match(3);
  }
  const size_t word = c[at] == ' ' ? at + 1 : at;
  if (word < end && text.classes[word] != space) {
    const CharClass kind = text.classes[word];
    const uint32_t kinds = kind == letter || kind == number ? bits(kind) : ~bits(space, letter, number);
    return match(end_of_run(text, word, end, kinds) - at);
  }
  return match(space_run_length(text, at, end));
}

// [!-/:-@\[-`{-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
ScanResult DeepSeekV3Scanner::scan(const CharText& text, size_t at, size_t end) const noexcept {
  const auto& c = text.code_points;
  const auto& kind = text.classes;
  size_t i = at + 1;
  if (is_ascii_punctuation(c[at]) && i < end && is_ascii_letter(c[i])) {
    while (i < end && is_ascii_letter(c[i])) ++i;
    return match(i - at);
  }
  constexpr uint32_t word_kinds = bits(letter, mark), sign_kinds = bits(punctuation, symbol);
  const bool may_precede =
      !is_newline(c[at]) && kind[at] != letter && (sign_kinds >> static_cast<unsigned>(kind[at]) & 1u) == 0;
  if (const size_t stop = end_of_run(text, at + (may_precede ? 1 : 0), end, word_kinds);
      stop > at + (may_precede ? 1 : 0))
    return match(stop - at);
  if (kind[at] == mark) return match(1);
  if (const size_t signs = c[at] == ' ' ? at + 1 : at, stop = end_of_run(text, signs, end, sign_kinds); stop > signs) {
    i = stop;
    while (i < end && is_newline(c[i])) ++i;
    return match(i - at);
  }
  if (kind[at] != space) return no_match();
  for (i = end_of_run(text, at, end, bits(space)); i > at; --i)
    if (is_newline(c[i - 1])) return match(i - at);
  return match(space_run_length(text, at, end));
}

ScanResult DigitsScanner::scan(const CharText& text, size_t at, size_t end) const noexcept {
  const auto is_digit = [&](size_t i) {
    const auto newer = numbers_new_in_unicode_17();
    return text.classes[i] == number ||
           (text.classes[i] == other && std::binary_search(newer.begin(), newer.end(), text.code_points[i]));
  };
  size_t i = at;
  while (i < end && is_digit(i) && (!individual || i == at)) ++i;
  return i > at ? match(i - at) : no_match();
}

// ---- Patterns ----

const std::string_view kNewlinePattern = "[\r\n]";
// Upper, lower and title case letters of the cased scripts, as DeepSeek listed them. Source: tokenizer.json of
// deepseek-llm; the same ranges stand in llama.cpp under the name deepseek-llm.
const std::string_view kCasedLettersPattern =
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376"
    "\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+";
const std::string_view kPunctuationPattern = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";
const std::string_view kTrailingSpacePattern = "\\s+$";
const std::string_view kCjkPattern = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
const std::string_view kCoderLettersPattern = "\\s?\\p{L}+";
const std::string_view kCoderPunctuationPattern = "\\s?\\p{P}+";
const std::string_view kThreeNumbersPattern = "\\p{N}{1,3}";
const std::string_view kV3CjkPattern = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
const std::string_view kV3Pattern =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| "
    "?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+";
const std::string_view kGpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

namespace {

// Reads a run pattern; every step returns false at what it does not know, and the whole pattern is then refused.
class RunPatternReader {
 public:
  explicit RunPatternReader(std::string_view pattern) : text_(pattern) {}

  std::optional<RunScanner> read() {
    RunScanner run;
    if (take("\\s?")) {
      run.prefix = RunScanner::Prefix::space;
    } else if (take(" ?")) {
      run.prefix = RunScanner::Prefix::blank;
    }
    const bool atom = take("[") ? bracket(run.set) : class_escape(run.set);
    if (!atom || !quantifier(run) || at_ != text_.size()) return std::nullopt;
    run.set.finish();
    return run;
  }

 private:
  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  // \p{L} \p{M} \p{N} \p{P} \p{S} \s
  bool class_escape(CharSet& set) {
    constexpr std::pair<std::string_view, CharClass> known[] = {{"\\p{L}", letter}, {"\\p{M}", mark},
                                                                {"\\p{N}", number}, {"\\p{P}", punctuation},
                                                                {"\\p{S}", symbol}, {"\\s", space}};
    for (const auto& [name, kind] : known)
      if (take(name)) {
        set.add(kind);
        return true;
      }
    return false;
  }

  // One character of a bracket class, escaped or not.
  std::optional<uint32_t> character() {
    if (at_ >= text_.size()) return std::nullopt;
    if (take("\\")) {
      constexpr std::pair<char, char> escapes[] = {{'r', '\r'}, {'n', '\n'}, {'t', '\t'}};
      for (const auto& [name, value] : escapes)
        if (take({&name, 1})) return value;
      constexpr std::string_view plain = "\\-[]^/.";
      if (at_ >= text_.size() || plain.find(text_[at_]) == plain.npos) return std::nullopt;
      return static_cast<uint8_t>(text_[at_++]);
    }
    if (text_[at_] == '[' || text_.substr(at_, 2) == "&&") return std::nullopt;  // nested classes, intersections
    const Utf8Char c = decode_utf8(text_, at_);
    if (!c.valid) return std::nullopt;
    at_ += c.length;
    return c.code_point;
  }

  bool bracket(CharSet& set) {
    if (take("^")) set.negate();
    for (bool first_item = true; first_item || !take("]"); first_item = false) {
      if (class_escape(set)) continue;
      const auto first = character();
      if (!first || (first_item && *first == ']')) return false;
      auto last = first;
      if (text_.substr(at_, 1) == "-" && text_.substr(at_, 2) != "-]") {
        ++at_;
        last = character();
      }
      if (!last || *last < *first) return false;
      set.add(*first, *last);
    }
    return true;
  }

  std::optional<size_t> small_number() {
    size_t value = 0, digits = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && digits < 3; ++at_, ++digits)
      value = 10 * value + static_cast<size_t>(text_[at_] - '0');
    return digits > 0 ? std::optional(value) : std::nullopt;
  }

  bool quantifier(RunScanner& run) {
    if (take("+")) {
      run.max = SIZE_MAX / 2;
    } else if (take("{")) {
      const auto min = small_number();
      const auto max = take(",") ? small_number() : min;
      if (!min || !max || !take("}") || *min < 1 || *max < *min) return false;
      run.min = *min;
      run.max = *max;
    }
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
};

// \r and \n written as escapes mean the same as the characters themselves.
std::string with_plain_newlines(std::string_view pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
    } else if (const char next = pattern[++i]; next == 'r' || next == 'n') {
      out += next == 'r' ? '\r' : '\n';
    } else {
      out += '\\';
      out += next;
    }
  }
  return out;
}

}  // namespace

Scanner compile_split_pattern(std::string_view pattern, const std::string& where) {
  const std::string plain = with_plain_newlines(pattern);
  if (plain == kTrailingSpacePattern) return {Scanner::Kind::trailing_space, {}};
  if (plain == kGpt2Pattern) return {Scanner::Kind::gpt2, {}};
  if (plain == kV3Pattern) return {Scanner::Kind::deepseek_v3, {}};
  if (auto run = RunPatternReader(pattern).read()) return {Scanner::Kind::run, *std::move(run)};
  throw_unsupported(
      "{}: the Split pattern {} is none that fathom knows. It knows those of the DeepSeek tokenizers, GPT-2's, and "
      "runs of one "
      "character class such as \\s?\\p{{L}}+ or \\p{{N}}{{1,3}}.",
      where, quoted_for_message(pattern, 200));
}

}  // namespace fathom
