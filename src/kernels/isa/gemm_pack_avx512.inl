// Packing with AVX-512, sixteen words at a time. Included inside the anonymous namespace of an instruction set.
// Contracts: gemm_kernel.h. A class Words makes words of elements, floats or stored bfloat16:
//     along(p, n)           words of p[0 .. n-1], which follow each other in depth, zeros after them
//     across(p, next, n)    one word of each of n columns: p[j], and next[j] when a word holds two (nullptr: 0)

__mmask16 first_lanes(int64_t n) noexcept {
  return n >= 16 ? __mmask16{0xFFFF} : n <= 0 ? __mmask16{0} : static_cast<__mmask16>((1u << n) - 1);
}

struct AsFloat {
  using Element = float;
  static constexpr int64_t per_word = 1;
  static __m512i along(const float* p, int64_t n) noexcept {
    return _mm512_castps_si512(_mm512_maskz_loadu_ps(first_lanes(n), p));
  }
  static __m512i across(const float* p, const float*, int64_t n) noexcept { return along(p, n); }
};

// Stored bfloat16 as the floats that it is.
struct Widened {
  using Element = uint16_t;
  static constexpr int64_t per_word = 1;
  static __m512i along(const uint16_t* p, int64_t n) noexcept {
    return _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(first_lanes(n), p)), 16);
  }
  static __m512i across(const uint16_t* p, const uint16_t*, int64_t n) noexcept { return along(p, n); }
};

// Stored bfloat16, two in a word.
struct StoredPairs {
  using Element = uint16_t;
  static constexpr int64_t per_word = 2;
  static __m512i along(const uint16_t* p, int64_t n) noexcept {
    if (n >= 32) return _mm512_loadu_si512(p);
    return _mm512_maskz_loadu_epi16((__mmask32{1} << (n > 0 ? n : 0)) - 1, p);
  }
  static __m512i across(const uint16_t* p, const uint16_t* next, int64_t n) noexcept {
    const __mmask16 lanes = first_lanes(n);
    const __m512i low = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, p));
    if (next == nullptr) return low;
    return _mm512_or_si512(low, _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, next)), 16));
  }
};

// r[i][j] becomes r[j][i]: pairs of rows are interleaved at distances 1, 2, 4 and 8.
[[gnu::always_inline]] inline void transpose(__m512i (&r)[16]) noexcept {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  // r[4 g + c], 128-bit lane l: column 4 l + c of rows 4 g .. 4 g + 3
#pragma GCC unroll 4
  for (int c = 0; c < 4; ++c) {
    const __m512i even_low = _mm512_shuffle_i32x4(r[c], r[4 + c], 0x88),
                  odd_low = _mm512_shuffle_i32x4(r[c], r[4 + c], 0xDD);
    const __m512i even_high = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0x88),
                  odd_high = _mm512_shuffle_i32x4(r[8 + c], r[12 + c], 0xDD);
    t[c] = _mm512_shuffle_i32x4(even_low, even_high, 0x88);
    t[4 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0x88);
    t[8 + c] = _mm512_shuffle_i32x4(even_low, even_high, 0xDD);
    t[12 + c] = _mm512_shuffle_i32x4(odd_low, odd_high, 0xDD);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) r[i] = t[i];
}

int64_t smaller(int64_t a, int64_t b) noexcept { return a < b ? a : b; }

// Some blocks of one row after another: few enough streams for the prefetcher, few enough written lines for the cache.
template <class Words, int64_t kRows>
void pack_a(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  constexpr int64_t kStep = kWordBlock * Words::per_word, kGroup = 8 * kStep;
  for (int64_t group = 0; group < depth; group += kGroup) {
    const int64_t end = smaller(depth, group + kGroup);
    uint32_t* out = panel + group / kStep * kRows * kWordBlock;
    for (int64_t i = 0; i < n; ++i) {
      uint32_t* to = out + i * kWordBlock;
      for (int64_t k = group; k < end; k += kStep, to += kRows * kWordBlock)
        _mm512_store_si512(to, Words::along(src + i * stride + k, smaller(kStep, depth - k)));
    }
    for (int64_t i = n; i < kRows; ++i)
      for (int64_t b = 0; b * kStep < end - group; ++b)
        _mm512_store_si512(out + (b * kRows + i) * kWordBlock, _mm512_setzero_si512());
  }
}

