#include "tokenizer/tokenizer_parts.h"

#include <algorithm>

#include "base/error.h"

namespace fathom {
namespace {

// Early converters wrote these as USER_DEFINED, since tokenizer.json does not call them special; llama.cpp takes them
// for CONTROL all the same (src/llama-vocab.cpp, "control-looking token"), and so a text that spells them is not parsed
// unless asked.
constexpr std::string_view kControlByName[] = {"<\uff5cfim\u2581begin\uff5c>", "<\uff5cfim\u2581hole\uff5c>",
                                               "<\uff5cfim\u2581end\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>",
                                               "<|endoftext|>"};

}  // namespace

bool is_special_in_gguf(TokenType type, std::string_view text) noexcept {
  return type != TokenType::user_defined || std::ranges::count(kControlByName, text) > 0;
}

SpellingIndex::SpellingIndex(const std::vector<std::string>& spellings, const std::string& where) {
  sorted_.reserve(spellings.size());
  for (size_t id = 0; id < spellings.size(); ++id) sorted_.emplace_back(spellings[id], static_cast<int32_t>(id));
  std::sort(sorted_.begin(), sorted_.end());
  const auto twice = std::adjacent_find(sorted_.begin(), sorted_.end(),
                                        [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != sorted_.end())
    throw_bad_input("{}: tokens {} and {} are both spelled {}; every token needs a spelling of its own.", where,
                    twice->second, std::next(twice)->second, quoted_for_message(twice->first));
}

std::optional<int32_t> SpellingIndex::find(std::string_view spelling) const {
  const auto it = std::lower_bound(sorted_.begin(), sorted_.end(), spelling,
                                   [](const auto& a, std::string_view b) { return a.first < b; });
  if (it == sorted_.end() || it->first != spelling) return std::nullopt;
  return it->second;
}

BpeMerge resolve_merge(const SpellingIndex& index, std::string_view left, std::string_view right, size_t rank,
                       const std::string& where) {
  const auto id_of = [&](std::string_view spelling) {
    if (const auto id = index.find(spelling)) return *id;
    throw_bad_input("{}: merge {} joins {} and {}, but the vocabulary has no token {}.", where, rank,
                    quoted_for_message(left), quoted_for_message(right), quoted_for_message(spelling));
  };
  return {id_of(left), id_of(right), id_of(std::string(left) + std::string(right))};
}

std::pair<std::string_view, std::string_view> split_merge(std::string_view merge, size_t rank,
                                                          const std::string& where) {
  const size_t space = merge.find(' ');
  if (space == merge.npos || space == 0 || space + 1 == merge.size() || merge.find(' ', space + 1) != merge.npos)
    throw_bad_input("{}: merge {} is {}; needed are two tokens with one space between them.", where, rank,
                    quoted_for_message(merge));
  return {merge.substr(0, space), merge.substr(space + 1)};
}

void check_merges(const TokenizerParts& parts) {
  std::vector<std::pair<int32_t, int32_t>> pairs;
  pairs.reserve(parts.merges.size());
  for (const BpeMerge& merge : parts.merges) pairs.emplace_back(merge.left, merge.right);
  std::sort(pairs.begin(), pairs.end());
  if (const auto twice = std::adjacent_find(pairs.begin(), pairs.end()); twice != pairs.end())
    throw_bad_input("{}: two merges join {} and {}; only one rank can count.", parts.where,
                    quoted_for_message(parts.spellings[static_cast<size_t>(twice->first)]),
                    quoted_for_message(parts.spellings[static_cast<size_t>(twice->second)]));
}

}  // namespace fathom
