// The int16 kernels in plain loops, for any machine: the definition.
#include <cmath>
#include <limits>

#include "kernels/isa/int16_kernels.h"
#include "kernels/ref/exp.h"
#include "kvcache/cache_row.h"
#include "tensor/dtype.h"

namespace fathom::ref {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

int16_t low(uint32_t word) noexcept { return static_cast<int16_t>(word & 0xFFFFu); }
int16_t high(uint32_t word) noexcept { return static_cast<int16_t>(word >> 16); }
uint32_t word_of(int32_t first, int32_t second) noexcept {
  return (static_cast<uint32_t>(first) & 0xFFFFu) | static_cast<uint32_t>(second) << 16;
}

void multiply(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
              const float* lane_scale, bool add, Ahead&, float* c) noexcept {
  for (int64_t i = 0; i < n_rows; ++i) {
    for (int64_t l = 0; l < kLanes; ++l) {
      int64_t sum = 0;  // wraps as int32 when NaN made a code of an operand
      for (int64_t w = 0; w < words; ++w) {
        const uint32_t x = a.data[i * a.row + w * a.word], y = b[w * kLanes + l];
        sum += int64_t{low(x)} * low(y) + int64_t{high(x)} * high(y);
      }
      const float product = static_cast<float>(static_cast<int32_t>(sum)), start = add ? c[i * kLanes + l] : 0.0f;
      const float scaled = row_scale == nullptr ? product : product * row_scale[i * row_stride];
      c[i * kLanes + l] = std::fma(scaled, lane_scale[l], start);
    }
  }
}

void softmax_lane(float* s, int64_t n, int64_t visible, float scale, LaneState& state, int64_t l) noexcept {
  float largest = -kInfinity;
  for (int64_t j = 0; j < n; ++j) {
    float& x = s[j * kLanes + l];
    x = j < visible ? x * scale : -kInfinity;
    if (x > largest) largest = x;
  }
  const float before = state.shift[l], shift = largest > before + kShiftSlack ? largest : before;
  const float base = shift == -kInfinity ? 0.0f : shift;
  float sum = 0, top = 0;
  for (int64_t j = 0; j < n; ++j) {
    float& x = s[j * kLanes + l];
    x = exp(x - base);
    sum += x;
    if (x > top) top = x;
  }
  const float keep = exp(before - base);
  state.sum[l] = std::fma(state.sum[l], keep, sum);
  state.shift[l] = shift;
  state.keep[l] = keep;
  state.top[l] = top;
}

bool softmax(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept {
  bool changed = false;
  for (int64_t l = 0; l < kLanes; ++l) {
    softmax_lane(s, n, visible[l], scale, state, l);
    changed = changed || state.keep[l] != 1.0f;
  }
  return changed;
}

void round_weights(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                   uint32_t* words) noexcept {
  const auto code = [&](int64_t j, int64_t l) -> int32_t {
    if (j >= n) return 0;
    const float x = p[j * kLanes + l] * scales[j * stride] * inverse[l];
    return x != x ? 0 : static_cast<int32_t>(std::nearbyint(x));
  };
  for (int64_t j = 0; j < n; j += 2)
    for (int64_t l = 0; l < kLanes; ++l) words[j / 2 * kLanes + l] = word_of(code(j, l), code(j + 1, l));
}

void scale_lanes(float* z, int64_t n, const float* keep) noexcept {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) z[i * kLanes + l] *= keep[l];
}

void transpose(const float* z, int64_t n, float* out, int64_t stride) noexcept {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) out[l * stride + i] = z[i * kLanes + l];
}

float quantize(const float* x, int64_t n, int largest, int16_t* codes) noexcept {
  return encode_group(x, n, largest, codes);
}

float quantize_bf16(const uint16_t* x, int64_t n, int largest, int16_t* codes) noexcept {
  float wide[kGroup];
  for (int64_t i = 0; i < n; ++i) wide[i] = bf16_to_f32(x[i]);
  return encode_group(wide, n, largest, codes);
}

void widen(const int8_t* bytes, int64_t n, int16_t* codes) noexcept {
  for (int64_t i = 0; i < n; ++i) codes[i] = bytes[i];
}

template <class Code>
void interleave(const Code* even, const Code* odd, int64_t n, uint32_t* words) noexcept {
  for (int64_t i = 0; i < n; ++i) words[i] = word_of(even[i], odd == nullptr ? 0 : odd[i]);
}

}  // namespace

const Int16Kernel int16 = {.name = "ref",
                           .multiply = multiply,
                           .softmax = softmax,
                           .round_weights = round_weights,
                           .scale_lanes = scale_lanes,
                           .transpose = transpose,
                           .quantize = quantize,
                           .quantize_bf16 = quantize_bf16,
                           .widen = widen,
                           .interleave = interleave<int16_t>,
                           .interleave_bytes = interleave<int8_t>,
                           .peak = nullptr};

}  // namespace fathom::ref
