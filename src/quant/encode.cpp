#include "quant/encode.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>

#include "base/error.h"
#include "quant/encode_k.h"
#include "quant/formats.h"
#include "quant/lanes.h"
#include "tensor/weight.h"

namespace fathom {
namespace {

// Where numpy's encoder converts a float that no byte can hold (1 / d overflows for a subnormal d), x86 and truncate4()
// give 0.

float inverse_or_zero(float d) noexcept { return d == 0 ? 0.0f : 1 / d; }

float max_magnitude(const float* x) noexcept {
  Float4 m{};
  for (int64_t i = 0; i < kSmallBlock; i += 4) m = max4(abs4(load4(x + i)), m);
  return largest(m);
}

// The first element of largest magnitude, with its sign.
float extreme(const float* x) noexcept {
  const float magnitude = max_magnitude(x);
  for (int64_t i = 0; i < kSmallBlock; ++i)
    if (std::abs(x[i]) == magnitude) return x[i];
  return x[0];
}

struct Range {
  float min, max;
};
Range range_of(const float* x) noexcept {
  Float4 low = load4(x), high = low;
  for (int64_t i = 4; i < kSmallBlock; i += 4) low = min4(load4(x + i), low), high = max4(load4(x + i), high);
  return {smallest(low) + 0.0f, largest(high) + 0.0f};  // -0 becomes +0
}

BlockQ8_0 encode_q8_0(const float* x) noexcept {
  BlockQ8_0 b;
  const float d = max_magnitude(x) / 127;
  const float id = inverse_or_zero(d);
  b.d = f32_to_f16(d);
  for (int j = 0; j < 32; j += 4) {
    const Int4 q = round_away4(load4(x + j) * id);
    for (int k = 0; k < 4; ++k) b.qs[j + k] = static_cast<int8_t>(q[k]);
  }
  return b;
}

// Codes of the 32-element formats: the low bytes of trunc(v), which lie in 0 .. max_code + 1.
using Codes = std::array<uint8_t, 32>;

void put_codes(Codes& codes, int64_t at, Float4 v, int max_code) noexcept {
  const Int4 q = truncate4(v);
  for (int k = 0; k < 4; ++k) codes[static_cast<size_t>(at + k)] = static_cast<uint8_t>(std::min(q[k] & 255, max_code));
}

// round(x / d) + offset
Codes codes_around_zero(const float* x, float d, int offset) noexcept {
  Codes codes;
  const float id = inverse_or_zero(d), shift = static_cast<float>(offset) + 0.5f;
  for (int64_t j = 0; j < 32; j += 4) put_codes(codes, j, load4(x + j) * id + shift, 2 * offset - 1);
  return codes;
}

// round((x - min) / d)
Codes codes_above_min(const float* x, float d, float min, int max_code) noexcept {
  Codes codes;
  const float id = inverse_or_zero(d);
  for (int64_t j = 0; j < 32; j += 4) put_codes(codes, j, (load4(x + j) - min) * id + 0.5f, max_code);
  return codes;
}

void pack_low_bits(const Codes& q, uint8_t (&qs)[16]) noexcept {
  for (size_t j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
}

void pack_fifth_bits(const Codes& q, uint8_t (&qh)[4]) noexcept {
  uint32_t bits = 0;
  for (size_t j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(q[j] >> 4) << j;
  std::memcpy(qh, &bits, sizeof(bits));
}

BlockQ4_0 encode_q4_0(const float* x) noexcept {
  BlockQ4_0 b;
  const float d = extreme(x) / -8;
  b.d = f32_to_f16(d);
  pack_low_bits(codes_around_zero(x, d, 8), b.qs);
  return b;
}

BlockQ4_1 encode_q4_1(const float* x) noexcept {
  BlockQ4_1 b;
  const Range r = range_of(x);
  const float d = (r.max - r.min) / 15;
  b.d = f32_to_f16(d);
  b.m = f32_to_f16(r.min);
  pack_low_bits(codes_above_min(x, d, r.min, 15), b.qs);
  return b;
}

BlockQ5_0 encode_q5_0(const float* x) noexcept {
  BlockQ5_0 b;
  const float d = extreme(x) / -16;
  b.d = f32_to_f16(d);
  const Codes q = codes_around_zero(x, d, 16);
  pack_low_bits(q, b.qs);
  pack_fifth_bits(q, b.qh);
  return b;
}

BlockQ5_1 encode_q5_1(const float* x) noexcept {
  BlockQ5_1 b;
  const Range r = range_of(x);
  const float d = (r.max - r.min) / 31;
  b.d = f32_to_f16(d);
  b.m = f32_to_f16(r.min);
  const Codes q = codes_above_min(x, d, r.min, 31);
  pack_low_bits(q, b.qs);
  pack_fifth_bits(q, b.qh);
  return b;
}

template <class T>
void store(std::byte* out, int64_t i, const T& value) noexcept {
  std::memcpy(out + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

template <class EncodeBlock>
void encode_all(const float* x, int64_t n, std::byte* out, int64_t per_block, EncodeBlock encode_block) noexcept {
  for (int64_t i = 0; i < n / per_block; ++i) store(out, i, encode_block(x + i * per_block));
}

// Magnitudes above the limit are reported, up to (without) `end`: the float bits of non-negative numbers order as
// integers.
struct Limits {
  uint32_t limit, end;
};
Limits limits_of(DType dtype) noexcept {
  constexpr uint32_t kInfinity = 0x7F800000u, kAll = 0xFFFFFFFFu;
  const auto magnitude = [](float f) { return std::bit_cast<uint32_t>(f); };
  switch (dtype) {
    case DType::f32:
      return {kAll, kAll};
    case DType::f16:
      return {0x477FEFFFu, kInfinity};  // the float before 65520, which rounds to infinity
    case DType::bf16:
      return {0x7F7F7FFFu, kInfinity};  // the float before the middle of the largest bfloat16 and 2^128
    case DType::f8_e4m3:
      return {kInfinity - 1, kAll};
    case DType::q8_0:
      return {magnitude(65504.0f * 127), kAll};
    case DType::q4_0:
      return {magnitude(65504.0f * 8), kAll};
    case DType::q5_0:
      return {magnitude(65504.0f * 16), kAll};
    default:
      return {magnitude(65504.0f), kAll};
  }
}

bool is_unencodable(float x, const Limits& limits) noexcept {
  const uint32_t magnitude = std::bit_cast<uint32_t>(x) & 0x7FFFFFFFu;
  return magnitude > limits.limit && magnitude < limits.end;
}

}  // namespace

void encode_row(DType dtype, const float* x, int64_t n, std::byte* out) noexcept {
  dcheck(n % info(dtype).block_elements == 0, "whole blocks");
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
      return;
    case DType::f16:
      return encode_all(x, n, out, 1, [](const float* p) { return f32_to_f16(*p); });
    case DType::bf16:
      return encode_all(x, n, out, 1, [](const float* p) { return f32_to_bf16(*p); });
    case DType::q8_0:
      return encode_all(x, n, out, kSmallBlock, encode_q8_0);
    case DType::q4_0:
      return encode_all(x, n, out, kSmallBlock, encode_q4_0);
    case DType::q4_1:
      return encode_all(x, n, out, kSmallBlock, encode_q4_1);
    case DType::q5_0:
      return encode_all(x, n, out, kSmallBlock, encode_q5_0);
    case DType::q5_1:
      return encode_all(x, n, out, kSmallBlock, encode_q5_1);
    case DType::q2_k:
      return encode_all(x, n, out, kSuperBlock, encode_q2_k);
    case DType::q3_k:
      return encode_all(x, n, out, kSuperBlock, encode_q3_k);
    case DType::q4_k:
      return encode_all(x, n, out, kSuperBlock, encode_q4_k);
    case DType::q5_k:
      return encode_all(x, n, out, kSuperBlock, encode_q5_k);
    case DType::q6_k:
      return encode_all(x, n, out, kSuperBlock, encode_q6_k);
    case DType::f8_e4m3:
      break;
  }
  check(false, "f8_e4m3 is encoded by encode_f8_stripe");
}

int64_t find_unencodable(DType dtype, const float* x, int64_t n) noexcept {
  const Limits limits = limits_of(dtype);
  constexpr int64_t kChunk = 256;  // a count over a chunk is fast; the place is looked for only when it is not zero
  for (int64_t begin = 0; begin < n; begin += kChunk) {
    const int64_t end = std::min(n, begin + kChunk);
    int found = 0;
    for (int64_t i = begin; i < end; ++i) found += is_unencodable(x[i], limits);
    for (int64_t i = begin; found != 0 && i < end; ++i)
      if (is_unencodable(x[i], limits)) return i;
  }
  return -1;
}

void encode_matrix(ThreadPool& pool, DType dtype, MatView<const float> x, std::byte* out, std::string_view what) {
  std::atomic<int64_t> bad_row{x.rows};  // the lowest, so that the message does not depend on threads
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (find_unencodable(dtype, x.row(i), x.cols) >= 0) {
        int64_t lowest = bad_row.load();
        while (i < lowest && !bad_row.compare_exchange_weak(lowest, i)) {
        }
        return;
      }
      encode_row(dtype, x.row(i), x.cols, out + i * row_bytes(dtype, x.cols));
    }
  });
  const int64_t row = bad_row.load();
  if (row == x.rows) return;
  const int64_t col = find_unencodable(dtype, x.row(row), x.cols);
  throw_bad_input(
      "{}: row {}, column {} is {}, which {} cannot hold; is the checkpoint damaged? f32 holds every number", what, row,
      col, x(row, col), name(dtype));
}

void encode_f8_stripe(MatView<const float> x, std::byte* out, float* scale_inv) noexcept {
  dcheck(x.rows <= kFp8Block, "a stripe has at most 128 rows");
  for (int64_t begin = 0; begin < x.cols; begin += kFp8Block) {
    const int64_t end = std::min(begin + kFp8Block, x.cols);
    float largest = 0;
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = begin; j < end; ++j) largest = std::max(largest, std::abs(x(i, j)));
    const float quotient = largest / 448.0f, scale = quotient == 0 ? 1.0f : quotient;
    scale_inv[begin / kFp8Block] = scale;
    for (int64_t i = 0; i < x.rows; ++i)
      for (int64_t j = begin; j < end; ++j)
        out[i * x.cols + j] = static_cast<std::byte>(f32_to_f8_e4m3(x(i, j) / scale));
  }
}

}  // namespace fathom
