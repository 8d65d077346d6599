// Packing for AVX2, eight by eight elements at a time. Included inside the anonymous namespace of gemm_avx2.cpp.
// Contracts: gemm_kernel.h. What lies outside the operand is never read and counts as zero.

struct AsFloat {
  using Element = float;
  static __m256 words(__m256 f) noexcept { return f; }
};
// The floats that equal f rounded to bfloat16: tensor/dtype.h, f32_to_bf16.
struct Rounded {
  using Element = float;
  static __m256 words(__m256 f) noexcept {
    const __m256i u = _mm256_castps_si256(f), high = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7FFF)), odd);
    const __m256i nan = _mm256_or_si256(_mm256_and_si256(u, high), _mm256_set1_epi32(0x400000));
    const __m256 is_nan = _mm256_cmp_ps(f, f, _CMP_UNORD_Q);
    return _mm256_blendv_ps(_mm256_castsi256_ps(_mm256_and_si256(up, high)), _mm256_castsi256_ps(nan), is_nan);
  }
};

// Stored bfloat16, which load_first widens.
struct Widened {
  using Element = uint16_t;
  static __m256 words(__m256 f) noexcept { return f; }
};

int64_t whole_blocks(int64_t words) noexcept { return (words + kWordBlock - 1) / kWordBlock * kWordBlock; }

// The first n of eight floats, n below 0 or above 8 allowed.
__m256 load_first(const float* p, int64_t n) noexcept {
  if (n >= 8) return F32::load(p).v;
  return n > 0 ? F32::load(p, n).v : F32::zero().v;
}

__m256 load_first(const uint16_t* p, int64_t n) noexcept {
  if (n >= 8) return F32::load(p).v;
  uint16_t all[8] = {};
  for (int64_t i = 0; i < n; ++i) all[i] = p[i];
  return F32::load(all).v;
}

void store(__m256 v, uint32_t* p) noexcept { _mm256_storeu_ps(reinterpret_cast<float*>(p), v); }

// r[i] lane j becomes r[j] lane i.
void transpose(__m256 (&r)[8]) noexcept {
  __m256 pair[8], four[8];
  for (int i = 0; i < 8; i += 2) {
    pair[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    pair[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    four[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
    four[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
    four[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
    four[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x20);
    r[i + 4] = _mm256_permute2f128_ps(four[i], four[i + 4], 0x31);
  }
}

// Rows 0 .. 7 (those below n_rows) of eight columns (those below n_cols), as words, transposed.
template <class Words>
void load_transposed(const typename Words::Element* src, int64_t stride, int64_t n_rows, int64_t n_cols,
                     __m256 (&r)[8]) noexcept {
  if (n_rows >= 8 && n_cols >= 8)
    for (int i = 0; i < 8; ++i) r[i] = Words::words(F32::load(src + i * stride).v);
  else
    for (int i = 0; i < 8; ++i) r[i] = i < n_rows ? Words::words(load_first(src + i * stride, n_cols)) : F32::zero().v;
  transpose(r);
}

template <class Words, int64_t kRows>
void pack_a(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  for (int64_t k = 0; k < depth; k += kWordBlock, panel += kRows * kWordBlock)
    for (int64_t i = 0; i < n; ++i)
      for (int64_t d = 0; d < kWordBlock; d += 8)
        store(Words::words(load_first(src + i * stride + k + d, depth - k - d)), panel + i * kWordBlock + d);
}

template <class Words, int64_t kRows>
void pack_a_transposed(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth,
                       uint32_t* panel) noexcept {
  static_assert(kRows <= 8);
  for (int64_t k = 0; k < depth; k += kWordBlock, panel += kRows * kWordBlock)
    for (int64_t d = 0; d < kWordBlock; d += 8) {
      __m256 r[8];
      load_transposed<Words>(src + (k + d) * stride, stride, depth - k - d, n, r);
      for (int64_t i = 0; i < n; ++i) store(r[i], panel + i * kWordBlock + d);
    }
}

template <class Words, int64_t kCols>
void pack_b(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  for (int64_t k = 0; k < depth; ++k, panel += kCols)
    for (int64_t j = 0; j < kCols; j += 8) store(Words::words(load_first(src + k * stride + j, n - j)), panel + j);
  for (int64_t i = 0; i < (whole_blocks(depth) - depth) * kCols; ++i) panel[i] = 0;
}

template <class Words, int64_t kCols>
void pack_b_transposed(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth,
                       uint32_t* panel) noexcept {
  for (int64_t k = 0; k < whole_blocks(depth); k += 8, panel += 8 * kCols)
    for (int64_t j = 0; j < kCols; j += 8) {
      __m256 r[8];
      load_transposed<Words>(src + j * stride + k, stride, n - j, depth - k, r);
      for (int64_t d = 0; d < 8; ++d) store(r[d], panel + d * kCols + j);
    }
}

template <class Words, int64_t kRows, int64_t kCols>
constexpr GemmPacking<typename Words::Element> packing() noexcept {
  return {pack_a<Words, kRows>, pack_a_transposed<Words, kRows>, pack_b<Words, kCols>, pack_b_transposed<Words, kCols>};
}
