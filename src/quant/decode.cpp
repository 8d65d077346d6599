#include "quant/decode.h"

#include <algorithm>

#include "quant/formats.h"

namespace fathom {
namespace {

void decode(const BlockQ8_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int j = 0; j < 32; ++j) out[j] = static_cast<float>(b.qs[j]) * d;
}

void decode(const BlockQ4_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>((b.qs[j] & 15) - 8);
    out[j + 16] = d * static_cast<float>((b.qs[j] >> 4) - 8);
  }
}

void decode(const BlockQ4_1& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (int j = 0; j < 16; ++j) {
    out[j] = d * static_cast<float>(b.qs[j] & 15) + m;
    out[j + 16] = d * static_cast<float>(b.qs[j] >> 4) + m;
  }
}

// The five-bit code of element j of q5_0 and q5_1.
template <class Block>
int code5(const Block& b, int j) noexcept {
  const int low = j < 16 ? b.qs[j] & 15 : b.qs[j - 16] >> 4;
  return low | (b.qh[j / 8] >> (j % 8) & 1) << 4;
}

void decode(const BlockQ5_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(code5(b, j) - 16);
}

void decode(const BlockQ5_1& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (int j = 0; j < 32; ++j) out[j] = d * static_cast<float>(code5(b, j)) + m;
}

void decode(const BlockQ2K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int g = 0; g < 16; ++g) {  // group g is elements 16 g .. 16 g + 15: half h = g / 8, bit pair k = g % 8 / 2
    const float scale = d * static_cast<float>(b.scales[g] & 15), min = dmin * static_cast<float>(b.scales[g] >> 4);
    const uint8_t* qs = b.qs + g / 8 * 32 + g % 2 * 16;
    const int shift = g % 8 / 2 * 2;
    for (int i = 0; i < 16; ++i) out[16 * g + i] = scale * static_cast<float>(qs[i] >> shift & 3) - min;
  }
}

void decode(const BlockQ3K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  uint8_t scales[16];
  unpack_q3k_scales(b.scales, scales);
  for (int g = 0; g < 16; ++g) {
    const float scale = d * static_cast<float>(scales[g] - 32);
    const uint8_t* qs = b.qs + g / 8 * 32 + g % 2 * 16;
    const uint8_t* hmask = b.hmask + g % 2 * 16;
    const int shift = g % 8 / 2 * 2, bit = g / 2;
    for (int i = 0; i < 16; ++i) {
      const int q = (qs[i] >> shift & 3) | (hmask[i] >> bit & 1) << 2;
      out[16 * g + i] = scale * static_cast<float>(q - 4);
    }
  }
}

void decode(const BlockQ4K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  uint8_t scales[8], mins[8];
  unpack_scale_min(b.scales, scales, mins);
  for (int g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(scales[g]), min = dmin * static_cast<float>(mins[g]);
    const uint8_t* qs = b.qs + g / 2 * 32;
    const int shift = g % 2 * 4;
    for (int i = 0; i < 32; ++i) out[32 * g + i] = scale * static_cast<float>(qs[i] >> shift & 15) - min;
  }
}

