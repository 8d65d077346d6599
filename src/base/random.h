// Counter-based random numbers: (seed, stream, index) -> number. No state, so any thread or rank can ask for any number
// in any order and all agree. The generator is Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011).
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace fathom {

// The four 32-bit words of block `index` of (seed, stream).
inline std::array<uint32_t, 4> philox(uint64_t seed, uint64_t stream, uint64_t index) noexcept {
  std::array<uint32_t, 4> c = {static_cast<uint32_t>(index), static_cast<uint32_t>(index >> 32),
                               static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)};
  uint32_t k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// Uniform in [0, 1), 53 bits.
inline double uniform01(uint64_t seed, uint64_t stream, uint64_t index) noexcept {
  const auto w = philox(seed, stream, index);
  return static_cast<double>((uint64_t{w[0]} << 32 | w[1]) >> 11) * 0x1p-53;
}

// Standard normal, by Box and Muller from one block.
inline double standard_normal(uint64_t seed, uint64_t stream, uint64_t index) noexcept {
  const auto w = philox(seed, stream, index);
  const double u1 = (static_cast<double>((uint64_t{w[0]} << 32 | w[1]) >> 11) + 1.0) * 0x1p-53;  // (0, 1]
  const double u2 = static_cast<double>((uint64_t{w[2]} << 32 | w[3]) >> 11) * 0x1p-53;
  return std::sqrt(-2.0 * std::log(u1)) * std::cos(6.283185307179586476925 * u2);
}

// x (n) = deviation * standard normals; from kNormalsPeriod on they come again, for speed.
inline constexpr int64_t kNormalsPeriod = 65521;  // a prime: rows differ
inline void fill_normals(float* x, int64_t n, uint64_t seed, uint64_t stream, double deviation) noexcept {
  for (int64_t i = 0; i < n; ++i)
    x[i] = i < kNormalsPeriod ? static_cast<float>(deviation * standard_normal(seed, stream, static_cast<uint64_t>(i)))
                              : x[i - kNormalsPeriod];
}

}  // namespace fathom
