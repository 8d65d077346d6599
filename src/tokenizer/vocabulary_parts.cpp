// GGUF vocabulary -> TokenizerParts.
#include <algorithm>

#include "base/error.h"
#include "base/text/utf8.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

void check_sizes(const VocabularyData& v, const std::string& where) {
  if (v.tokens.empty()) throw_bad_input("{}: the vocabulary has no tokens (tokenizer.ggml.tokens).", where);
  if (v.tokens.size() > kMaxTokens || v.merges.size() > kMaxTokens)
    throw_bad_input("{}: the vocabulary has {} tokens and {} merges; fathom reads up to {} of each.", where,
                    v.tokens.size(), v.merges.size(), kMaxTokens);
  if (!v.token_types.empty() && v.token_types.size() != v.tokens.size())
    throw_bad_input("{}: tokenizer.ggml.token_type has {} entries for {} tokens.", where, v.token_types.size(),
                    v.tokens.size());
}

void check_token(const std::string& text, size_t id, const std::string& where) {
  if (text.empty()) throw_bad_input("{}: token {} is empty (tokenizer.ggml.tokens).", where, id);
  if (find_invalid_utf8(text) != std::string::npos)
    throw_bad_input("{}: token {} is {}, which is not valid UTF-8.", where, id, quoted_for_message(text));
}

// CONTROL and UNKNOWN are special, USER_DEFINED is added; NORMAL and UNUSED are neither. BYTE belongs to another kind
// of tokenizer.
void read_types(const VocabularyData& v, TokenizerParts& parts) {
  parts.token_types = v.token_types;
  if (parts.token_types.empty()) parts.token_types.assign(v.tokens.size(), static_cast<int32_t>(TokenType::normal));
  for (size_t id = 0; id < v.tokens.size(); ++id) {
    const auto type = static_cast<TokenType>(parts.token_types[id]);
    if (type == TokenType::normal || type == TokenType::unused) {
      if (type == TokenType::normal) parts.n_model = static_cast<int32_t>(id) + 1;
      continue;
    }
    if (type == TokenType::byte)
      throw_unsupported(
          "{}: token {} ({}) is a BYTE token; fathom reads byte-level BPE, which spells bytes as NORMAL tokens.",
          parts.where, id, quoted_for_message(v.tokens[id]));
    if (type != TokenType::control && type != TokenType::unknown && type != TokenType::user_defined)
      throw_bad_input("{}: token {} has type {}; known are 1 to 6 (tokenizer.ggml.token_type).", parts.where, id,
                      parts.token_types[id]);
    if (v.tokens[id].size() > kMaxAddedTokenBytes)
      throw_bad_input("{}: token {} is an added token of {} bytes; fathom reads up to {}.", parts.where, id,
                      v.tokens[id].size(), kMaxAddedTokenBytes);
    parts.added.push_back(
        {.id = static_cast<int32_t>(id), .content = v.tokens[id], .special = is_special_in_gguf(type, v.tokens[id])});
  }
}

std::optional<int32_t> checked_id(std::optional<int32_t> id, const char* key, const TokenizerParts& parts) {
  if (id && (*id < 0 || static_cast<size_t>(*id) >= parts.spellings.size()))
    throw_bad_input("{}: {} is {}, but the vocabulary has ids 0 to {}.", parts.where, key, *id,
                    parts.spellings.size() - 1);
  return id;
}

// Takes off the UNUSED tokens at the end ("[PAD320]"), which only fill rows of the embedding: tokenizer.json does not
// know them either, and none is ever written.
void drop_padding(VocabularyData& v) {
  if (v.token_types.empty()) return;
  const auto last = std::find_if(v.token_types.rbegin(), v.token_types.rend(),
                                 [](int32_t t) { return t != static_cast<int32_t>(TokenType::unused); });
  auto n = static_cast<size_t>(v.token_types.rend() - last);
  for (const auto& id : {v.bos, v.eos, v.pad, v.unk})  // someone means it
    if (id && *id >= 0 && static_cast<size_t>(*id) < v.tokens.size()) n = std::max(n, static_cast<size_t>(*id) + 1);
  if (n == 0) return;  // no token at all is refused elsewhere
  v.tokens.resize(n);
  v.token_types.resize(n);
}

}  // namespace

TokenizerParts parts_from_vocabulary(VocabularyData v, const std::string& where) {
  check_sizes(v, where);
  drop_padding(v);
  TokenizerParts parts;
  parts.where = where;
  parts.pre = pre_tokenizer_of_name(v.pre, where);
  for (size_t id = 0; id < v.tokens.size(); ++id) check_token(v.tokens[id], id, where);
  read_types(v, parts);
  if (!v.added_tokens.empty()) read_added_token_flags(v.added_tokens, where + ": fathom.added_tokens", parts);
  parts.spellings = std::move(v.tokens);

  const SpellingIndex index(parts.spellings, where);
  parts.merges.reserve(v.merges.size());
  for (size_t rank = 0; rank < v.merges.size(); ++rank) {
    const auto [left, right] = split_merge(v.merges[rank], rank, where);
    parts.merges.push_back(resolve_merge(index, left, right, rank, where));
  }
  check_merges(parts);

  parts.bos = checked_id(v.bos, "tokenizer.ggml.bos_token_id", parts);
  parts.eos = checked_id(v.eos, "tokenizer.ggml.eos_token_id", parts);
  parts.pad = checked_id(v.pad, "tokenizer.ggml.padding_token_id", parts);
  parts.unk = checked_id(v.unk, "tokenizer.ggml.unknown_token_id", parts);
  if (v.add_bos && !parts.bos) throw_bad_input("{}: add_bos_token is true but bos_token_id is missing.", where);
  if (v.add_eos && !parts.eos) throw_bad_input("{}: add_eos_token is true but eos_token_id is missing.", where);
  if (v.add_bos) parts.prefix = {*parts.bos};
  if (v.add_eos) parts.suffix = {*parts.eos};
  return parts;
}

}  // namespace fathom
