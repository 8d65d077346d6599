// What a tokenizer file says, whichever form it had: the loaders make it, Tokenizer uses it, the writers read it.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json_fields.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

// More tokens or merges than this are refused before anything is built from them (the largest public vocabularies have
// 256 thousand).
constexpr size_t kMaxTokens = size_t{1} << 21;
constexpr size_t kMaxJsonBytes = size_t{128}
                                 << 20;  // and a tokenizer.json longer than this (the largest public ones have 34 MB)

struct TokenizerParts {
  std::string where;                   // the file, for messages
  std::vector<std::string> spellings;  // by id, all different; valid UTF-8
  int32_t n_model = 0;  // ids below it belong to the BPE vocabulary of tokenizer.json, the others are only added tokens
  std::vector<int32_t> token_types;  // as in a GGUF vocabulary; empty when read from tokenizer.json
  std::vector<AddedToken> added;     // by id
  std::vector<BpeMerge> merges;      // by rank
  PreTokenizerSpec pre;
  bool ignore_merges = false;           // a word that is a token as a whole is that token, whatever the merges say
  bool fuse_unk = false;                // consecutive bytes without a token become one unk
  std::optional<int32_t> model_unk;     // stands for bytes without a token
  std::vector<int32_t> prefix, suffix;  // what encode adds: bos, eos
  std::optional<int32_t> bos, eos, pad, unk;
  std::vector<std::string> notes;  // what the file says that encoding passes over: sentences
};

// Finds ids by spelling while a file is read, and refuses a spelling that two ids share.
class SpellingIndex {
 public:
  // Keeps views of `spellings`, which must stay.
  SpellingIndex(const std::vector<std::string>& spellings, const std::string& where);
  std::optional<int32_t> find(std::string_view spelling) const;

 private:
  std::vector<std::pair<std::string_view, int32_t>> sorted_;
};

// The merge of two spellings; bad_input with its rank when one of them or their sum is no token.
BpeMerge resolve_merge(const SpellingIndex& index, std::string_view left, std::string_view right, size_t rank,
                       const std::string& where);
// "left right" -> the two; bad_input when it is not two parts with one space between.
std::pair<std::string_view, std::string_view> split_merge(std::string_view merge, size_t rank,
                                                          const std::string& where);

// Refuses merges of which two join the same pair: readers disagree about which rank counts.
void check_merges(const TokenizerParts& parts);

// An id: a whole number from 0 to kMaxTokens.
int32_t id_of_json(const json::value& value, const std::string& where);

// The parts of tokenizer.json that have files of their own.
void read_pre_tokenizer(JsonFields stage, TokenizerParts& parts);
void read_post_processor(JsonFields processor, TokenizerParts& parts);
json::value write_pre_tokenizer(const TokenizerParts& parts);

TokenizerParts parts_from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json,
                               const std::string& where);
// What llama.cpp makes of an added token of a GGUF vocabulary: USER_DEFINED ones are not special, but for some names.
bool is_special_in_gguf(TokenType type, std::string_view text) noexcept;
// Flags of added tokens as fathom.added_tokens of a GGUF file has them (VocabularyData::added_tokens). A token that the
// vocabulary no longer has by that id and text is passed over.
void read_added_token_flags(std::string_view json, const std::string& where, TokenizerParts& parts);
TokenizerParts parts_from_vocabulary(VocabularyData vocabulary, const std::string& where);

}  // namespace fathom
