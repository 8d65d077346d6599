// The matrix products, with the table of this process: run under each FATHOM_ISA.
#include "kernels/matmul/float_matmul.h"

#include <gtest/gtest.h>

#include "kernels/inputs.h"
#include "kernels/ref/matmul.h"
#include "quant/decode.h"

namespace fathom {
namespace {

std::vector<float> decoded(const Weight& w) {
  std::vector<float> out(static_cast<size_t>(w.rows * w.cols));
  for (int64_t r = 0; r < w.rows; ++r) decode_row(w, r, out.data() + r * w.cols);
  return out;
}

std::vector<double> magnitudes(std::vector<double> x) {
  for (double& v : x) v = std::abs(v);
  return x;
}

std::vector<float> product(ThreadPool& pool, const std::vector<float>& x, int64_t T, const Weight& w) {
  std::vector<float> y(static_cast<size_t>(T * w.rows), NAN);
  matmul(pool, mat(x, T, w.cols), w, mat(y, T, w.rows));
  return y;
}
std::vector<float> product_transposed(const std::vector<float>& x, int64_t T, const Weight& w) {
  std::vector<float> y(static_cast<size_t>(T * w.cols), NAN);
  matmul_transposed_serial(mat(x, T, w.rows), w, mat(y, T, w.cols));
  return y;
}

struct Shape {
  int64_t T, N, K;
};
// Around the blocks of matmul.cpp (16 rows, 128 tokens, 512 columns); columns of whole super-blocks.
constexpr Shape kShapes[] = {{1, 1, 256},  {1, 64, 2048},  {3, 17, 512},   {5, 33, 768},
                             {8, 16, 256}, {130, 40, 256}, {129, 19, 1024}};

TEST(Matmul, EveryTypeStaysWithinTheRoundingBoundOfTheDefinition) {
  ThreadPool pool(2);
  for (const DTypeInfo& d : kDTypes)
    for (const Shape& s : kShapes) {
      SCOPED_TRACE(std::string(d.name) + " T " + std::to_string(s.T) + " N " + std::to_string(s.N) + " K " +
                   std::to_string(s.K));
      const StoredWeight stored = random_weight(d.dtype, s.N, s.K, 5);
      const auto w = to_double(decoded(stored.w));
      const auto x = random_floats(s.T * s.K, 6);
      std::vector<double> want(static_cast<size_t>(s.T * s.N)), size(want.size());
      ref::matmul(to_double(x).data(), w.data(), want.data(), s.T, s.N, s.K);
      ref::matmul(magnitudes(to_double(x)).data(), magnitudes(w).data(), size.data(), s.T, s.N, s.K);
      const auto y = product(pool, x, s.T, stored.w);
      const double roundings = std::ceil(static_cast<double>(s.K) / static_cast<double>(kernels().lanes)) + 5;
      for (size_t i = 0; i < y.size(); ++i) ASSERT_LE(std::abs(y[i] - want[i]), roundings * kEpsF32 * size[i]) << i;
    }
}

TEST(MatmulTransposed, EveryTypeStaysWithinTheRoundingBoundOfTheDefinition) {
  for (const DTypeInfo& d : kDTypes)
    for (const Shape& s : kShapes) {
      SCOPED_TRACE(std::string(d.name) + " T " + std::to_string(s.T) + " N " + std::to_string(s.N) + " K " +
                   std::to_string(s.K));
      const StoredWeight stored = random_weight(d.dtype, s.N, s.K, 5);
      const auto w = to_double(decoded(stored.w));
      const auto x = random_floats(s.T * s.N, 6);
      std::vector<double> want(static_cast<size_t>(s.T * s.K)), size(want.size());
      ref::matmul_transposed(to_double(x).data(), w.data(), want.data(), s.T, s.N, s.K);
      ref::matmul_transposed(magnitudes(to_double(x)).data(), magnitudes(w).data(), size.data(), s.T, s.N, s.K);
      const auto y = product_transposed(x, s.T, stored.w);
      for (size_t i = 0; i < y.size(); ++i)
        ASSERT_LE(std::abs(y[i] - want[i]), static_cast<double>(s.N + 1) * kEpsF32 * size[i]) << i;
    }
}

TEST(Matmul, BitsDependOnTheRowAndTheTokenAlone) {
  const int64_t T = 135, N = 37, K = 768;
  for (const DTypeInfo& d : kDTypes) {
    SCOPED_TRACE(std::string(d.name));
    const StoredWeight stored = random_weight(d.dtype, N, K, 5), moved = random_weight(d.dtype, N, K, 5, 1);
    const auto x = random_floats(T * K, 6), xt = random_floats(T * N, 7);
    ThreadPool one(1), two(2), five(5);
    const auto y = product(one, x, T, stored.w), z = product_transposed(xt, T, stored.w);
    EXPECT_EQ(product(two, x, T, stored.w), y) << "two threads";
    EXPECT_EQ(product(five, x, T, stored.w), y) << "five threads";
    EXPECT_EQ(product(two, x, T, moved.w), y) << "unaligned weights";
    EXPECT_EQ(product_transposed(xt, T, moved.w), z) << "transposed, unaligned weights";
    std::vector<float> serial(y.size());
    matmul_serial(mat(x, T, K), stored.w, mat(serial, T, N));
    EXPECT_EQ(serial, y);
    for (int64_t n : {1, 2, 3, 7, 64})  // the first n tokens, and n in the middle
      for (int64_t first : {int64_t{0}, int64_t{41}}) {
        const std::vector<float> part(x.begin() + first * K, x.begin() + (first + n) * K);
        const std::vector<float> want(y.begin() + first * N, y.begin() + (first + n) * N);
        EXPECT_EQ(product(two, part, n, stored.w), want) << n << " tokens from " << first;
        const std::vector<float> part_t(xt.begin() + first * N, xt.begin() + (first + n) * N);
        const std::vector<float> want_t(z.begin() + first * K, z.begin() + (first + n) * K);
        EXPECT_EQ(product_transposed(part_t, n, stored.w), want_t) << n << " tokens from " << first;
      }
    for (int64_t row : {0, 5, 36}) {
      const auto alone = product(two, x, T, stored.w.sub_rows(row, 1));
      for (int64_t t = 0; t < T; ++t)
        ASSERT_EQ(alone[static_cast<size_t>(t)], y[static_cast<size_t>(t * N + row)])
            << "row " << row << " token " << t;
    }
  }
}

TEST(Matmul, RowsOfAnyLengthForTypesWithoutBlocks) {
  ThreadPool pool(2);
  for (DType t : {DType::f32, DType::f16, DType::bf16, DType::f8_e4m3})
    for (int64_t K : {1, 3, 17, 100, 257, 700}) {
      const int64_t T = 5, N = 9;
      const StoredWeight stored = random_weight(t, N, K, 5);
      const auto w = to_double(decoded(stored.w));
      const auto x = random_floats(T * K, 6);
      std::vector<double> want(static_cast<size_t>(T * N)), size(want.size());
      ref::matmul(to_double(x).data(), w.data(), want.data(), T, N, K);
      ref::matmul(magnitudes(to_double(x)).data(), magnitudes(w).data(), size.data(), T, N, K);
      const auto y = product(pool, x, T, stored.w);
      for (size_t i = 0; i < y.size(); ++i)
        ASSERT_LE(std::abs(y[i] - want[i]), static_cast<double>(K + 5) * kEpsF32 * size[i]) << name(t) << " K " << K;
    }
}

TEST(Matmul, StridesAreRespectedAndNothingElseIsWritten) {
  const int64_t T = 5, N = 19, K = 300;
  const auto x = random_floats(T * (K + 7), 1);
  const StoredWeight w = random_weight(DType::f32, N, K, 2);
  const MatView<const float> xs(x.data(), T, K, K + 7);
  std::vector<float> packed_x, want(T * N), got(T * (N + 4), -1.0f);
  for (int64_t t = 0; t < T; ++t) packed_x.insert(packed_x.end(), xs.row(t), xs.row(t) + K);
  matmul_serial(mat(packed_x, T, K), w.w, mat(want, T, N));
  matmul_serial(xs, w.w, MatView<float>(got.data(), T, N, N + 4));
  for (int64_t t = 0; t < T; ++t)
    for (int64_t n = 0; n < N + 4; ++n)
      ASSERT_EQ(got[static_cast<size_t>(t * (N + 4) + n)], n < N ? want[static_cast<size_t>(t * N + n)] : -1.0f);
}

TEST(GroupedMatmul, EqualsMatmulOfEachExpertBitForBit) {
  const int64_t N = 48, K = 256, E = 6;
  const int64_t counts[E] = {3, 0, 140, 1, 0, 20};
  for (DType t : {DType::f32, DType::bf16, DType::q8_0, DType::q4_0, DType::q4_k}) {
    std::vector<StoredWeight> stored;
    std::vector<Weight> weights;
    std::vector<int64_t> offsets = {0};
    for (int64_t e = 0; e < E; ++e) {
      stored.push_back(random_weight(t, N, K, static_cast<uint64_t>(e)));
      weights.push_back(stored.back().w);
      offsets.push_back(offsets.back() + counts[e]);
    }
    const int64_t T = offsets.back();
    const auto x = random_floats(T * K, 9);
    ThreadPool pool(3);
    std::vector<float> got(static_cast<size_t>(T * N), NAN), want;
    grouped_matmul(pool, mat(x, T, K), offsets, weights, mat(got, T, N));
    for (size_t e = 0; e < E; ++e) {
      const std::vector<float> rows(x.begin() + offsets[e] * K, x.begin() + offsets[e + 1] * K);
      const auto part = product(pool, rows, counts[e], weights[e]);
      want.insert(want.end(), part.begin(), part.end());
    }
    EXPECT_EQ(got, want) << name(t);
  }
}

TEST(GroupedMatmul, NoTokensAtAllIsNoWork) {
  ThreadPool pool(2);
  const StoredWeight stored = random_weight(DType::f32, 8, 16, 1);
  const std::vector<Weight> weights(3, stored.w);
  const std::vector<int64_t> offsets(4, 0);
  grouped_matmul(pool, MatView<const float>(nullptr, 0, 16), offsets, weights, MatView<float>(nullptr, 0, 8));
}

TEST(GatherRows, DecodesTheRowsOfTheIds) {
  const int64_t N = 300, K = 512;
  const std::vector<int32_t> ids = {299, 0, 7, 7, 130};
  for (const DTypeInfo& d : kDTypes) {
    const StoredWeight stored = random_weight(d.dtype, N, K, 5);
    const auto table = decoded(stored.w);
    std::vector<float> y(ids.size() * K), want;
    gather_rows(stored.w, ids, mat(y, static_cast<int64_t>(ids.size()), K));
    for (int32_t id : ids) want.insert(want.end(), table.begin() + id * K, table.begin() + (id + 1) * K);
    EXPECT_EQ(y, want) << d.name;
  }
}

TEST(Matmul, ASubViewOfFp8RowsFindsItsScales) {
  const StoredWeight stored = random_weight(DType::f8_e4m3, 300, 384, 5);
  const Weight part = stored.w.sub_rows(120, 20);  // crosses the border of two scale blocks
  const auto all = decoded(stored.w);
  std::vector<float> y(20 * 384);
  std::vector<int32_t> ids(20);
  for (int32_t i = 0; i < 20; ++i) ids[static_cast<size_t>(i)] = i;
  gather_rows(part, ids, mat(y, 20, 384));
  EXPECT_EQ(y, std::vector<float>(all.begin() + 120 * 384, all.begin() + 140 * 384));
}

TEST(MatmulDeathTest, WrongShapesEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const StoredWeight stored = random_weight(DType::f32, 8, 16, 1);
  std::vector<float> x(32), y(64);
  EXPECT_DEATH(matmul_serial(mat(x, 2, 15), stored.w, mat(y, 2, 8)), "matmul");
  const int32_t outside[] = {8}, negative[] = {-1};
  EXPECT_DEATH(gather_rows(stored.w, outside, mat(y, 1, 16)), "ids inside");
  EXPECT_DEATH(gather_rows(stored.w, negative, mat(y, 1, 16)), "ids inside");
}

}  // namespace
}  // namespace fathom
