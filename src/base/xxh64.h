// XXH64, the 64-bit xxHash: a checksum at memory speed. Source: github.com/Cyan4973/xxHash,
// doc/xxhash_spec.md, "XXH64 algorithm description". It detects damage and tells texts apart; it is no protection
// against someone who wants two texts to collide.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace fathom {

// The hash of bytes that come in pieces: the same however they are cut.
class Xxh64 {
 public:
  explicit Xxh64(uint64_t seed = 0) noexcept;
  void update(std::span<const std::byte> bytes) noexcept;
  uint64_t digest() const noexcept;

 private:
  std::array<uint64_t, 4> lanes_;
  std::array<std::byte, 32> rest_{};  // the first total_ % 32 bytes are waiting
  uint64_t total_ = 0, seed_;
};

uint64_t xxh64(std::span<const std::byte> bytes, uint64_t seed = 0) noexcept;
inline uint64_t xxh64(std::string_view text, uint64_t seed = 0) noexcept {
  return xxh64(std::as_bytes(std::span(text.data(), text.size())), seed);
}

// As 16 hexadecimal digits, and back (false when it is not that).
std::string hash_text(uint64_t hash);
bool parse_hash(std::string_view text, uint64_t& hash) noexcept;

}  // namespace fathom
