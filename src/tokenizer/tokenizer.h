// Byte-level BPE: text -> token ids -> text, equal to Hugging Face `tokenizers` for the DeepSeek family.
//
// Encoding, in this order (Hugging Face's names; source: huggingface/tokenizers 0.23, read as the definition):
//   added tokens   pieces of the text that spell an added token become its id: first those with normalized = false,
//   then the others pre-tokenizer  the text between them is cut into words, stage by stage (pretokenize.h) BPE the
//   bytes of each word are joined pair by pair, best merge rank first (bpe.h) post-processor bos in front, eos behind,
//   as the file says
//
// A Tokenizer is immutable: any number of threads may use one. Every function takes linear time (BPE of one word of n
// bytes O(n log n)) and constant stack on any input.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/vocabulary.h"

namespace fathom {

struct TokenizerParts;

struct EncodeOptions {
  bool add_special = true;     // bos / eos, as the file says
  bool parse_special = false;  // special tokens written in the text become their ids
};

struct DecodeOptions {
  bool skip_special = false;  // leave special tokens out
  bool replace_invalid =
      false;  // each ill-formed UTF-8 sequence of the result becomes U+FFFD, as Hugging Face's decode does
};

class Tokenizer {
 public:
  // From the text of tokenizer.json and tokenizer_config.json (may be empty: then bos and eos are the tokens that the
  // post-processor of tokenizer.json puts around a text, if any). `where` names the folder in messages.
  //
  // add_bos_token / add_eos_token of the config decide what is added when they are there; else the TemplateProcessing
  // of tokenizer.json. Everything in the file is used or refused by name: bad_input for a file that is not what it
  // says, unsupported for a part that no tokenizer of the DeepSeek family has.
  static Tokenizer from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json,
                             const std::string& where);

  // From a GGUF vocabulary. CONTROL and UNKNOWN tokens are special, USER_DEFINED ones are added tokens that are always
  // parsed; but for those that llama.cpp takes for CONTROL whatever the file says, as DeepSeek's FIM tokens.
  static Tokenizer from_vocabulary(VocabularyData vocabulary, const std::string& where);

  ~Tokenizer();
  Tokenizer(Tokenizer&&) noexcept;
  Tokenizer& operator=(Tokenizer&&) noexcept;

  // parse_special = true is Hugging Face's default; false is its encode_special_tokens = True: text that spells a
  // special token is text. Added tokens that are not special are found either way, as there.
  //
  // Text that is not valid UTF-8: each maximal ill-formed sequence is read as U+FFFD, so encode(t) ==
  // encode(replace_invalid_utf8(t)); this is what Python's errors="replace" hands to Hugging Face. bad_input when the
  // text has a byte for which the vocabulary has neither a token nor an unk_token (Hugging Face would drop it silently;
  // DeepSeek's vocabularies have every byte that UTF-8 uses).
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options = {}) const;

  // The tokens' bytes, joined. Without replace_invalid they are given as they are, which need not be valid UTF-8 (a
  // character may be spread over tokens). bad_input for an id outside 0 .. n_tokens() - 1.
  //
  // Added tokens stand for their own text, as in llama.cpp. (Hugging Face runs them through the byte alphabet too, so
  // that it shows the 13 single Latin letters of deepseek-llm as U+FFFD; for every other token of the family the two
  // agree.)
  std::string decode(std::span<const int32_t> ids, const DecodeOptions& options = {}) const;

  // bad_input when out of range, here and below.
  std::string_view token_bytes(int32_t id) const;
  // For people: the bytes with control characters and what is no UTF-8 as \xNN.
  std::string token_text(int32_t id) const;
  // As the file spells it: byte alphabet for normal tokens.
  const std::string& token_spelling(int32_t id) const;

  int32_t n_tokens() const noexcept;
  std::optional<int32_t> bos() const noexcept;
  std::optional<int32_t> eos() const noexcept;
  std::optional<int32_t> pad() const noexcept;
  std::optional<int32_t> unk() const noexcept;
  bool adds_bos() const noexcept;  // encode with add_special begins with bos()
  bool adds_eos() const noexcept;
  // Special in the sense of DecodeOptions::skip_special and EncodeOptions::parse_special.
  bool is_special(int32_t id) const;
  // The token with this spelling (token_spelling); nothing when there is none.
  std::optional<int32_t> id_of(std::string_view spelling) const;

  // What the files said; for to_vocabulary and to_tokenizer_json (tokenizer_parts.h).
  const TokenizerParts& parts() const noexcept;

 private:
  struct Impl;
  explicit Tokenizer(std::unique_ptr<const Impl> impl);
  std::unique_ptr<const Impl> impl_;
};

// One answer, token by token: gives out whole characters only.
//
// The outputs of push, joined, and flush() equal decode(all ids) with replace_invalid: an ill-formed sequence becomes
// U+FFFD as soon as it cannot become a character any more. At most 3 bytes are held back. Keep the tokenizer alive.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = false)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}

  std::string push(int32_t id);
  // What is held back, as U+FFFD; then the decoder is as new.
  std::string flush();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  std::string held_;  // the unfinished start of a character
};

// ---- Writing, for `convert` (tokenizer_write.cpp) ----

// The vocabulary as llama.cpp's converter writes it: added tokens that are special or look so ("<|...|>") as CONTROL,
// other added tokens as USER_DEFINED, the rest NORMAL, filled up to n_rows (0: none) with UNUSED "[PADn]". `pre` is
// recognised from the pre-tokenizer; unsupported when no GGUF name says what it does, or when the file asks for what
// GGUF cannot say (lstrip, rstrip, ignore_merges).
VocabularyData to_vocabulary(const Tokenizer& tokenizer, int32_t n_rows = 0);

// tokenizer.json and tokenizer_config.json which Hugging Face `tokenizers` and transformers load with identical ids.
std::string to_tokenizer_json(const Tokenizer& tokenizer);
// chat_template: the template's text, left out when empty.
std::string to_tokenizer_config_json(const Tokenizer& tokenizer, std::string_view chat_template = {});

}  // namespace fathom
