// multiply() for vector units, written once against the register type F32. Included inside the anonymous namespace of
// an instruction set. Contract: gemm_kernel.h. A class Words has: load (a vector of words of b), all (one word of a in
// every lane), and add_product(a, b, sum), `products` multiply-adds in each lane.

struct FloatWords {
  using Vector = F32;
  static constexpr int products = 1;  // of a lane
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

// R rows by two vectors of columns stay in registers while the depth passes. kWordStep: RowLayout::word. What is not
// inlined would have its sums in memory.
template <class Words, int R, int64_t kWordStep>
void multiply_fixed(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
                    bool add) noexcept {
  constexpr int64_t W = F32::lanes;
  F32 sum[R][2];
  unroll<R>([&](int i) __attribute__((always_inline)) {
    unroll<2>([&](int v) __attribute__((always_inline)) {
      sum[i][v] = add ? F32::load(c + i * stride + v * W) : F32::zero();
    });
  });
  for (int64_t block = 0; block < words; block += kWordBlock, a += layout.block) {
    const int64_t n = words - block < kWordBlock ? words - block : kWordBlock;
    for (int64_t d = 0; d < n; ++d, b += 2 * W) {
      const typename Words::Vector b0 = Words::load(b), b1 = Words::load(b + W);
      unroll<R>([&](int i) __attribute__((always_inline)) {
        const typename Words::Vector row = Words::all(a + i * (kWordStep == 1 ? layout.row : 1) + d * kWordStep);
        sum[i][0] = Words::add_product(row, b0, sum[i][0]);
        sum[i][1] = Words::add_product(row, b1, sum[i][1]);
      });
    }
  }
  unroll<R>([&](int i) __attribute__((always_inline)) {
    unroll<2>([&](int v) __attribute__((always_inline)) { sum[i][v].store(c + i * stride + v * W); });
  });
}

// multiply_fixed with the number of rows that there are.
template <class Words, int64_t kWordStep, int... I>
void multiply_rows(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
                   int64_t n_rows, bool add, std::integer_sequence<int, I...>) noexcept {
  (void)((n_rows == I + 1 && (multiply_fixed<Words, I + 1, kWordStep>(words, a, layout, b, c, stride, add), true)) ||
         ...);
}

template <class Words, int kRows, int64_t kWordStep>
void multiply_any(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
                  int64_t n_rows, bool add) noexcept {
  if (n_rows == kRows) return multiply_fixed<Words, kRows, kWordStep>(words, a, layout, b, c, stride, add);
  multiply_rows<Words, kWordStep>(words, a, layout, b, c, stride, n_rows, add,
                                  std::make_integer_sequence<int, kRows - 1>{});
}

template <class Words, int kRows>
void multiply(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
              int64_t n_rows, bool add, const uint32_t*) noexcept {
  if (layout.word == 1)
    multiply_any<Words, kRows, 1>(words, a, layout, b, c, stride, n_rows, add);
  else
    multiply_any<Words, kRows, kRows>(words, a, layout, b, c, stride, n_rows, add);
}

// Two vectors of columns, the last perhaps in part.
void copy(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
          int64_t n_cols) noexcept {
  constexpr int64_t W = F32::lanes;
  const int64_t second = n_cols - W;
  for (int64_t i = 0; i < n_rows; ++i, from += from_stride, to += to_stride) {
    if (second == W) {
      F32::load(from).store(to);
      F32::load(from + W).store(to + W);
    } else if (second >= 0) {
      F32::load(from).store(to);
      F32::load(from + W, second).store(to + W, second);
    } else {
      F32::load(from, n_cols).store(to, n_cols);
    }
  }
}
