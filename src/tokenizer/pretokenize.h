// Cutting text into words before BPE: stages, each of which cuts the pieces that the stage before left. Matches and
// what lies between them become pieces of their own (behaviour "Isolated"); nothing is dropped.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/split_pattern.h"

namespace fathom {

struct PreTokenizerStage {
  enum class Kind : uint8_t { split, digits };
  Kind kind = Kind::split;
  std::string pattern;            // split: the regular expression
  bool individual_digits = true;  // digits
  bool operator==(const PreTokenizerStage&) const = default;
};

struct PreTokenizerSpec {
  std::vector<PreTokenizerStage> stages;
  bool byte_level_regex = false;  // the closing ByteLevel stage applies GPT-2's pattern itself (use_regex)
  bool operator==(const PreTokenizerSpec&) const = default;
};

// The stages of a GGUF name or of one of the names that llama.cpp treats alike; unsupported for any other, with the
// known names.
PreTokenizerSpec pre_tokenizer_of_name(std::string_view pre, const std::string& where);
// The GGUF name of such stages; empty when there is none.
std::string name_of_pre_tokenizer(const PreTokenizerSpec& spec);

class PreTokenizer {
 public:
  PreTokenizer(const PreTokenizerSpec& spec, const std::string& where);

  // Reusable memory of split, one per thread.
  struct Scratch {
    CharText text;
    std::vector<uint32_t> ends, next;
  };
  // Byte offsets in `text` at which the pieces end, in order; the last is text.size(). Valid until the next call.
  const std::vector<uint32_t>& split(std::string_view text, Scratch& scratch) const;

 private:
  std::vector<Scanner> scanners_;
};

}  // namespace fathom
