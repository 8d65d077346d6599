#include "kernels/rows/topk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace fathom {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInf = std::numeric_limits<float>::infinity();

VecView<const float> view(const std::vector<float>& x) { return {x.data(), static_cast<int64_t>(x.size())}; }

std::vector<int32_t> top(const std::vector<float>& x, size_t k) {
  std::vector<int32_t> ids(k);
  top_k(view(x), ids);
  return ids;
}

TEST(TopK, IsTheFirstKOfAStableSort) {
  for (size_t n : {1u, 2u, 7u, 64u, 160u, 1000u})
    for (uint64_t seed = 0; seed < 20; ++seed) {
      std::vector<float> x(n);  // few different values: many ties
      for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(philox(seed, n, i)[0] % (seed < 10 ? 5u : 1000u));
      std::vector<int32_t> want(n);
      std::iota(want.begin(), want.end(), 0);
      std::stable_sort(want.begin(), want.end(),
                       [&](int32_t a, int32_t b) { return x[static_cast<size_t>(a)] > x[static_cast<size_t>(b)]; });
      EXPECT_EQ(argmax(view(x)), want[0]);
      for (size_t k : {size_t{0}, size_t{1}, std::min<size_t>(6, n), n}) {
        const std::vector<int32_t> first(want.begin(), want.begin() + static_cast<ptrdiff_t>(k));
        EXPECT_EQ(top(x, k), first) << "n " << n << " k " << k << " seed " << seed;
      }
    }
}

TEST(TopK, NanNeverWinsAndIndexesStayInRange) {
  EXPECT_EQ(argmax(view({kNan, -kInf, 1.0f, kNan, 1.0f})), 2);
  EXPECT_EQ(argmax(view({kNan, -kInf, kNan})), 1);
  EXPECT_EQ(argmax(view({kNan, kNan})), 0);
  EXPECT_EQ(top({kNan, 1.0f, kNan, 2.0f, -kInf}, 5), (std::vector<int32_t>{3, 1, 4, 0, 2}));
  EXPECT_EQ(top({kNan, kNan, kNan, 0.0f}, 2), (std::vector<int32_t>{3, 0}));
  EXPECT_EQ(top({kNan, kNan, kNan}, 2), (std::vector<int32_t>{0, 1}));
}

TEST(TopK, ZerosOfEitherSignAreEqual) { EXPECT_EQ(top({-0.0f, 0.0f, -0.0f}, 3), (std::vector<int32_t>{0, 1, 2})); }

}  // namespace
}  // namespace fathom
