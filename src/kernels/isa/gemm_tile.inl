// multiply() for vector units, written once against the register type F32. Included inside the anonymous namespace of
// an instruction set. Contract: gemm_kernel.h. A class Words has: load (a vector of words of b), all (one word of a in
// every lane), and add_product(a, b, sum).

struct FloatWords {
  using Vector = F32;
  static Vector load(const uint32_t* p) noexcept { return F32::load(reinterpret_cast<const float*>(p)); }
  static Vector all(const uint32_t* p) noexcept {
    float f;
    __builtin_memcpy(&f, p, sizeof f);
    return F32::all(f);
  }
  static F32 add_product(Vector a, Vector b, F32 sum) noexcept { return fma(a, b, sum); }
};

// f(0), ..., f(N-1), written out: arrays indexed by such constants are registers.
template <class F, int... I>
[[gnu::always_inline]] inline void each_of(F f, std::integer_sequence<int, I...>) noexcept {
  (f(I), ...);
}
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F f) noexcept {
  each_of(f, std::make_integer_sequence<int, N>{});
}

int64_t columns_of(int64_t n_cols, int vector) noexcept {  // that fall in this vector
  const int64_t n = n_cols - vector * F32::lanes;
  return n < 0 ? 0 : n < F32::lanes ? n : F32::lanes;
}

// R rows by two vectors of columns stay in registers while the depth passes. kRows: of the panel.
template <class Words, int kRows, int R>
void multiply_fixed(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, int64_t n_cols,
                    bool add) noexcept {
  constexpr int64_t W = F32::lanes;
  const bool whole = n_cols == 2 * W;
  F32 sum[R][2];
  unroll<R>([&](int i) {
    unroll<2>([&](int v) {
      const float* p = c + i * stride + v * W;
      if (!add)
        sum[i][v] = F32::zero();
      else if (whole)
        sum[i][v] = F32::load(p);
      else
        sum[i][v] = F32::load(p, columns_of(n_cols, v));
    });
  });
  for (int64_t block = 0; block < words; block += kWordBlock, a += kRows * kWordBlock) {
    const int64_t n = words - block < kWordBlock ? words - block : kWordBlock;
    for (int64_t d = 0; d < n; ++d, b += 2 * W) {
      const typename Words::Vector b0 = Words::load(b), b1 = Words::load(b + W);
      unroll<R>([&](int i) {
        const typename Words::Vector row = Words::all(a + i * kWordBlock + d);
        sum[i][0] = Words::add_product(row, b0, sum[i][0]);
        sum[i][1] = Words::add_product(row, b1, sum[i][1]);
      });
    }
  }
  unroll<R>([&](int i) {
    unroll<2>([&](int v) {
      float* p = c + i * stride + v * W;
      if (whole)
        sum[i][v].store(p);
      else
        sum[i][v].store(p, columns_of(n_cols, v));
    });
  });
}

// multiply_fixed with the number of rows that there are.
template <class Words, int kRows, int... I>
void multiply_rows(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, int64_t n_rows,
                   int64_t n_cols, bool add, std::integer_sequence<int, I...>) noexcept {
  (void)((n_rows == I + 1 && (multiply_fixed<Words, kRows, I + 1>(words, a, b, c, stride, n_cols, add), true)) || ...);
}

template <class Words, int kRows>
void multiply(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, int64_t n_rows,
              int64_t n_cols, bool add) noexcept {
  if (n_rows == kRows) return multiply_fixed<Words, kRows, kRows>(words, a, b, c, stride, n_cols, add);
  multiply_rows<Words, kRows>(words, a, b, c, stride, n_rows, n_cols, add,
                              std::make_integer_sequence<int, kRows - 1>{});
}
