// The driver of the large products with every kernel that this machine can run, whatever FATHOM_ISA says.
#include "kernels/matmul/gemm.h"

#include <bit>

#include "kernels/dispatch.h"
#include "kernels/product_check.h"

namespace fathom {
namespace {

struct Shape {
  int64_t M, N, K;
};
// Around tiles and blocks; more than one round of depth (1024 words); c with rows far apart, summed in scratch.
constexpr Shape kShapes[] = {{1, 1, 1},    {2, 5, 3},     {13, 33, 17},   {17, 31, 100},  {33, 257, 65},
                             {31, 100, 2}, {100, 47, 47}, {29, 35, 2081}, {300, 523, 70}, {3, 17, 4129}};

// c (+)= a b with a and b stored as they are or transposed.
void multiply(ThreadPool* pool, const GemmKernel& kernel, Element a, Element b, Padded& c, bool add) {
  const GemmProblem p{.m = c.rows,
                      .n = c.cols,
                      .k = a.transposed ? a.m.rows : a.m.cols,
                      .a = a.m,
                      .a_transposed = a.transposed,
                      .b = WeightRows(kernels(), b.m),
                      .b_transposed = b.transposed,
                      .c = c.view().data,
                      .c_stride = c.stride,
                      .add = add};
  gemm(pool, kernel, {&p, 1});
}

TEST(Gemm, EveryKernelStaysWithinTheRoundingBoundOfTheDefinition) {
  ThreadPool pool(2);
  for (const MatmulPrecision products : kProducts)
    for (const GemmKernel* kernel : runnable_gemm_kernels(products))
      for (const Shape& s : kShapes)
        for (const int form : {0, 1, 2, 3}) {
          SCOPED_TRACE(std::string(kernel->name) + " " + name(products) + " form " + std::to_string(form) + " M " +
                       std::to_string(s.M) + " N " + std::to_string(s.N) + " K " + std::to_string(s.K));
          const bool at = form % 2 != 0, bt = form / 2 != 0, add = form == 1;
          const Padded a(at ? s.K : s.M, at ? s.M : s.K, 3, 1), b(bt ? s.N : s.K, bt ? s.K : s.N, 1, 2);
          const int64_t gap = s.N > 500 ? 700 : 5;
          const Padded before(s.M, s.N, gap, 3);
          Padded zero = before, c = before;
          std::fill(zero.data.begin(), zero.data.end(), 0.0f);
          const Element ae{products, a.view(), at}, be{products, b.view(), bt};
          multiply(form == 0 ? nullptr : &pool, *kernel, ae, be, c, add);
          expect_product(ae, be, s.K, add ? before.view() : zero.view(), c.view());
          c.expect_gaps_of(before);
          ASSERT_FALSE(testing::Test::HasFailure());
        }
}

// Float rows are read where they lie unless a page lies between them: both ways give the same bits.
TEST(Gemm, RowsAPageApartGiveTheBitsOfRowsElsewhere) {
  const int64_t M = 37, N = 40, K = 1024;
  const Padded apart(M, K, 0, 1), b(N, K, 3, 2);
  Padded elsewhere(M, K, 1, 4);
  for (int64_t i = 0; i < M; ++i)
    for (int64_t k = 0; k < K; ++k) elsewhere.view()(i, k) = apart.view()(i, k);
  for (const MatmulPrecision products : kProducts)
    for (const GemmKernel* kernel : runnable_gemm_kernels(products)) {
      Padded c(M, N, 0, 3), same(M, N, 0, 5);
      const Element be{products, b.view(), true};
      multiply(nullptr, *kernel, of(products, apart.view()), be, c, false);
      multiply(nullptr, *kernel, of(products, elsewhere.view()), be, same, false);
      for (int64_t i = 0; i < M; ++i)
        for (int64_t j = 0; j < N; ++j) ASSERT_EQ(c.view()(i, j), same.view()(i, j)) << kernel->name;
    }
}

// Rows rounded before are the operand that the kernel rounds itself, read in place, packed or transposed.
TEST(Gemm, StoredBfloat16GivesTheBitsOfFloatsThatAreRounded) {
  ThreadPool pool(2);
  for (const GemmKernel* kernel : runnable_gemm_kernels(MatmulPrecision::bf16))
    for (const Shape& s : kShapes)
      for (const int form : {0, 1, 2, 3}) {
        SCOPED_TRACE(std::string(kernel->name) + " form " + std::to_string(form) + " M " + std::to_string(s.M) + " N " +
                     std::to_string(s.N) + " K " + std::to_string(s.K));
        const bool at = form % 2 != 0, bt = form / 2 != 0;
        const Padded a(at ? s.K : s.M, at ? s.M : s.K, 2, 1), b(bt ? s.N : s.K, bt ? s.K : s.N, 1, 2);
        const auto rounded = [&](const Padded& m) {
          std::vector<uint16_t> out(static_cast<size_t>(m.rows * m.stride));
          for (int64_t i = 0; i < m.rows; ++i) kernel->round_row(m.view().row(i), m.cols, out.data() + i * m.stride);
          return out;
        };
        const std::vector<uint16_t> stored_a = rounded(a), stored_b = rounded(b);
        Padded c(s.M, s.N, 0, 3), same(s.M, s.N, 0, 4);
        const auto run = [&](const AnyRows& left, const AnyRows& right, Padded& out) {
          const GemmProblem p{.m = s.M,
                              .n = s.N,
                              .k = s.K,
                              .a = left,
                              .a_transposed = at,
                              .b = WeightRows(kernels(), right),
                              .b_transposed = bt,
                              .c = out.view().data,
                              .c_stride = out.stride};
          gemm(&pool, *kernel, {&p, 1});
        };
        run(a.view(), b.view(), c);
        run(MatView<const uint16_t>(stored_a.data(), a.rows, a.cols, a.stride),
            MatView<const uint16_t>(stored_b.data(), b.rows, b.cols, b.stride), same);
        for (int64_t i = 0; i < s.M; ++i)
          for (int64_t j = 0; j < s.N; ++j) ASSERT_EQ(c.view()(i, j), same.view()(i, j));
      }
}

TEST(Gemm, BitsOfARowDoNotDependOnTheOtherRowsNorOnThreads) {
  ThreadPool pool(3);
  const int64_t M = 135, N = 67, K = 2150;
  const Padded a(M, K, 1, 1), b(K, N, 0, 2);
  for (const MatmulPrecision products : kProducts)
    for (const GemmKernel* kernel : runnable_gemm_kernels(products)) {
      Padded all(M, N, 0, 3);
      multiply(&pool, *kernel, of(products, a.view()), of(products, b.view()), all, false);
      for (const int64_t n : {1, 7, 17, 100}) {
        Padded part(n, N, 700, 4), summed(n, N, 0, 5);
        const MatView<const float> rows = a.view().sub_rows(19, n);
        multiply(nullptr, *kernel, of(products, rows), of(products, b.view()), part, false);
        // In two pieces of depth: as weight gradients of two micro-batches are.
        multiply(nullptr, *kernel, of(products, rows.sub_cols(0, 352)), of(products, b.view().sub_rows(0, 352)), summed,
                 false);
        multiply(&pool, *kernel, of(products, rows.sub_cols(352, K - 352)),
                 of(products, b.view().sub_rows(352, K - 352)), summed, true);
        for (int64_t i = 0; i < n; ++i)
          for (int64_t j = 0; j < N; ++j) {
            ASSERT_EQ(part.view()(i, j), all.view()(19 + i, j)) << kernel->name << " " << n << " rows";
            ASSERT_EQ(summed.view()(i, j), all.view()(19 + i, j)) << kernel->name << " " << n << " rows in two pieces";
          }
      }
    }
}

// What a sum over nothing is, and that operands of the padding do not reach c.
TEST(Gemm, NotANumberStaysInItsRowAndColumnAndNoDepthIsZero) {
  for (const MatmulPrecision products : kProducts)
    for (const GemmKernel* kernel : runnable_gemm_kernels(products)) {
      Padded a(35, 37, 0, 1), c(35, 41, 2, 3);
      const Padded b(37, 41, 0, 2);
      a.view()(7, 36) = NAN;
      multiply(nullptr, *kernel, of(products, a.view()), of(products, b.view()), c, false);
      for (int64_t i = 0; i < 35; ++i)
        for (int64_t j = 0; j < 41; ++j) ASSERT_EQ(std::isnan(c.view()(i, j)), i == 7) << kernel->name << " " << i;
      multiply(nullptr, *kernel, of(products, MatView<const float>(a.data.data(), 35, 0, 1)),
               of(products, MatView<const float>(a.data.data(), 0, 41, 41)), c, false);
      for (int64_t i = 0; i < 35; ++i)
        for (int64_t j = 0; j < 41; ++j) ASSERT_EQ(c.view()(i, j), 0.0f) << kernel->name;
    }
}

TEST(Gemm, Bfloat16IsRoundedToNearestEvenExactly) {
  // 1 + 2^-8 lies between two bfloat16 and goes to the even one below, 1 + 3 * 2^-8 to the even one above.
  const std::vector<float> values = {1.0f,        1.00390625f, 1.01171875f, -1.00390625f,
                                     1.00390637f, 3e38f,       -0.0f,       0x1p-126f};
  const std::vector<float> one = {1.0f};
  for (const GemmKernel* kernel : runnable_gemm_kernels(MatmulPrecision::bf16)) {
    const auto n = static_cast<int64_t>(values.size());
    Padded c(n, 1, 0, 1), ct(1, n, 0, 1);
    multiply(nullptr, *kernel, of(MatmulPrecision::bf16, mat(values, n, 1)), of(MatmulPrecision::bf16, mat(one, 1, 1)),
             c, false);
    multiply(nullptr, *kernel, of(MatmulPrecision::bf16, mat(one, 1, 1)), of(MatmulPrecision::bf16, mat(values, 1, n)),
             ct, false);
    for (int64_t i = 0; i < n; ++i) {
      const float want = bf16_to_f32(f32_to_bf16(values[static_cast<size_t>(i)]));
      EXPECT_EQ(c.view()(i, 0), want) << kernel->name << " " << i;
      EXPECT_EQ(ct.view()(0, i), want) << kernel->name << " " << i;
    }
  }
}

// A signalling NaN's payload must not round up into infinity.
TEST(Gemm, Bfloat16KeepsEveryNotANumber) {
  const float signalling = std::bit_cast<float>(0x7F800001u), negative = std::bit_cast<float>(0xFF800001u);
  for (const GemmKernel* kernel : runnable_gemm_kernels(MatmulPrecision::bf16)) {
    Padded c(2, 1, 0, 1), ct(1, 2, 0, 1);
    const std::vector<float> values = {signalling, negative}, one = {1.0f};
    multiply(nullptr, *kernel, of(MatmulPrecision::bf16, mat(values, 2, 1)), of(MatmulPrecision::bf16, mat(one, 1, 1)),
             c, false);
    multiply(nullptr, *kernel, of(MatmulPrecision::bf16, mat(one, 1, 1)), of(MatmulPrecision::bf16, mat(values, 1, 2)),
             ct, false);
    for (int64_t i = 0; i < 2; ++i) {
      EXPECT_TRUE(std::isnan(c.view()(i, 0))) << kernel->name;
      EXPECT_TRUE(std::isnan(ct.view()(0, i))) << kernel->name;
    }
  }
}

TEST(GemmDispatch, TheInstructionSetAndTheCpuDecide) {
  const auto chosen = [](MatmulPrecision p, std::string_view forced, const CpuFeatures& cpu) -> std::string {
    return choose_gemm_kernel(p, forced, cpu).name;
  };
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "", CpuFeatures{}), "ref");
#if defined(__x86_64__)
  const CpuFeatures intel{.avx2 = true, .avx512 = true, .avx512_bf16 = true, .avx512_vnni = true, .amx = true};
  const CpuFeatures amd{.avx2 = true, .avx512 = true, .avx512_bf16 = true, .fast_bf16_dot = true};
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "", intel), "amx");
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "amx", intel), "amx");
  EXPECT_EQ(chosen(MatmulPrecision::f32, "", intel), "avx512");
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "avx512", intel), "avx512");
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "", amd), "avx512_bf16");
  EXPECT_EQ(chosen(MatmulPrecision::bf16, "avx512", amd), "avx512_bf16");
  for (const MatmulPrecision p : kProducts) {
    EXPECT_EQ(chosen(p, "avx2", intel), "avx2");
    EXPECT_EQ(chosen(p, "ref", intel), "ref");
    EXPECT_EQ(chosen(p, "", CpuFeatures{.avx2 = true}), "avx2");
  }
#endif
}

}  // namespace
}  // namespace fathom
