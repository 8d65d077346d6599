#include "tokenizer/added_tokens.h"

#include <algorithm>

#include "base/text/unicode_tables.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

bool is_space_at(std::string_view text, size_t at, size_t& length) {
  const Utf8Char c = decode_utf8(text, at);
  length = c.length;
  CharClassifier classify;
  return c.valid && classify(c.code_point) == CharClass::space;
}

// Start of the white space that ends at `end`, not before `from`.
size_t start_of_space(std::string_view text, size_t from, size_t end) {
  size_t at = end;
  while (at > from) {
    size_t start = at - 1;
    while (start > from && (static_cast<uint8_t>(text[start]) & 0xC0) == 0x80) --start;
    size_t length = 0;
    if (!is_space_at(text, start, length) || start + length != at) break;
    at = start;
  }
  return at;
}

size_t end_of_space(std::string_view text, size_t at) {
  size_t length = 0;
  while (at < text.size() && is_space_at(text, at, length)) at += length;
  return at;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)), nodes_(1) {
  for (size_t t = 0; t < tokens_.size(); ++t) {
    int32_t node = 0;
    for (const char c : tokens_[t].content) {
      const auto byte = static_cast<uint8_t>(c);
      int32_t found = child(node, byte);
      if (found < 0) {
        found = static_cast<int32_t>(nodes_.size());
        auto& next = nodes_[static_cast<size_t>(node)].next;
        next.insert(std::upper_bound(next.begin(), next.end(), std::pair(byte, int32_t{0})), {byte, found});
        nodes_.emplace_back();
      }
      node = found;
    }
    nodes_[static_cast<size_t>(node)].token = static_cast<int32_t>(t);
  }
}

int32_t AddedTokenFinder::child(int32_t node, uint8_t byte) const noexcept {
  const auto& next = nodes_[static_cast<size_t>(node)].next;
  const auto it =
      std::lower_bound(next.begin(), next.end(), byte, [](const auto& a, uint8_t b) { return a.first < b; });
  return it != next.end() && it->first == byte ? it->second : -1;
}

int32_t AddedTokenFinder::longest_at(std::string_view text, size_t at) const noexcept {
  int32_t node = 0, best = -1;
  for (size_t i = at; i < text.size(); ++i) {
    node = child(node, static_cast<uint8_t>(text[i]));
    if (node < 0) break;
    if (nodes_[static_cast<size_t>(node)].token >= 0) best = nodes_[static_cast<size_t>(node)].token;
  }
  return best;
}

void AddedTokenFinder::split(std::string_view text, bool parse_special,
                             const std::function<void(std::string_view, int32_t)>& piece) const {
  size_t open = 0;        // end of the last token, with the space it took
  size_t space_end = 0;   // where the white space that an rstrip token looked at last ends
  size_t space_from = 0;  // from where it was seen
  for (size_t at = 0; at < text.size() && !tokens_.empty();) {
    const int32_t found = longest_at(text, at);
    if (found < 0) {
      ++at;
      continue;
    }
    const AddedToken& token = tokens_[static_cast<size_t>(found)];
    size_t start = at, stop = at + token.content.size();
    at = stop;  // the next one is looked for right behind, even when this one takes more space
    if (token.special && !parse_special) continue;
    if (token.lstrip && open < start) start = start_of_space(text, open, start);
    if (token.rstrip) {
      if (stop < space_from || stop > space_end) {
        space_from = stop;
        space_end = end_of_space(text, stop);
      }
      stop = space_end;
    }
    if (open < start) piece(text.substr(open, start - open), -1);
    piece(text.substr(start, stop - start), token.id);
    open = stop;
  }
  if (open < text.size()) piece(text.substr(open), -1);
}

}  // namespace fathom