// Words k / per_word .. + 15 of n columns, n at most 16: one of r for each word.
template <class Words>
[[gnu::always_inline]] inline void across_depth(const typename Words::Element* src, int64_t stride, int64_t n,
                                                int64_t depth, __m512i (&r)[16]) noexcept {
  constexpr int64_t P = Words::per_word;
#pragma GCC unroll 16
  for (int64_t d = 0; d < 16; ++d) {
    const auto* p = src + d * P * stride;
    if (d * P >= depth)
      r[d] = _mm512_setzero_si512();
    else
      r[d] = Words::across(p, d * P + 1 < depth ? p + stride : nullptr, n);
  }
}

// As tiles need it.
template <class Words, int64_t kRows>
void pack_a_transposed(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth,
                       uint32_t* panel) noexcept {
  constexpr int64_t kStep = kWordBlock * Words::per_word;
  for (int64_t k = 0; k < depth; k += kStep, panel += kRows * kWordBlock)
    for (int64_t i = 0; i < kRows; i += 16) {
      __m512i r[16];
      across_depth<Words>(src + k * stride + i, stride, n - i, depth - k, r);
      transpose(r);
      constexpr int64_t kStored = kRows < 16 ? kRows : 16;
#pragma GCC unroll 16
      for (int64_t j = 0; j < kStored; ++j) _mm512_store_si512(panel + (i + j) * kWordBlock, r[j]);
    }
}

// As vectors need it: word_after_word. One store for each word, nothing to transpose.
template <class Words, int64_t kRows>
void pack_a_across(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth,
                   uint32_t* panel) noexcept {
  static_assert(kRows <= 16);
  constexpr int64_t P = Words::per_word;
  const __mmask16 rows = first_lanes(kRows);
  int64_t k = 0;
  for (; k + P <= depth; k += P, panel += kRows) {
    const auto* p = src + k * stride;
    _mm512_mask_storeu_epi32(panel, rows, Words::across(p, p + stride, n));
  }
  if (k < depth) _mm512_mask_storeu_epi32(panel, rows, Words::across(src + k * stride, nullptr, n));
}

template <class Words, int64_t kCols>
void pack_b(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  constexpr int64_t P = Words::per_word;
  const int64_t padded = (depth + kWordBlock * P - 1) / (kWordBlock * P) * kWordBlock * P;
  for (int64_t k = 0; k < padded; k += P, panel += kCols)
    for (int64_t j = 0; j < kCols; j += 16) {
      const auto* p = src + k * stride + j;
      const __m512i words =
          k < depth && j < n ? Words::across(p, k + 1 < depth ? p + stride : nullptr, n - j) : _mm512_setzero_si512();
      _mm512_store_si512(panel + j, words);
    }
}

template <class Words, int64_t kCols>
void pack_b_transposed(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth,
                       uint32_t* panel) noexcept {
  constexpr int64_t kStep = kWordBlock * Words::per_word;
  for (int64_t k = 0; k < depth; k += kStep, panel += kCols * kWordBlock)
    for (int64_t j = 0; j < kCols; j += 16) {
      __m512i r[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < 16; ++i)
        r[i] = j + i < n ? Words::along(src + (j + i) * stride + k, depth - k) : _mm512_setzero_si512();
      transpose(r);
#pragma GCC unroll 16
      for (int64_t d = 0; d < 16; ++d) _mm512_store_si512(panel + d * kCols + j, r[d]);
    }
}

template <class Words, int64_t kRows, int64_t kCols>
constexpr GemmPacking<typename Words::Element> packing_of_tiles() noexcept {
  return {pack_a<Words, kRows>, pack_a_transposed<Words, kRows>, pack_b<Words, kCols>, pack_b_transposed<Words, kCols>};
}
template <class Words, int64_t kRows, int64_t kCols>
constexpr GemmPacking<typename Words::Element> packing_of_vectors() noexcept {
  return {pack_a<Words, kRows>, pack_a_across<Words, kRows>, pack_b<Words, kCols>, pack_b_transposed<Words, kCols>};
}
