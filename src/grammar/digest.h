// 128 bits that tell positions of a grammar apart (XXH3). Equal content has equal digests in every thread and matcher.
// Two contents with one digest are not expected: 2^64 positions would be needed by chance. Who builds some on purpose
// meets a wrong mask in a grammar of his own.
#pragma once
#include <xxhash.h>

#include <cstdint>
#include <span>

namespace fathom::grammar {

struct Digest {
  uint64_t low = 0, high = 0;
  bool operator==(const Digest&) const = default;
  bool operator<(const Digest& o) const noexcept { return low != o.low ? low < o.low : high < o.high; }
};

inline Digest digest_of(std::span<const uint64_t> words, uint64_t seed) noexcept {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(words.data(), words.size_bytes(), seed);
  return {hash.low64, hash.high64};
}

struct DigestHash {
  size_t operator()(const Digest& d) const noexcept { return static_cast<size_t>(d.low); }
};

}  // namespace fathom::grammar
