#include "convert/synth/synthetic_vocabulary.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "tokenizer/byte_alphabet.h"

namespace fathom {
namespace {

constexpr int64_t kSmallest = 320;
// The most frequent pairs of letters in English text, the space included; each becomes a merge and a token.
constexpr std::array kPairs = {"e ", " t", "th", "he", "s ", " a", "d ", "in",
                               "t ", "er", "an", " o", "re", "on", "n ", "at"};

std::map<int64_t, const char*> special_tokens(const ModelConfig& c) {
  std::map<int64_t, const char*> special;
  const auto add = [&](int64_t id, const char* text) {
    if (id >= 0 && id < c.vocab_size) special.emplace(id, text);
  };
  add(c.bos_token_id.value_or(c.vocab_size - 2), "<s>");
  add(c.eos_token_ids.empty() ? c.vocab_size - 1 : c.eos_token_ids[0], "</s>");
  if (c.pad_token_id) add(*c.pad_token_id, "<pad>");
  return special;
}

std::optional<int32_t> id_of(const std::map<int64_t, const char*>& special, std::string_view text) {
  for (const auto& [id, t] : special)
    if (t == text) return static_cast<int32_t>(id);
  return std::nullopt;
}

}  // namespace

std::optional<VocabularyData> synthetic_vocabulary(const ModelConfig& c) {
  if (c.vocab_size < kSmallest) return std::nullopt;
  const auto special = special_tokens(c);
  VocabularyData v;
  v.pre = "deepseek-llm";
  int normal = 0;
  for (int64_t id = 0; id < c.vocab_size; ++id) {
    const auto it = special.find(id);
    v.token_types.push_back(static_cast<int32_t>(it != special.end() ? TokenType::control : TokenType::normal));
    if (it != special.end()) {
      v.tokens.emplace_back(it->second);
      continue;
    }
    const int n = normal++;
    if (n < 256)
      v.tokens.push_back(spelling_of_bytes(std::string(1, static_cast<char>(n))));
    else if (n < 256 + static_cast<int>(kPairs.size()))
      v.tokens.push_back(spelling_of_bytes(kPairs[static_cast<size_t>(n - 256)]));
    else
      v.tokens.push_back(spelling_of_bytes(fmt::format(" w{}", id)));
  }
  for (const std::string_view pair : kPairs)
    v.merges.push_back(spelling_of_bytes(pair.substr(0, 1)) + " " + spelling_of_bytes(pair.substr(1)));
  v.bos = id_of(special, "<s>");
  v.eos = id_of(special, "</s>");
  v.pad = id_of(special, "<pad>");
  v.add_bos = v.bos.has_value();
  return v;
}

}  // namespace fathom
