#include "kernels/ref/dot.h"

#include <gtest/gtest.h>

#include <cstring>

#include "kernels/inputs.h"

namespace fathom {
namespace {

// Around the vector widths and the unrolled loops, then real row lengths.
constexpr int64_t kLengths[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 128, 129, 576, 1408, 2048, 10944};

template <class A>
double magnitude(const A* a, const float* x, int64_t n) {  // sum of |a[i] x[i]|
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::abs(static_cast<double>(a[i]) * static_cast<double>(x[i]));
  return sum;
}

// No term meets more than n + 1 roundings (n additions and its product), whatever the order.
double dot_bound(int64_t n, double magnitude_of_terms) {
  return static_cast<double>(n + 1) * kEpsF32 * magnitude_of_terms;
}

TEST(Dot, EveryTableStaysWithinTheRoundingBoundOfTheDefinition) {
  for (int64_t n : kLengths)
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      const auto a = random_floats(n, 1), x = random_floats(n, 2);
      const double want = ref::dot(to_double(a).data(), to_double(x).data(), n);
      EXPECT_LE(std::abs(k->dot_f32(a.data(), x.data(), n) - want), dot_bound(n, magnitude(a.data(), x.data(), n)));
    }
}

TEST(Axpy, EveryTableStaysWithinTwoRoundingsOfTheDefinition) {
  for (int64_t n : kLengths)
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      const auto x = random_floats(n, 1), y = random_floats(n, 2);
      auto got = y, scaled = x;
      k->axpy_f32(0.7f, x.data(), got.data(), n);
      k->scale(0.7f, scaled.data(), n);
      for (size_t i = 0; i < y.size(); ++i) {
        const double p = double{0.7f} * double{x[i]}, y0 = double{y[i]};
        EXPECT_LE(std::abs(got[i] - (y0 + p)), kEpsF32 * (std::abs(p) + std::abs(y0 + p)) * 1.001);
        EXPECT_EQ(scaled[i], 0.7f * x[i]);
      }
    }
}

// Dot products of all rows of w with all rows of x by dot_tile, k in pieces.
std::vector<float> tile(const KernelTable& k, const std::vector<float>& w, int64_t n_rows, const std::vector<float>& x,
                        int64_t n_tokens, int64_t length, int64_t piece) {
  std::vector<float> acc(static_cast<size_t>(n_rows * n_tokens * k.lanes)), y(static_cast<size_t>(n_rows * n_tokens));
  for (int64_t i = 0; i < length; i += piece)
    k.dot_tile(w.data() + i, length, n_rows, x.data() + i, length, n_tokens, std::min(piece, length - i), acc.data(),
               n_rows * k.lanes);
  k.reduce_lanes(acc.data(), n_rows * n_tokens, y.data());
  return y;
}

TEST(DotTile, StaysWithinTheBoundOfItsOrderOfSummation) {
  for (int64_t n : kLengths)
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      const int64_t R = 5, T = 4;
      const auto w = random_floats(R * n, 1), x = random_floats(T * n, 2);
      const auto y = tile(*k, w, R, x, T, n, std::max<int64_t>(n, 1));
      // A lane adds n / lanes terms, then log2(lanes) folds; ref rounds its products too.
      const double roundings = std::ceil(static_cast<double>(n) / static_cast<double>(k->lanes)) + 5;
      for (int64_t t = 0; t < T; ++t)
        for (int64_t r = 0; r < R; ++r) {
          const float *wr = w.data() + r * n, *xt = x.data() + t * n;
          const double want =
              ref::dot(std::vector<double>(wr, wr + n).data(), std::vector<double>(xt, xt + n).data(), n);
          EXPECT_LE(std::abs(y[static_cast<size_t>(t * R + r)] - want), roundings * kEpsF32 * magnitude(wr, xt, n));
        }
    }
}

TEST(DotTile, OfBfloat16GivesTheBitsOfTheDecodedRows) {
  for (const int64_t n : kLengths)
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      const int64_t R = 13, T = 4;
      const auto x = random_floats(T * n, 2);
      auto w = random_floats(R * n, 1);
      std::vector<uint16_t> bf16;
      for (float& value : w) value = bf16_to_f32(bf16.emplace_back(f32_to_bf16(value)));
      const auto size = static_cast<size_t>(R * T * k->lanes);
      std::vector<float> want = random_floats(R * T * k->lanes, 3), got = want;
      k->dot_tile(w.data(), n, R, x.data(), n, T, n, want.data(), R * k->lanes);
      k->dot_tile_bf16(bf16.data(), n, R, x.data(), n, T, n, got.data(), R * k->lanes);
      EXPECT_TRUE(std::equal(got.begin(), got.begin() + static_cast<int64_t>(size), want.begin()));
    }
}

TEST(DotTile, BitsDependOnTheRowAndTheTokenAlone) {
  const int64_t n = 576 + 5, R = 21, T = 11;
  const auto w = random_floats(R * n, 1), x = random_floats(T * n, 2);
  for (const KernelTable* k : runnable_kernels()) {
    SCOPED_TRACE(std::string(name(k->isa)));
    const auto whole = tile(*k, w, R, x, T, n, n);
    EXPECT_EQ(tile(*k, w, R, x, T, n, k->lanes), whole) << "in the smallest pieces";
    EXPECT_EQ(tile(*k, w, R, x, T, n, 4 * kMaxLanes), whole) << "in pieces";
    for (int64_t t = 0; t < T; ++t)
      for (int64_t r = 0; r < R; ++r) {
        const std::vector<float> wr(w.begin() + r * n, w.begin() + (r + 1) * n),
            xt(x.begin() + t * n, x.begin() + (t + 1) * n);
        EXPECT_EQ(tile(*k, wr, 1, xt, 1, n, n)[0], whole[static_cast<size_t>(t * R + r)])
            << "row " << r << " token " << t;
      }
  }
}

TEST(AxpyTile, SumsRowsInOrderToTheSameBitsOneByOne) {
  const int64_t R = 19, T = 7;
  for (int64_t n : {1, 7, 16, 17, 64, 100, 192, 512 + 3})
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      const auto w = random_floats(R * n, 1), x = random_floats(T * R, 2), start = random_floats(T * n, 3);
      auto together = start, alone = start;
      k->axpy_tile(w.data(), n, R, x.data(), R, T, n, together.data(), n);
      for (int64_t t = 0; t < T; ++t)
        for (int64_t r = 0; r < R; ++r)
          k->axpy_f32(x[static_cast<size_t>(t * R + r)], w.data() + r * n, alone.data() + t * n, n);
      EXPECT_EQ(together, alone);
    }
}

}  // namespace
}  // namespace fathom
