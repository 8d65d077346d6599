#include "quant/encode.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "quant/decode.h"
#include "quant/encode_k.h"
#include "quant/encode_small.h"
#include "quant/formats.h"
#include "quant/group_fit.h"
#include "tensor/weight.h"

namespace fathom {
namespace {

template <class T>
void store(std::byte* out, int64_t i, const T& value) noexcept {
  std::memcpy(out + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

// fn(encoder), the encoder of one block: (numbers, weights, Search) -> its bytes.
template <class Fn>
void with_encoder(DType dtype, Fn&& fn) noexcept {
  switch (dtype) {
    case DType::f32:
      return fn([](const float* p, const float*, Search) { return *p; });
    case DType::f16:
      return fn([](const float* p, const float*, Search) { return f32_to_f16(*p); });
    case DType::bf16:
      return fn([](const float* p, const float*, Search) { return f32_to_bf16(*p); });
    case DType::q8_0:
      return fn(encode_q8_0);
    case DType::q4_0:
      return fn(encode_q4_0);
    case DType::q4_1:
      return fn(encode_q4_1);
    case DType::q5_0:
      return fn(encode_q5_0);
    case DType::q5_1:
      return fn(encode_q5_1);
    case DType::q2_k:
      return fn(encode_q2_k);
    case DType::q3_k:
      return fn(encode_q3_k);
    case DType::q4_k:
      return fn(encode_q4_k);
    case DType::q5_k:
      return fn(encode_q5_k);
    case DType::q6_k:
      return fn(encode_q6_k);
    case DType::iq4_nl:
      return fn(encode_iq4_nl);
    case DType::iq4_xs:
      return fn(encode_iq4_xs);
    case DType::f8_e4m3:
      break;
  }
  check(false, "f8_e4m3 is encoded by encode_f8_stripe");
}

using BlockWeights = std::array<float, kSuperBlock>;

// The weights of one block, the largest 1 and none below kLeastWeight; equal where there are none, or all are zero.
BlockWeights usable_weights(const float* w, int64_t n) noexcept {
  constexpr float kLeastWeight = 1e-6f;
  BlockWeights out = kEqualWeights;
  const float largest = w == nullptr ? 0.0f : *std::max_element(w, w + n);
  if (!(largest > kTiny && largest <= std::numeric_limits<float>::max())) return out;
  for (int64_t i = 0; i < n; ++i) out[static_cast<size_t>(i)] = std::max(w[i] / largest, kLeastWeight);
  return out;
}

double weighted_error(DType dtype, const void* block, const float* x, const float* w) noexcept {
  const int64_t n = info(dtype).block_elements;
  std::array<float, kSuperBlock> y;
  decode_blocks(dtype, static_cast<const std::byte*>(block), n, y.data());
  double error = 0;
  for (int64_t i = 0; i < n; ++i) {
    const double off = double{y[static_cast<size_t>(i)]} - x[i];
    error += w[i] * off * off;
  }
  return error;
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
  if (dtype == DType::f32) {
    std::memcpy(out, x, static_cast<size_t>(n) * sizeof(float));
    return;
  }
  with_encoder(dtype, [&](auto encode_block) {
    for (int64_t i = 0, per_block = info(dtype).block_elements; i < n / per_block; ++i)
      store(out, i, encode_block(x + i * per_block, kEqualWeights.data(), Search::plain));
  });
}

void encode_row_thorough(DType dtype, const float* x, const float* w, int64_t n, std::byte* out) noexcept {
  if (info(dtype).block_elements == 1) return encode_row(dtype, x, n, out);
  dcheck(n % info(dtype).block_elements == 0, "whole blocks");
  const int64_t per_block = info(dtype).block_elements;
  with_encoder(dtype, [&](auto encode_block) {
    for (int64_t i = 0; i < n / per_block; ++i) {
      const float* block = x + i * per_block;
      const BlockWeights weights = usable_weights(w == nullptr ? nullptr : w + i * per_block, per_block);
      const auto searched = encode_block(block, weights.data(), Search::thorough);
      const auto plain = encode_block(block, kEqualWeights.data(), Search::plain);
      const bool worse = weighted_error(dtype, &searched, block, weights.data()) >
                         weighted_error(dtype, &plain, block, weights.data());
      store(out, i, worse ? plain : searched);
    }
  });
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
