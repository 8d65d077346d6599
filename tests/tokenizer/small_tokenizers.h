// The small tokenizers of tests/golden/tokenizer (tools/tokenizer/make_golden.py): v2, coder, v3, gpt2, unk.
#pragma once
#include <string>

#include "base/file/file.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

inline std::string golden_file(const std::string& name) {
  return read_file(std::string(FATHOM_GOLDEN_DIR) + "/tokenizer/" + name);
}

inline Tokenizer golden_tokenizer(const std::string& name) {
  return Tokenizer::from_json(golden_file(name + ".tokenizer.json"), golden_file(name + ".config.json"), name);
}

}  // namespace fathom
