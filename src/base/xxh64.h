// XXH64, the 64-bit xxHash (libxxhash): a checksum at memory speed. It detects damage and tells texts apart; it is no
// protection against someone who wants two texts to collide.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct XXH64_state_s;  // of xxhash.h

namespace fathom {

// The hash of bytes that come in pieces: the same however they are cut.
class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0);
  void update(std::span<const std::byte> bytes) noexcept;
  uint64_t digest() const noexcept;

 private:
  struct Free {
    void operator()(XXH64_state_s* state) const noexcept;
  };
  std::unique_ptr<XXH64_state_s, Free> state_;
};

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;
inline uint64_t xxh64(std::string_view text, uint64_t seed = 0) noexcept {
  return xxh64(std::as_bytes(std::span(text.data(), text.size())), seed);
}

// As 16 hexadecimal digits, and back (false when it is not that).
std::string hash_text(uint64_t hash);
bool parse_hash(std::string_view text, uint64_t& hash) noexcept;

}  // namespace fathom
