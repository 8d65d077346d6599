// The vocabulary of a GGUF file as plain data: what `tokenizer.ggml.*` holds. This layer knows no GGUF; checkpoint/ and
// convert/ copy the fields from and to the file's metadata.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fathom {

// Values of tokenizer.ggml.token_type. NORMAL tokens spell bytes in GPT-2's byte alphabet; the text of the others is
// plain UTF-8.
enum class TokenType : int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct VocabularyData {
  std::vector<std::string> tokens;   // tokenizer.ggml.tokens, index = id
  std::vector<int32_t> token_types;  // tokenizer.ggml.token_type, as TokenType; empty means all NORMAL
  std::vector<std::string> merges;   // tokenizer.ggml.merges, "left right", best first
  std::string pre;  // tokenizer.ggml.pre: deepseek-llm, deepseek-coder, deepseek-v3, gpt-2, or an alias
  std::optional<int32_t> bos, eos, pad, unk;
  bool add_bos =
      false;  // tokenizer.ggml.add_bos_token: llama.cpp takes false for this kind of vocabulary when the key is absent
  bool add_eos = false;
  // fathom.added_tokens: a list as in tokenizer.json of the added tokens whose flags do not follow from their type.
  // Empty: there are none.
  std::string added_tokens;
};

}  // namespace fathom
