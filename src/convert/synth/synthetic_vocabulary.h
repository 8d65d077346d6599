// A byte-level vocabulary of any size that means nothing, so that a model of random weights can be given text.
#pragma once
#include <optional>

#include "config/config.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

// 256 byte tokens, a few two-letter merges, then distinct filler words (" w300", ...); bos, eos and pad stand at the
// config's ids (the last two ids when it names none) as <s>, </s>, ... Pre-tokenizer deepseek-llm. Nothing when
// vocab_size has no room for the bytes (fewer than 320).
std::optional<VocabularyData> synthetic_vocabulary(const ModelConfig& config);

}  // namespace fathom
