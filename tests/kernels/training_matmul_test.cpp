// The products of training, with the kernels of this process: run under each FATHOM_ISA.
#include "kernels/matmul/training_matmul.h"

#include <gtest/gtest.h>

#include "kernels/product_check.h"
#include "quant/decode.h"

namespace fathom {
namespace {

Weight weight_of(const std::vector<float>& w, int64_t rows, int64_t cols) {
  return {.dtype = DType::f32, .rows = rows, .cols = cols, .data = reinterpret_cast<const std::byte*>(w.data())};
}

struct Shape {
  int64_t M, N, K;
};
// Around the tiles (14, 16, 32 rows; 16, 32 columns; 16, 32 in depth) and blocks (256, 512, 2048) of the kernels.
constexpr Shape kShapes[] = {{1, 1, 1},    {3, 17, 33},  {17, 33, 3},   {33, 100, 17},  {100, 31, 101}, {13, 257, 64},
                             {64, 64, 64}, {2, 5, 2053}, {47, 32, 515}, {300, 65, 256}, {15, 300, 1},   {32, 16, 32}};

TEST(GemmSerial, EveryShapeStaysWithinTheRoundingBoundOfTheDefinition) {
  for (const MatmulPrecision p : kProducts)
    for (const Shape& s : kShapes)
      for (const bool add : {false, true}) {
        SCOPED_TRACE(std::string(name(p)) + (add ? " +=" : " =") + " M " + std::to_string(s.M) + " N " +
                     std::to_string(s.N) + " K " + std::to_string(s.K));
        const Padded a(s.M, s.K, 3, 1), b(s.K, s.N, 5, 2), at(s.K, s.M, 1, 3), bt(s.N, s.K, 0, 4);
        const Padded before(s.M, s.N, 7, 5);
        std::vector<float> zero(static_cast<size_t>(s.M * s.N));
        const MatView<const float> start = add ? before.view() : MatView<const float>(zero.data(), s.M, s.N);
        Padded nn = before, nt = before, tn = before;
        gemm_nn_serial(p, a.view(), b.view(), nn.view(), add);
        expect_product(of(p, a.view()), of(p, b.view()), s.K, start, nn.view());
        gemm_nt_serial(p, a.view(), bt.view(), nt.view(), add);
        expect_product(of(p, a.view()), transposed(of(p, bt.view())), s.K, start, nt.view());
        gemm_tn_serial(p, at.view(), b.view(), tn.view(), add);
        expect_product(transposed(of(p, at.view())), of(p, b.view()), s.K, start, tn.view());
        for (const Padded* c : {&nn, &nt, &tn}) c->expect_gaps_of(before);
      }
}

TEST(Linear, ForwardInputAndWeightGradientStayWithinTheRoundingBound) {
  for (const MatmulPrecision p : kProducts)
    for (const int threads : {1, 3})
      for (const Shape& s : kShapes) {
        SCOPED_TRACE(std::string(name(p)) + " T " + std::to_string(s.M) + " N " + std::to_string(s.N) + " K " +
                     std::to_string(s.K));
        ThreadPool pool(threads);
        const int64_t T = s.M;
        const Padded x(T, s.K, 3, 1), dy(T, s.N, 5, 2);
        const auto values = random_floats(s.N * s.K, 3);
        const Weight w = weight_of(values, s.N, s.K);
        const Element we = of(p, mat(values, s.N, s.K));
        Padded y(T, s.N, 2, 6), dx(T, s.K, 2, 7), dw(s.N, s.K, 2, 8);
        const Padded dx_before = dx, dw_before = dw;
        const Padded zero_y = [&] {
          Padded z(T, s.N, 2, 6);
          std::fill(z.data.begin(), z.data.end(), 0.0f);
          return z;
        }();
        linear(pool, p, x.view(), w, y.view());
        expect_product(of(p, x.view()), transposed(we), s.K, zero_y.view(), y.view());
        linear_dinput(pool, p, dy.view(), w, added_to(dx.view()));
        expect_product(of(p, dy.view()), we, s.N, dx_before.view(), dx.view());
        linear_dweight(pool, p, dy.view(), x.view(), dw.view());
        expect_product(transposed(of(p, dy.view())), of(p, x.view()), T, dw_before.view(), dw.view());
        dx.expect_gaps_of(dx_before);
        dw.expect_gaps_of(dw_before);
      }
}

TEST(Linear, WeightsOfEveryTypeAreDecodedExactly) {
  ThreadPool pool(2);
  const int64_t T = 5, N = 35, K = 512;
  const Padded x(T, K, 0, 1), dy(T, N, 0, 2);
  for (const DTypeInfo& d : kDTypes)
    for (const MatmulPrecision p : kProducts) {
      SCOPED_TRACE(std::string(d.name) + " " + name(p));
      const StoredWeight stored = random_weight(d.dtype, N, K, 5, 1);  // not aligned
      std::vector<float> values(static_cast<size_t>(N * K)), zero(static_cast<size_t>(T * K));
      for (int64_t r = 0; r < N; ++r) decode_row(stored.w, r, values.data() + r * K);
      Padded y(T, N, 0, 3), dx(T, K, 0, 4);
      linear(pool, p, x.view(), stored.w, y.view());
      expect_product(of(p, x.view()), transposed(of(p, mat(values, N, K))), K, {zero.data(), T, N}, y.view());
      linear_dinput(pool, p, dy.view(), stored.w, into(dx.view()));
      expect_product(of(p, dy.view()), of(p, mat(values, N, K)), N, {zero.data(), T, K}, dx.view());
    }
}

struct Bits {
  std::vector<float> y, dx, dw;
  bool operator==(const Bits&) const = default;
};
// Rows first .. first+n-1 of x and dy, with w.
Bits products_of(ThreadPool& pool, MatmulPrecision p, const std::vector<float>& x, const std::vector<float>& dy,
                 const Weight& w, int64_t first, int64_t n) {
  const int64_t N = w.rows, K = w.cols, T = static_cast<int64_t>(x.size()) / K;
  Bits b{std::vector<float>(static_cast<size_t>(n * N), NAN), std::vector<float>(static_cast<size_t>(n * K), NAN),
         std::vector<float>(static_cast<size_t>(N * K))};
  const auto xs = mat(x, T, K).sub_rows(first, n), dys = mat(dy, T, N).sub_rows(first, n);
  linear(pool, p, xs, w, mat(b.y, n, N));
  linear_dinput(pool, p, dys, w, into(mat(b.dx, n, K)));
  linear_dweight(pool, p, dys, xs, mat(b.dw, N, K));
  return b;
}

TEST(Linear, BitsDoNotDependOnThreadsOnTheOtherRowsOrOnTheBlocks) {
  const int64_t T = 197, N = 133, K = 290;
  const auto x = random_floats(T * K, 1), dy = random_floats(T * N, 2), values = random_floats(N * K, 3);
  const Weight w = weight_of(values, N, K);
  for (const MatmulPrecision p : kProducts) {
    SCOPED_TRACE(name(p));
    ThreadPool one(1), two(2), five(5);
    const Bits all = products_of(one, p, x, dy, w, 0, T);
    EXPECT_EQ(products_of(two, p, x, dy, w, 0, T), all) << "two threads";
    EXPECT_EQ(products_of(five, p, x, dy, w, 0, T), all) << "five threads";
    for (const int64_t n : {1, 2, 3, 13, 33, 150})
      for (const int64_t first : {0, 41}) {
        const Bits part = products_of(two, p, x, dy, w, first, n);
        EXPECT_TRUE(std::equal(part.y.begin(), part.y.end(), all.y.begin() + first * N)) << n << " from " << first;
        EXPECT_TRUE(std::equal(part.dx.begin(), part.dx.end(), all.dx.begin() + first * K)) << n << " from " << first;
      }
    std::vector<float> serial(all.y.size(), NAN);
    gemm_nt_serial(p, mat(x, T, K), mat(values, N, K), mat(serial, T, N), false);
    EXPECT_EQ(serial, all.y);
  }
}

TEST(LinearDweight, MicroBatchesOfWholeRowBlocksSumToTheSameBits) {
  const int64_t T = 8 * kRowBlock, N = 50, K = 70;
  const auto x = random_floats(T * K, 1), dy = random_floats(T * N, 2), before = random_floats(N * K, 3);
  ThreadPool pool(2);
  for (const MatmulPrecision p : kProducts) {
    auto once = before;
    linear_dweight(pool, p, mat(dy, T, N), mat(x, T, K), mat(once, N, K));
    for (const int64_t rows : {kRowBlock, 2 * kRowBlock, 4 * kRowBlock, 5 * kRowBlock}) {
      auto many = before;
      for (int64_t t = 0; t < T; t += rows) {
        const int64_t n = std::min(rows, T - t);
        linear_dweight(pool, p, mat(dy, T, N).sub_rows(t, n), mat(x, T, K).sub_rows(t, n), mat(many, N, K));
      }
      EXPECT_EQ(many, once) << name(p) << ", " << rows << " rows at a time";
    }
  }
}

TEST(GroupedLinear, EqualsTheProductsOfEachExpertBitForBit) {
  const int64_t N = 48, K = 65;
  const std::vector<int64_t> offsets = {0, 3, 3, 143, 144, 144, 146, 179, 179};
  const size_t E = offsets.size() - 1;
  const int64_t T = offsets.back();
  const auto x = random_floats(T * K, 1), dy = random_floats(T * N, 2), before = random_floats(N * K, 4);
  for (const MatmulPrecision p : kProducts)
    for (const int threads : {1, 3}) {
      SCOPED_TRACE(name(p));
      ThreadPool pool(threads);
      std::vector<std::vector<float>> values, grads(E, before), want_grads(E, before);
      std::vector<Weight> weights;
      std::vector<MatView<float>> dw;
      for (size_t e = 0; e < E; ++e) values.push_back(random_floats(N * K, 10 + e));
      for (size_t e = 0; e < E; ++e) weights.push_back(weight_of(values[e], N, K));
      for (size_t e = 0; e < E; ++e) dw.push_back(mat(grads[e], N, K));
      std::vector<float> y(static_cast<size_t>(T * N), NAN), dx(static_cast<size_t>(T * K), 1.0f);
      auto want_y = y, want_dx = dx;
      grouped_linear(pool, p, mat(x, T, K), offsets, weights, mat(y, T, N));
      grouped_linear_dinput(pool, p, mat(dy, T, N), offsets, weights, added_to(mat(dx, T, K)));
      grouped_linear_dweight(pool, p, mat(dy, T, N), mat(x, T, K), offsets, dw);
      for (size_t e = 0; e < E; ++e) {
        const int64_t first = offsets[e], n = offsets[e + 1] - first;
        const auto xs = mat(x, T, K).sub_rows(first, n), dys = mat(dy, T, N).sub_rows(first, n);
        linear(pool, p, xs, weights[e], mat(want_y, T, N).sub_rows(first, n));
        linear_dinput(pool, p, dys, weights[e], added_to(mat(want_dx, T, K).sub_rows(first, n)));
        linear_dweight(pool, p, dys, xs, mat(want_grads[e], N, K));
      }
      EXPECT_EQ(y, want_y);
      EXPECT_EQ(dx, want_dx);
      EXPECT_EQ(grads, want_grads);
    }
}

TEST(GroupedLinear, NoRowsAtAllIsNoWork) {
  ThreadPool pool(2);
  const auto values = random_floats(8 * 16, 1);
  const std::vector<Weight> weights(3, weight_of(values, 8, 16));
  const std::vector<int64_t> offsets(4, 0);
  auto grad = values;
  const std::vector<MatView<float>> dw(3, mat(grad, 8, 16));
  const MatView<const float> x(nullptr, 0, 16), dy(nullptr, 0, 8);
  for (const MatmulPrecision p : kProducts) {
    grouped_linear(pool, p, x, offsets, weights, MatView<float>(nullptr, 0, 8));
    grouped_linear_dinput(pool, p, dy, offsets, weights, added_to(MatView<float>(nullptr, 0, 16)));
    grouped_linear_dweight(pool, p, dy, x, offsets, dw);
    linear_dweight(pool, p, dy, x, dw[0]);
  }
  EXPECT_EQ(grad, values);
}

TEST(LinearDeathTest, WrongShapesEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto values = random_floats(8 * 16, 1);
  std::vector<float> x(64), y(64);
  ThreadPool pool(1);
  EXPECT_DEATH(gemm_nt_serial(MatmulPrecision::f32, mat(x, 2, 15), mat(values, 8, 16), mat(y, 2, 8), false), "linear");
  EXPECT_DEATH(linear(pool, MatmulPrecision::bf16, mat(x, 2, 16), weight_of(values, 8, 16), mat(y, 3, 8)), "linear");
  EXPECT_DEATH(linear_dweight(pool, MatmulPrecision::f32, mat(x, 2, 8), mat(x, 3, 16), mat(y, 8, 8)), "linear");
  const std::vector<int64_t> falling = {0, 2, 1, 3};
  const std::vector<Weight> weights(3, weight_of(values, 8, 16));
  EXPECT_DEATH(grouped_linear(pool, MatmulPrecision::f32, mat(x, 3, 16), falling, weights, mat(y, 3, 8)), "offsets");
}

}  // namespace
}  // namespace fathom
