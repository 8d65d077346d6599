// Just enough of GGUF to read a vocabulary in a test of this layer, which is below the checkpoint layer. Not for files
// from outside.
#pragma once
#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/file/file.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

class GgufVocabularyReader {
 public:
  static VocabularyData read(const std::filesystem::path& path) {
    GgufVocabularyReader r(read_file(path));
    r.read_header();
    return r.out_;
  }

 private:
  explicit GgufVocabularyReader(std::string bytes) : bytes_(std::move(bytes)) {}

  template <class T>
  T take() {
    T value;
    std::memcpy(&value, bytes_.substr(at_, sizeof(T)).data(), sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string take_string() {
    const auto n = take<uint64_t>();
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }

  void read_header() {
    at_ = 16;  // magic, version, tensor count
    for (auto n = take<uint64_t>(); n > 0; --n) {
      const std::string key = take_string();
      read_value(key, take<uint32_t>());
    }
  }

  void read_value(const std::string& key, uint32_t type) {
    constexpr uint64_t size[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
      const std::string text = take_string();
      if (key == "tokenizer.ggml.pre") out_.pre = text;
      if (key == "tokenizer.ggml.tokens") out_.tokens.push_back(text);
      if (key == "tokenizer.ggml.merges") out_.merges.push_back(text);
    } else if (type == 9) {
      const auto inner = take<uint32_t>();
      for (auto n = take<uint64_t>(); n > 0; --n) read_value(key, inner);
    } else {
      int32_t value = 0;
      std::memcpy(&value, bytes_.data() + at_, std::min<uint64_t>(size[type], 4));
      at_ += size[type];
      if (key == "tokenizer.ggml.token_type") out_.token_types.push_back(value);
      if (key == "tokenizer.ggml.bos_token_id") out_.bos = value;
      if (key == "tokenizer.ggml.eos_token_id") out_.eos = value;
      if (key == "tokenizer.ggml.padding_token_id") out_.pad = value;
      if (key == "tokenizer.ggml.add_bos_token") out_.add_bos = value != 0;
      if (key == "tokenizer.ggml.add_eos_token") out_.add_eos = value != 0;
    }
  }

  std::string bytes_;
  uint64_t at_ = 0;
  VocabularyData out_;
};

}  // namespace fathom
