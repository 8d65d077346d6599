#include "convert/synth/random_rows.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>

#include "base/random.h"

namespace fathom {
namespace {

constexpr int64_t kPerBlock = 8;
constexpr int kLevels = 1 << 16;

// The q-quantile of the standard normal, q in (0, 1/2], by Newton on Phi(z) = erfc(-z / sqrt 2) / 2 from a rough start
// on the left.
double normal_quantile(double q) {
  constexpr double kSqrt2Pi = 2.506628274631000502;
  double z = -std::sqrt(std::max(0.0, -2 * std::log(2 * q)));
  for (int i = 0; i < 60; ++i) {
    const double step = (std::erfc(-z / std::sqrt(2.0)) / 2 - q) * kSqrt2Pi * std::exp(z * z / 2);
    z -= step;
    if (std::abs(step) < 1e-14) break;
  }
  return z;
}

const std::array<float, kLevels>& normal_table() {
  static const auto table = [] {
    auto t = std::make_unique<std::array<float, kLevels>>();
    for (int k = 0; k < kLevels / 2; ++k) {
      const auto z = static_cast<float>(normal_quantile((k + 0.5) / kLevels));
      (*t)[static_cast<size_t>(k)] = z;
      (*t)[static_cast<size_t>(kLevels - 1 - k)] = -z;
    }
    return t;
  }();
  return *table;
}

// FNV-1a: a stream for every name.
uint64_t stream_of(std::string_view name) {
  uint64_t h = 0xcbf29ce484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

struct Normals {
  uint64_t seed, stream;
  float mean, deviation;
  const std::array<float, kLevels>* table;

  // Elements [first, first + n) of the stream.
  void fill(int64_t first, int64_t n, float* out) const {
    for (int64_t i = first; i < first + n;) {
      const auto words = philox(seed, stream, static_cast<uint64_t>(i / kPerBlock));
      const int64_t end = std::min(first + n, (i / kPerBlock + 1) * kPerBlock);
      for (; i < end; ++i) {
        const auto lane = static_cast<uint32_t>(i % kPerBlock);
        const uint32_t level = words[lane / 2] >> (lane % 2 * 16) & 0xFFFFu;
        *out++ = mean + deviation * (*table)[level];
      }
    }
  }
};

}  // namespace

Rows random_rows(uint64_t seed, std::string_view name, int64_t rows, int64_t cols, float mean, float deviation) {
  const Normals normals{seed, stream_of(name), mean, deviation, &normal_table()};
  Rows r{.rows = rows, .cols = cols};
  r.decode = [normals, cols](int64_t first, int64_t n, float* out) { normals.fill(first * cols, n * cols, out); };
  return r;
}

}  // namespace fathom
