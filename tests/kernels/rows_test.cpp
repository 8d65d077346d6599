// rmsnorm, swiglu, softmax and rope: every table against the definition in double.
#include <gtest/gtest.h>

#include <limits>

#include "kernels/inputs.h"
#include "kernels/ref/backward.h"
#include "kernels/ref/rmsnorm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/softmax.h"
#include "kernels/ref/swiglu.h"
#include "kernels/rows/rmsnorm.h"
#include "kernels/rows/softmax.h"
#include "kernels/rows/swiglu.h"

namespace fathom {
namespace {

constexpr int64_t kLengths[] = {1, 7, 8, 9, 15, 16, 17, 64, 65, 160, 512, 1408, 2048};
constexpr float kInf = std::numeric_limits<float>::infinity(), kNan = std::numeric_limits<float>::quiet_NaN();

template <class Check>
void for_each_case(Check check) {
  for (int64_t n : kLengths)
    for (const KernelTable* k : runnable_kernels()) {
      SCOPED_TRACE(std::string(name(k->isa)) + " n " + std::to_string(n));
      check(*k, n);
    }
}

TEST(RmsNorm, StaysWithinTheRoundingBoundOfTheDefinition) {
  for_each_case([](const KernelTable& k, int64_t n) {
    const auto x = random_floats(n, 1, 3.0), w = random_floats(n, 2);
    std::vector<float> y(x.size());
    std::vector<double> want(x.size());
    const float rstd = k.rmsnorm_row(x.data(), w.data(), 1e-6f, n, y.data());
    const double want_rstd = ref::rmsnorm(to_double(x).data(), to_double(w).data(), double{1e-6f}, n, want.data());
    // The sum of n squares: n + 1 roundings, halved by the root; mean, eps, root, quotient: 4 more; then two products.
    const double bound = (static_cast<double>(n + 1) / 2 + 4) * kEpsF32;
    EXPECT_LE(std::abs(rstd - want_rstd), bound * want_rstd);
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_LE(std::abs(y[i] - want[i]), (bound + 2.01 * kEpsF32) * std::abs(want[i]));
    auto in_place = x;
    k.rmsnorm_row(in_place.data(), w.data(), 1e-6f, n, in_place.data());
    EXPECT_EQ(in_place, y);
  });
}

TEST(SwiGlu, StaysWithinTheRoundingBoundOfTheDefinition) {
  for_each_case([](const KernelTable& k, int64_t n) {
    const auto gate = random_floats(n, 1, 8.0), up = random_floats(n, 2);
    std::vector<float> y(gate.size());
    std::vector<double> want(gate.size());
    k.swiglu_row(gate.data(), up.data(), n, y.data());
    ref::swiglu(to_double(gate).data(), to_double(up).data(), n, want.data());
    // exp within kExpUlp (2 kEpsF32 each), then a sum, a quotient and a product.
    for (size_t i = 0; i < y.size(); ++i)
      EXPECT_LE(std::abs(y[i] - want[i]), (2 * ref::kExpUlp + 3.01) * kEpsF32 * std::abs(want[i])) << gate[i];
    auto in_place = gate;
    k.swiglu_row(in_place.data(), up.data(), n, in_place.data());
    EXPECT_EQ(in_place, y);
  });
}

TEST(SwiGlu, GradientsAreTheSameBitsInEveryTable) {
  for_each_case([](const KernelTable& k, int64_t n) {
    const auto gate = random_floats(n, 1, 8.0), up = random_floats(n, 2), dy = random_floats(n, 3);
    std::vector<float> dgate(gate.size()), dup(gate.size()), want_dgate(gate.size()), want_dup(gate.size());
    ref::swiglu_backward(gate.data(), up.data(), dy.data(), n, want_dgate.data(), want_dup.data());
    k.swiglu_backward_row(gate.data(), up.data(), dy.data(), n, dgate.data(), dup.data());
    EXPECT_EQ(dgate, want_dgate);
    EXPECT_EQ(dup, want_dup);
  });
}

TEST(Softmax, GradientsOfScoresAreTheSameBitsInEveryTable) {
  for_each_case([](const KernelTable& k, int64_t n) {
    const auto p = random_floats(n, 1), dp = random_floats(n, 2);
    auto ds = dp, want = dp;
    ref::score_gradient(0.3f, 0.7f, p.data(), n, want.data());
    k.score_gradient_row(0.3f, 0.7f, p.data(), n, ds.data());
    EXPECT_EQ(ds, want);
  });
}

TEST(SwiGlu, LargeGatesGoToTheirLimits) {
  for (const KernelTable* k : runnable_kernels()) {
    const std::vector<float> gate = {-200.0f, 200.0f, 0.0f, -1e30f, 1e30f, kInf}, up(6, 2.0f);
    std::vector<float> y(6);
    k->swiglu_row(gate.data(), up.data(), 6, y.data());
    EXPECT_EQ(y, (std::vector<float>{0.0f, 400.0f, 0.0f, 0.0f, 2e30f, kInf})) << name(k->isa);
  }
}

TEST(Softmax, StaysWithinTheRoundingBoundOfTheDefinition) {
  for_each_case([](const KernelTable& k, int64_t n) {
    const auto x = random_floats(n, 1, 10.0);
    auto y = x;
    auto want = to_double(x);
    const float sum = k.softmax_row(y.data(), n);
    const double want_sum = ref::softmax(want.data(), n);
    // The difference x - max is rounded: up to kEpsF32 |x - max| relative in its exponential; then exp, the sum, the
    // quotient.
    const float top = k.max_row(x.data(), n);
    const double each = 2 * ref::kExpUlp * kEpsF32, all = each + static_cast<double>(n) * kEpsF32;
    EXPECT_LE(std::abs(sum - want_sum), (all + 100 * kEpsF32) * want_sum);
    for (size_t i = 0; i < y.size(); ++i) {
      const double distance = double{top} - double{x[i]};
      EXPECT_LE(std::abs(y[i] - want[i]), ((distance + 100) * kEpsF32 + each + all + kEpsF32) * want[i] + 0x1p-149);
    }
  });
}

TEST(Softmax, MinusInfinityIsZeroAndNanIsNotHidden) {
  for (const KernelTable* k : runnable_kernels()) {
    SCOPED_TRACE(std::string(name(k->isa)));
    std::vector<float> x(19, -kInf);
    x[3] = x[18] = 5.0f;
    EXPECT_EQ(k->softmax_row(x.data(), 19), 2.0f);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(x[i], i == 3 || i == 18 ? 0.5f : 0.0f);
    x[7] = kNan;
    k->softmax_row(x.data(), 19);
    for (float f : x) EXPECT_TRUE(std::isnan(f));
  }
}

TEST(MaxRow, PassesOverNanAndStartsAtMinusInfinity) {
  for (const KernelTable* k : runnable_kernels()) {
    SCOPED_TRACE(std::string(name(k->isa)));
    EXPECT_EQ(k->max_row(nullptr, 0), -kInf);
    for (int64_t n : kLengths)
      for (int64_t at : {int64_t{0}, n / 2, n - 1}) {
        std::vector<float> x(static_cast<size_t>(n), kNan);
        EXPECT_EQ(k->max_row(x.data(), n), -kInf);
        x[static_cast<size_t>(at)] = -3.0f;  // below the zeros of a partly loaded vector
        EXPECT_EQ(k->max_row(x.data(), n), -3.0f);
      }
  }
}

TEST(Rope, EveryTableGivesTheBitsOfTheDefinition) {
  for (int64_t pairs : {1, 3, 4, 8, 16, 32, 33, 64})
    for (const KernelTable* k : runnable_kernels()) {
      const auto x = random_floats(2 * pairs, 1), c = random_floats(pairs, 2), s = random_floats(pairs, 3);
      auto got = x, want = x;
      k->rope_interleaved(got.data(), c.data(), s.data(), pairs);
      ref::rope_interleaved(want.data(), c.data(), s.data(), pairs);
      EXPECT_EQ(got, want) << name(k->isa);
      got = want = x;
      k->rope_half_split(got.data(), c.data(), s.data(), pairs);
      ref::rope_half_split(want.data(), c.data(), s.data(), pairs);
      EXPECT_EQ(got, want) << name(k->isa);
    }
}

TEST(Rope, InterleavedIsHalfSplitOfThePermutedRow) {  // spec section 3.2
  const int64_t P = 32;
  auto x = random_floats(2 * P, 1);
  std::vector<float> permuted(x.size()), c(P), s(P);
  for (size_t i = 0; i < P; ++i) {
    permuted[i] = x[2 * i];
    permuted[i + P] = x[2 * i + 1];
    c[i] = static_cast<float>(std::cos(0.1 * static_cast<double>(i)));
    s[i] = static_cast<float>(std::sin(0.1 * static_cast<double>(i)));
  }
  kernels().rope_interleaved(x.data(), c.data(), s.data(), P);
  kernels().rope_half_split(permuted.data(), c.data(), s.data(), P);
  for (size_t i = 0; i < P; ++i) {
    EXPECT_EQ(x[2 * i], permuted[i]);
    EXPECT_EQ(x[2 * i + 1], permuted[i + P]);
  }
}

TEST(RowOps, TheNumberOfThreadsDoesNotChangeABit) {
  const int64_t T = 13, D = 2500;
  const auto x = random_floats(T * D, 1), up = random_floats(T * D, 2), w = random_floats(D, 3);
  const auto run = [&](int threads) {
    ThreadPool pool(threads);
    std::vector<float> normed(x.size()), gated(x.size());
    rmsnorm_forward(pool, mat(x, T, D), {w.data(), D}, 1e-6f, mat(normed, T, D));
    swiglu_forward(pool, mat(x, T, D), mat(up, T, D), mat(gated, T, D));
    normed.insert(normed.end(), gated.begin(), gated.end());
    return normed;
  };
  const auto one = run(1);
  EXPECT_EQ(run(2), one);
  EXPECT_EQ(run(5), one);
}

}  // namespace
}  // namespace fathom