void decode(const BlockQ5K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  uint8_t scales[8], mins[8];
  unpack_scale_min(b.scales, scales, mins);
  for (int g = 0; g < 8; ++g) {
    const float scale = d * static_cast<float>(scales[g]), min = dmin * static_cast<float>(mins[g]);
    const uint8_t* qs = b.qs + g / 2 * 32;
    const int shift = g % 2 * 4;
    for (int i = 0; i < 32; ++i) {
      const int q = (qs[i] >> shift & 15) | (b.qh[i] >> g & 1) << 4;
      out[32 * g + i] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode(const BlockQ6K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int g = 0; g < 16; ++g) {  // half h = g / 8, quarter k = g % 8 / 2, first or second 16 of the quarter's 32
    const float scale = d * static_cast<float>(b.scales[g]);
    const int h = g / 8, k = g % 8 / 2, first = g % 2 * 16;
    const uint8_t* ql = b.ql + 64 * h + 32 * (k & 1) + first;
    const uint8_t* qh = b.qh + 32 * h + first;
    for (int i = 0; i < 16; ++i) {
      const int q = (ql[i] >> (k / 2 * 4) & 15) | (qh[i] >> (2 * k) & 3) << 4;
      out[16 * g + i] = scale * static_cast<float>(q - 32);
    }
  }
}

// 32 codes of iq4_nl or of a group of iq4_xs.
void decode_levels(const uint8_t* qs, float scale, float* out) noexcept {
  for (int j = 0; j < 16; ++j) {
    out[j] = scale * static_cast<float>(kIq4Levels[qs[j] & 15]);
    out[j + 16] = scale * static_cast<float>(kIq4Levels[qs[j] >> 4]);
  }
}

void decode(const BlockIQ4NL& b, float* out) noexcept { decode_levels(b.qs, f16_to_f32(b.d), out); }

void decode(const BlockIQ4XS& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int g = 0; g < 8; ++g)
    decode_levels(b.qs + 16 * g, d * static_cast<float>(unpack_iq4_scale(b, g) - 32), out + 32 * g);
}

template <class Block>
void decode_all(const std::byte* bytes, int64_t n, float* out) noexcept {
  constexpr int64_t per_block = info(Block::dtype).block_elements;
  for (int64_t i = 0; i < n / per_block; ++i) decode(load_block<Block>(bytes, i), out + i * per_block);
}

// T is the stored integer, widen its exact conversion.
template <class T, class Widen>
void widen_all(const std::byte* bytes, int64_t n, float* out, Widen widen) noexcept {
  for (int64_t i = 0; i < n; ++i) out[i] = widen(load_block<T>(bytes, i));
}

}  // namespace

void decode_blocks(DType dtype, const std::byte* bytes, int64_t n_elements, float* out) noexcept {
  dcheck(n_elements % info(dtype).block_elements == 0, "whole blocks");
  switch (dtype) {
    case DType::f32:
      std::memcpy(out, bytes, static_cast<size_t>(n_elements) * sizeof(float));
      return;
    case DType::f16:
      return widen_all<uint16_t>(bytes, n_elements, out, f16_to_f32);
    case DType::bf16:
      return widen_all<uint16_t>(bytes, n_elements, out, bf16_to_f32);
    case DType::f8_e4m3:
      return widen_all<uint8_t>(bytes, n_elements, out, f8_e4m3_to_f32);
    case DType::q8_0:
      return decode_all<BlockQ8_0>(bytes, n_elements, out);
    case DType::q4_0:
      return decode_all<BlockQ4_0>(bytes, n_elements, out);
    case DType::q4_1:
      return decode_all<BlockQ4_1>(bytes, n_elements, out);
    case DType::q5_0:
      return decode_all<BlockQ5_0>(bytes, n_elements, out);
    case DType::q5_1:
      return decode_all<BlockQ5_1>(bytes, n_elements, out);
    case DType::q2_k:
      return decode_all<BlockQ2K>(bytes, n_elements, out);
    case DType::q3_k:
      return decode_all<BlockQ3K>(bytes, n_elements, out);
    case DType::q4_k:
      return decode_all<BlockQ4K>(bytes, n_elements, out);
    case DType::q5_k:
      return decode_all<BlockQ5K>(bytes, n_elements, out);
    case DType::q6_k:
      return decode_all<BlockQ6K>(bytes, n_elements, out);
    case DType::iq4_nl:
      return decode_all<BlockIQ4NL>(bytes, n_elements, out);
    case DType::iq4_xs:
      return decode_all<BlockIQ4XS>(bytes, n_elements, out);
  }
  check(false, "every element type is decoded");
}

void decode_row(const Weight& w, int64_t row, float* out) noexcept {
  dcheck(row >= 0 && row < w.rows, "the row is inside the weight");
  decode_blocks(w.dtype, w.row(row), w.cols, out);
  if (w.dtype != DType::f8_e4m3 || w.scale_inv == nullptr) return;
  const int64_t scale_row = (w.first_row + row) / kFp8Block * w.scale_cols;
  for (int64_t begin = 0; begin < w.cols; begin += kFp8Block) {
    const float scale = load_block<float>(w.scale_inv, scale_row + begin / kFp8Block);
    for (int64_t j = begin; j < std::min(begin + kFp8Block, w.cols); ++j) out[j] *= scale;
  }
}

}  // namespace fathom
