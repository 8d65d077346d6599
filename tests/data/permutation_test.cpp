#include "data/permutation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fathom {
namespace {

// Every number below n exactly once.
bool is_permutation_of(uint64_t n, const Permutation& p) {
  std::vector<bool> seen(n);
  for (uint64_t i = 0; i < n; ++i) {
    const uint64_t x = p(i);
    if (x >= n || seen[x]) return false;
    seen[x] = true;
  }
  return true;
}

TEST(Permutation, HitsEveryNumberOnceForEverySmallSize) {
  for (uint64_t n = 1; n <= 1100; ++n) EXPECT_TRUE(is_permutation_of(n, Permutation(n, 1, 2, n))) << n;
}

TEST(Permutation, HitsEveryNumberOnceOfTenMillion) {
  EXPECT_TRUE(is_permutation_of(10'000'000, Permutation(10'000'000, 42, 0, 3)));
}

TEST(Permutation, SeedStreamAndEpochEachGiveAnotherOrder) {
  constexpr uint64_t n = 1000;
  const Permutation base(n, 5, 6, 7), seed(n, 6, 6, 7), stream(n, 5, 7, 7), epoch(n, 5, 6, 8), same(n, 5, 6, 7);
  uint64_t fixed[4] = {};
  for (uint64_t i = 0; i < n; ++i) {
    EXPECT_EQ(base(i), same(i));
    fixed[0] += base(i) == i;
    fixed[1] += base(i) == seed(i);
    fixed[2] += base(i) == stream(i);
    fixed[3] += base(i) == epoch(i);
  }
  for (const uint64_t f : fixed) EXPECT_LT(f, 12u);  // a random permutation has 1 +- 1 such places
}

TEST(Permutation, LooksRandom) {
  // Mean of |p(i+1) - p(i)| of a random permutation is n/3, its standard deviation over i about 0.24 n / sqrt(n).
  constexpr uint64_t n = 100'000;
  const Permutation p(n, 9, 1, 0);
  double sum = 0;
  for (uint64_t i = 0; i + 1 < n; ++i) sum += std::abs(static_cast<double>(p(i + 1)) - static_cast<double>(p(i)));
  EXPECT_NEAR(sum / n / n, 1.0 / 3, 0.005);
  // Each tenth of the input falls into each tenth of the output about equally: chi-squared with 81 degrees of freedom.
  double chi = 0;
  std::vector<int> cells(100);
  for (uint64_t i = 0; i < n; ++i) ++cells[i * 10 / n * 10 + p(i) * 10 / n];
  for (const int c : cells) chi += (c - 1000.0) * (c - 1000.0) / 1000.0;
  EXPECT_LT(chi, 140);  // the 0.9999 quantile is about 134
}

}  // namespace
}  // namespace fathom
