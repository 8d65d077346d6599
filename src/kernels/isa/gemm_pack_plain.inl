// Packing in plain loops.
// Included inside the anonymous namespace of an instruction set. Contracts: gemm_kernel.h.

uint32_t bits_of(float f) noexcept {
  uint32_t u;
  __builtin_memcpy(&u, &f, sizeof u);
  return u;
}

struct AsFloat {
  using Element = float;
  static uint32_t word(float f) noexcept { return bits_of(f); }
};
// The float that equals f rounded to bfloat16: tensor/dtype.h, f32_to_bf16.
struct Rounded {
  using Element = float;
  static uint32_t word(float f) noexcept {
    const uint32_t u = bits_of(f);
    const uint32_t rounded = (u + 0x7FFFu + (u >> 16 & 1u)) & 0xFFFF0000u;
    return (u & 0x7FFFFFFFu) > 0x7F800000u ? (u & 0xFFFF0000u) | 0x400000u : rounded;
  }
};

// Stored bfloat16 as the float that it is.
struct Widened {
  using Element = uint16_t;
  static uint32_t word(uint16_t bf16) noexcept { return uint32_t{bf16} << 16; }
};

int64_t whole_blocks(int64_t words) noexcept { return (words + kWordBlock - 1) / kWordBlock * kWordBlock; }

template <class Words, int64_t kRows, bool transposed>
void pack_a(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  for (int64_t k = 0; k < depth; k += kWordBlock, panel += kRows * kWordBlock) {
    const int64_t left = depth - k < kWordBlock ? depth - k : kWordBlock;
    for (int64_t i = 0; i < n; ++i) {
      uint32_t* row = panel + i * kWordBlock;
      for (int64_t d = 0; d < left; ++d)
        row[d] = Words::word(transposed ? src[(k + d) * stride + i] : src[i * stride + k + d]);
      for (int64_t d = left; d < kWordBlock; ++d) row[d] = 0;
    }
  }
}

template <class Words, int64_t kCols, bool transposed>
void pack_b(const typename Words::Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept {
  for (int64_t k = 0; k < depth; ++k, panel += kCols) {
    for (int64_t j = 0; j < n; ++j) panel[j] = Words::word(transposed ? src[j * stride + k] : src[k * stride + j]);
    for (int64_t j = n; j < kCols; ++j) panel[j] = 0;
  }
  for (int64_t i = 0; i < (whole_blocks(depth) - depth) * kCols; ++i) panel[i] = 0;
}

template <class Words, int64_t kRows, int64_t kCols>
constexpr GemmPacking<typename Words::Element> packing() noexcept {
  return {pack_a<Words, kRows, false>, pack_a<Words, kRows, true>, pack_b<Words, kCols, false>,
          pack_b<Words, kCols, true>};
}
