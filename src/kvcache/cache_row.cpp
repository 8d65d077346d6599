#include "kvcache/cache_row.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "tensor/dtype.h"

namespace fathom {
namespace {

// The largest magnitude, NaN counting as the largest of all.
float largest_magnitude(const float* x, int64_t n) noexcept {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  return std::bit_cast<float>(largest);
}

template <class Code>
void store_codes(const float* x, int64_t n, int largest, std::byte* codes, float* scales) noexcept {
  int16_t wide[kCacheGroup];
  Code narrow[kCacheGroup];
  for (int64_t first = 0; first < n; first += kCacheGroup) {
    const int64_t count = std::min(kCacheGroup, n - first);
    const float scale = encode_group(x + first, count, largest, wide);
    for (int64_t i = 0; i < count; ++i) narrow[i] = static_cast<Code>(wide[i]);
    std::memcpy(codes + first * static_cast<int64_t>(sizeof(Code)), narrow, static_cast<size_t>(count) * sizeof(Code));
    scales[first / kCacheGroup * kBlockTokens] = scale;
  }
}

template <class Code>
void load_codes(const std::byte* codes, const float* scales, int64_t n, float* x) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    Code code;
    std::memcpy(&code, codes + i * static_cast<int64_t>(sizeof(Code)), sizeof code);
    x[i] = scales[i / kCacheGroup * kBlockTokens] * static_cast<float>(code);
  }
}

void store_bf16(const float* x, int64_t n, std::byte* out) noexcept {
  for (int64_t k = 0; k < n; ++k) {
    const uint16_t half = f32_to_bf16(x[k]);
    std::memcpy(out + 2 * k, &half, sizeof half);
  }
}
void load_bf16(const std::byte* stored, int64_t n, float* x) noexcept {
  for (int64_t k = 0; k < n; ++k) {
    uint16_t half;
    std::memcpy(&half, stored + 2 * k, sizeof half);
    x[k] = bf16_to_f32(half);
  }
}

// A group without a number above 1e-30 is zero; one with a number that is not finite has the scale NaN.
void store_fp8(const float* x, int64_t n, std::byte* codes, std::byte* scales) noexcept {
  constexpr float kLargest = 448;
  for (int64_t first = 0; first < n; first += kCacheGroup) {
    const int64_t end = std::min(n, first + kCacheGroup);
    const float max = largest_magnitude(x + first, end - first);
    const bool usable = max >= 1e-30f && max <= std::numeric_limits<float>::max();
    const float scale = usable ? max / kLargest : max < 1e-30f ? 0.0f : std::numeric_limits<float>::quiet_NaN();
    const float inverse = usable ? kLargest / max : 0.0f;
    for (int64_t i = first; i < end; ++i)
      codes[i] = static_cast<std::byte>(usable ? f32_to_f8_e4m3(x[i] * inverse) : uint8_t{0});
    std::memcpy(scales + first / kCacheGroup * 4, &scale, sizeof scale);
  }
}
void load_fp8(const std::byte* codes, const std::byte* scales, int64_t n, float* x) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    float scale;
    std::memcpy(&scale, scales + i / kCacheGroup * 4, sizeof scale);
    x[i] = scale * f8_e4m3_to_f32(static_cast<uint8_t>(codes[i]));
  }
}

}  // namespace

std::optional<CacheType> cache_type_from_name(std::string_view name) noexcept {
  for (size_t i = 0; i < std::size(kCacheTypeNames); ++i)
    if (kCacheTypeNames[i] == name) return static_cast<CacheType>(i);
  return std::nullopt;
}

const LatentFormat* latent_format(CacheType type) noexcept {
  static constexpr LatentFormat kFormats[] = {
      {.bits = 6, .gain = true},                                                         // q6
      {.bits = 4, .gain = true},                                                         // q4
      {.bits = 5, .calibrated = true, .gain = true, .outliers = true, .total_bits = 6},  // v2-6bit
      {.bits = 5, .calibrated = true, .outliers = true},                                 // nuq5
      {.bits = 4, .calibrated = true, .outliers = true},                                 // nuq4
      {.bits = 3, .calibrated = true, .outliers = true},                                 // nuq3
  };
  constexpr auto kFirst = static_cast<size_t>(CacheType::q6);
  return type < CacheType::q6 ? nullptr : &kFormats[static_cast<size_t>(type) - kFirst];
}

int64_t CacheRow::bytes() const noexcept {
  if (const LatentFormat* format = latent_format(type)) return LatentRow(*format, body(), tail).bytes();
  return stride() + (coded() ? groups() * 4 : 0);
}

float encode_group(const float* x, int64_t n, int largest, int16_t* codes) noexcept {
  const float max = largest_magnitude(x, n), top = static_cast<float>(largest);
  if (!(max >= 1e-30f && max <= std::numeric_limits<float>::max())) {
    std::fill(codes, codes + n, int16_t{0});
    return max < 1e-30f ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = top / max;
  // 1.5 * 2^23 leaves the whole number, rounded to even, in the low bits of the sum.
  for (int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<int16_t>(std::bit_cast<uint32_t>(x[i] * inverse + 0x1.8p23f) & 0xFFFFu);
  return max / top;
}

void store_row(const CacheRow& row, const float* x, std::byte* rows, int64_t i) noexcept {
  std::byte* bytes = rows + i * row.stride();
  if (row.type == CacheType::f32) {
    std::memcpy(bytes, x, static_cast<size_t>(row.width) * sizeof(float));
  } else if (row.type == CacheType::bf16) {
    store_bf16(x, row.width, bytes);
  } else if (row.type == CacheType::fp8) {
    store_fp8(x, row.body(), bytes, bytes + row.own_scales_at());
    store_bf16(x + row.body(), row.tail, bytes + row.tail_at());
  } else {
    auto* scales = reinterpret_cast<float*>(rows + row.scales_at()) + i;
    if (row.type == CacheType::q8)
      store_codes<int8_t>(x, row.body(), kCode8, bytes, scales);
    else
      store_codes<int16_t>(x, row.body(), kCode16, bytes, scales);
    store_codes<int16_t>(x + row.body(), row.tail, kCode16, bytes + row.tail_at(),
                         scales + cache_groups(row.body()) * kBlockTokens);
  }
}

void load_row(const CacheRow& row, const std::byte* rows, int64_t i, float* x) noexcept {
  const std::byte* bytes = rows + i * row.stride();
  if (row.type == CacheType::f32) {
    std::memcpy(x, bytes, static_cast<size_t>(row.width) * sizeof(float));
  } else if (row.type == CacheType::bf16) {
    load_bf16(bytes, row.width, x);
  } else if (row.type == CacheType::fp8) {
    load_fp8(bytes, bytes + row.own_scales_at(), row.body(), x);
    load_bf16(bytes + row.tail_at(), row.tail, x + row.body());
  } else {
    const auto* scales = reinterpret_cast<const float*>(rows + row.scales_at()) + i;
    if (row.type == CacheType::q8)
      load_codes<int8_t>(bytes, scales, row.body(), x);
    else
      load_codes<int16_t>(bytes, scales, row.body(), x);
    load_codes<int16_t>(bytes + row.tail_at(), scales + cache_groups(row.body()) * kBlockTokens, row.tail,
                        x + row.body());
  }
}

}  // namespace fathom
