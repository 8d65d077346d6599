// GGUF bytes made by hand, also wrong ones.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/gguf.h"

namespace fathom::test {

class GgufBytes {
 public:
  GgufBytes(uint64_t n_tensors, uint64_t n_keys, uint32_t version = 3) {
    raw("GGUF").u32(version).u64(n_tensors).u64(n_keys);
  }

  GgufBytes& raw(std::string_view bytes) {
    out_ += bytes;
    return *this;
  }
  GgufBytes& u8(uint8_t n) { return number(n); }
  GgufBytes& u32(uint32_t n) { return number(n); }
  GgufBytes& u64(uint64_t n) { return number(n); }
  GgufBytes& string(std::string_view text) { return u64(text.size()).raw(text); }
  GgufBytes& key(std::string_view key, GgufType type) { return string(key).u32(static_cast<uint32_t>(type)); }
  GgufBytes& tensor(std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    string(name).u32(static_cast<uint32_t>(dims.size()));
    for (uint64_t d : dims) u64(d);
    return u32(type).u64(offset);
  }
  // Zeros up to the data section, then n bytes of data.
  GgufBytes& data(size_t n) {
    out_.resize((out_.size() + 31) / 32 * 32 + n, '\0');
    return *this;
  }
  const std::string& bytes() const { return out_; }

 private:
  template <class T>
  GgufBytes& number(T n) {
    out_.append(reinterpret_cast<const char*>(&n), sizeof(n));
    return *this;
  }
  std::string out_;
};

// Parses a copy that ends where the text does, so that a sanitizer sees the first byte read beyond it.
inline GgufFile parse_copy(std::string_view text, const std::string& where = "x.gguf") {
  const std::vector<char> copy(text.begin(), text.end());
  GgufFile file = parse_gguf(std::as_bytes(std::span(copy)), where);
  for (TensorInfo& t : file.tensors) t.bytes = {};  // they pointed into the copy
  return file;
}

}  // namespace fathom::test
