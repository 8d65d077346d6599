// The few largest of many scores, without sorting all of them.
#pragma once
#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

inline constexpr size_t kScanBlock = 32;  // scores that one vectorised comparison passes over

// A score and its id as one number: less means a larger score, or the same with a lower id. -0 equals 0.
inline uint64_t score_key(float score, int32_t id) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(score + 0.0f);
  const uint32_t ascending = bits ^ (bits >> 31 != 0 ? 0xFFFFFFFFu : 0x80000000u);
  return uint64_t{~ascending} << 32 | static_cast<uint32_t>(id);
}
inline int32_t id_of_key(uint64_t key) noexcept { return static_cast<int32_t>(static_cast<uint32_t>(key)); }

// Keys of the k largest scores (all, where there are fewer), in no particular order. No score is NaN. Linear time; one
// pass that reads, where k is small.
std::vector<uint64_t> top_keys(std::span<const float> scores, int64_t k);

}  // namespace fathom
