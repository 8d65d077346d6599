#include "grammar/char_set.h"

#include <algorithm>
#include <string>

#include "base/text/utf8.h"

namespace fathom::grammar {
namespace {

constexpr uint32_t kFirstSurrogate = 0xD800, kLastSurrogate = 0xDFFF, kLastCharacter = 0x10FFFF;

// Cuts [first, last] where its UTF-8 forms are not one range at every place, and says where: the part in front of the
// cut ends with the result. Equal to `last` when there is no cut to make.
uint32_t end_of_first_part(uint32_t first, uint32_t last) {
  for (const uint32_t longest : {0x7Fu, 0x7FFu, 0xFFFFu})
    if (first <= longest && longest < last) return longest;
  if (last <= 0x7F) return last;
  for (int places = 1; places < 4; ++places) {
    const uint32_t low_bits = (1u << (6 * places)) - 1;
    if ((first & ~low_bits) == (last & ~low_bits)) continue;
    if ((first & low_bits) != 0) return first | low_bits;
    if ((last & low_bits) != low_bits) return (last & ~low_bits) - 1;
  }
  return last;
}

ByteSequence sequence_of(uint32_t first, uint32_t last) {
  std::string a, b;
  append_utf8(a, first);
  append_utf8(b, last);
  ByteSequence out{};
  out.length = static_cast<int>(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    out.first[i] = static_cast<uint8_t>(a[i]);
    out.last[i] = static_cast<uint8_t>(b[i]);
  }
  return out;
}

}  // namespace

CharSet::CharSet(std::vector<CodeRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  auto add = [this](uint32_t first, uint32_t last) {
    if (first > last) return;
    if (!ranges_.empty() && first <= ranges_.back().last + 1)
      ranges_.back().last = std::max(ranges_.back().last, last);
    else
      ranges_.push_back({first, last});
  };
  for (const CodeRange& r : ranges) {
    add(r.first, std::min(r.last, kFirstSurrogate - 1));
    add(std::max(r.first, kLastSurrogate + 1), std::min(r.last, kLastCharacter));
  }
}

CharSet CharSet::of_class(CharClass kind) {
  std::vector<CodeRange> out;
  for (const CharRange& r : char_ranges())
    if (r.kind == kind) out.push_back({r.first, r.last});
  return CharSet(std::move(out));
}

CharSet CharSet::inverted() const {
  std::vector<CodeRange> out;
  uint32_t next = 0;
  for (const CodeRange& r : ranges_) {
    if (r.first > next) out.push_back({next, r.first - 1});
    next = r.last + 1;
  }
  if (next <= kLastCharacter) out.push_back({next, kLastCharacter});
  return CharSet(std::move(out));
}

CharSet CharSet::operator|(const CharSet& other) const {
  std::vector<CodeRange> both = ranges_;
  both.insert(both.end(), other.ranges_.begin(), other.ranges_.end());
  return CharSet(std::move(both));
}

CharSet CharSet::operator&(const CharSet& other) const { return (inverted() | other.inverted()).inverted(); }

std::vector<ByteSequence> utf8_sequences(const CharSet& set) {
  std::vector<ByteSequence> out;
  for (const CodeRange& range : set.ranges()) {
    for (uint32_t first = range.first; first <= range.last;) {
      uint32_t last = range.last;
      for (uint32_t end = end_of_first_part(first, last); end != last; end = end_of_first_part(first, last)) last = end;
      out.push_back(sequence_of(first, last));
      first = last + 1;
    }
  }
  return out;
}

}  // namespace fathom::grammar
