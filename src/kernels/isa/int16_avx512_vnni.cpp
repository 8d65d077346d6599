// The int16 kernels for AVX-512 with VNNI: one register holds the lanes of a panel, and one instruction multiplies
// pairs, adds the two products and the sum so far. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/gemm_kernels.h"
#include "kernels/isa/int16_kernels.h"

namespace fathom::avx512_vnni {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/gemm_pack_avx512.inl"

static_assert(kLanes == F32::lanes, "one register of lanes");
// Divides tiles and groups; chains enough for two instructions a cycle with a latency of five.
constexpr int kRows = 16;

__m512i load_words(const void* p) noexcept { return _mm512_loadu_si512(p); }

template <int R>
void multiply_fixed(int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
                    const float* lane_scale, bool add, float* c) noexcept {
  __m512i sum[R];
  unroll<R>([&](int i) { sum[i] = _mm512_setzero_si512(); });
  const uint32_t* p = a.data;
  for (int64_t w = 0; w < words; ++w, p += a.word, b += kLanes) {
    const __m512i lanes = load_words(b);
    unroll<R>(
        [&](int i) { sum[i] = _mm512_dpwssd_epi32(sum[i], _mm512_set1_epi32(static_cast<int>(p[i * a.row])), lanes); });
  }
  const F32 lanes = F32::load(lane_scale);
  unroll<R>([&](int i) {
    F32 product{_mm512_cvtepi32_ps(sum[i])};
    if (row_scale != nullptr) product = product * F32::all(row_scale[i * row_stride]);
    float* out = c + i * kLanes;
    fma(product, lanes, add ? F32::load(out) : F32::zero()).store(out);
  });
}

template <int... I>
void multiply_last(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale,
                   int64_t row_stride, const float* lane_scale, bool add, float* c,
                   std::integer_sequence<int, I...>) noexcept {
  (void)((n_rows == I + 1 && (multiply_fixed<I + 1>(words, a, b, row_scale, row_stride, lane_scale, add, c), true)) ||
         ...);
}

void fetch(Ahead& ahead) noexcept {
  constexpr int kLines = 24;  // for each tile of rows: a cached tile is fetched while the one before is multiplied once
  for (int i = 0; i < kLines && ahead.at < ahead.end; ++i, ahead.at += 64) _mm_prefetch(ahead.at, _MM_HINT_T1);
}

void multiply(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale, int64_t row_stride,
              const float* lane_scale, bool add, Ahead& ahead, float* c) noexcept {
  int64_t i = 0;
  for (; i + kRows <= n_rows; i += kRows, a.data += kRows * a.row, c += kRows * kLanes) {
    fetch(ahead);
    multiply_fixed<kRows>(words, a, b, row_scale, row_stride, lane_scale, add, c);
    if (row_scale != nullptr) row_scale += kRows * row_stride;
  }
  multiply_last(n_rows - i, words, a, b, row_scale, row_stride, lane_scale, add, c,
                std::make_integer_sequence<int, kRows - 1>{});
}

F32 choose(__mmask16 mask, F32 yes, F32 no) noexcept { return {_mm512_mask_blend_ps(mask, no.v, yes.v)}; }

// The scaled and masked scores, written back; returns the largest of each lane.
F32 scale_scores(float* s, int64_t n, const int32_t* visible, float scale) noexcept {
  const F32 lowest = F32::all(-__builtin_inff()), factor = F32::all(scale);
  const __m512i end = load_words(visible);
  F32 largest = lowest;
  for (int64_t j = 0; j < n; ++j, s += kLanes) {
    const __mmask16 sees = _mm512_cmpgt_epi32_mask(end, _mm512_set1_epi32(static_cast<int>(j)));
    const F32 x = choose(sees, F32::load(s) * factor, lowest);
    x.store(s);
    largest = max(x, largest);  // NaN: the largest so far stays
  }
  return largest;
}

bool softmax(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept {
  const F32 largest = scale_scores(s, n, visible, scale), before = F32::load(state.shift);
  const __mmask16 raised = _mm512_cmp_ps_mask(largest.v, (before + F32::all(kShiftSlack)).v, _CMP_GT_OQ);
  const F32 shift = choose(raised, largest, before);
  const F32 base = choose(_mm512_cmp_ps_mask(shift.v, F32::all(-__builtin_inff()).v, _CMP_EQ_OQ), F32::zero(), shift);
  F32 sum = F32::zero(), top = F32::zero();
  for (int64_t j = 0; j < n; ++j, s += kLanes) {
    const F32 p = exp(F32::load(s) - base);
    p.store(s);
    sum = sum + p;
    top = max(p, top);
  }
  const F32 keep = exp(before - base);
  fma(F32::load(state.sum), keep, sum).store(state.sum);
  shift.store(state.shift);
  keep.store(state.keep);
  top.store(state.top);
  return _mm512_cmp_ps_mask(keep.v, F32::all(1.0f).v, _CMP_NEQ_UQ) != 0;
}

void round_weights(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                   uint32_t* words) noexcept {
  const F32 inverses = F32::load(inverse);
  const auto code = [&](int64_t j) {
    return _mm512_cvtps_epi32((F32::load(p + j * kLanes) * F32::all(scales[j * stride]) * inverses).v);
  };
  for (int64_t j = 0; j < n; j += 2, words += kLanes) {
    const __m512i odd = j + 1 < n ? _mm512_slli_epi32(code(j + 1), 16) : _mm512_setzero_si512();
    _mm512_storeu_si512(words, _mm512_mask_blend_epi16(0xAAAAAAAA, code(j), odd));
  }
}

void scale_lanes(float* z, int64_t n, const float* keep) noexcept {
  const F32 factor = F32::load(keep);
  for (int64_t i = 0; i < n; ++i, z += kLanes) (F32::load(z) * factor).store(z);
}

void transpose_panel(const float* z, int64_t n, float* out, int64_t stride) noexcept {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i r[16];
    for (int64_t k = 0; k < 16; ++k) r[k] = load_words(z + (i + k) * kLanes);
    transpose(r);
    for (int64_t k = 0; k < 16; ++k) _mm512_storeu_si512(out + k * stride + i, r[k]);
  }
  for (; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) out[l * stride + i] = z[i * kLanes + l];
}

// The first n of sixteen numbers, the others zero; n may be larger.
F32 load_some(const float* p, int64_t n) noexcept { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
F32 load_some(const uint16_t* p, int64_t n) noexcept {
  const __m256i h = _mm256_maskz_loadu_epi16(first_lanes(n), p);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}

// As integers magnitudes are ordered, NaN above infinity.
template <class T>
float largest_magnitude(const T* x, int64_t n) noexcept {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i a = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 16)
    a = _mm512_max_epu32(a, _mm512_and_si512(_mm512_castps_si512(load_some(x + i, n - i).v), magnitude));
  return __builtin_bit_cast(float, _mm512_reduce_max_epu32(a));
}

template <class T>
float quantize(const T* x, int64_t n, int limit, int16_t* codes) noexcept {
  const float largest = largest_magnitude(x, n), top = static_cast<float>(limit);
  const bool usable = largest >= 1e-30f && largest <= 3.40282347e38f;
  if (!usable) {
    for (int64_t i = 0; i < n; ++i) codes[i] = 0;
    return largest < 1e-30f ? 0.0f : __builtin_nanf("");
  }
  const F32 inverse = F32::all(top / largest);
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i rounded = _mm512_cvtps_epi32((load_some(x + i, n - i) * inverse).v);
    _mm256_mask_storeu_epi16(codes + i, first_lanes(n - i), _mm512_cvtepi32_epi16(rounded));
  }
  return largest / top;
}

void widen(const int8_t* bytes, int64_t n, int16_t* codes) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 some = first_lanes(n - i);
    _mm256_mask_storeu_epi16(codes + i, some, _mm256_cvtepi8_epi16(_mm_maskz_loadu_epi8(some, bytes + i)));
  }
}

// Sixteen words of the first n of two rows; odd nullptr: zeros. Codes come as 32-bit numbers.
template <class Load>
void interleave_rows(int64_t n, bool has_odd, Load load, uint32_t* words) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 some = first_lanes(n - i);
    const __m512i odd = has_odd ? _mm512_slli_epi32(load(true, some, i), 16) : _mm512_setzero_si512();
    _mm512_mask_storeu_epi32(words + i, some, _mm512_mask_blend_epi16(0xAAAAAAAA, load(false, some, i), odd));
  }
}

void interleave(const int16_t* even, const int16_t* odd, int64_t n, uint32_t* words) noexcept {
  const auto load = [&](bool second, __mmask16 some, int64_t i) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, (second ? odd : even) + i));
  };
  interleave_rows(n, odd != nullptr, load, words);
}

void interleave_bytes(const int8_t* even, const int8_t* odd, int64_t n, uint32_t* words) noexcept {
  const auto load = [&](bool second, __mmask16 some, int64_t i) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, (second ? odd : even) + i));
  };
  interleave_rows(n, odd != nullptr, load, words);
}

// vpdpwssd of twelve chains, as the compiler would leave them out or repeat them.
double peak(int64_t rounds) noexcept {
#define FATHOM_CHAIN(i) "vpdpwssd %%zmm15, %%zmm14, %%zmm" #i ";"
  for (int64_t i = 0; i < rounds; ++i)
    asm volatile(FATHOM_CHAIN(0) FATHOM_CHAIN(1) FATHOM_CHAIN(2) FATHOM_CHAIN(3) FATHOM_CHAIN(4) FATHOM_CHAIN(5)
                     FATHOM_CHAIN(6) FATHOM_CHAIN(7) FATHOM_CHAIN(8) FATHOM_CHAIN(9) FATHOM_CHAIN(10) FATHOM_CHAIN(11)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm14", "xmm15");
#undef FATHOM_CHAIN
  return 2.0 * 32 * 12 * static_cast<double>(rounds);
}

}  // namespace

const Int16Kernel int16 = {.name = "avx512_vnni",
                           .multiply = multiply,
                           .softmax = softmax,
                           .round_weights = round_weights,
                           .scale_lanes = scale_lanes,
                           .transpose = transpose_panel,
                           .quantize = quantize<float>,
                           .quantize_bf16 = quantize<uint16_t>,
                           .widen = widen,
                           .interleave = interleave,
                           .interleave_bytes = interleave_bytes,
                           .peak = peak};

}  // namespace fathom::avx512_vnni
