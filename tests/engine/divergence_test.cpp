#include "engine/divergence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/random.h"

namespace fathom {
namespace {

std::vector<float> random_logits(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    x[static_cast<size_t>(i)] = static_cast<float>(20 * uniform01(seed, 0, static_cast<uint64_t>(i)) - 10);
  return x;
}

VecView<const float> view(const std::vector<float>& x) { return {x.data(), std::ssize(x)}; }

std::vector<double> softmax(const std::vector<float>& x) {
  std::vector<double> p;
  double sum = 0;
  for (float v : x) p.push_back(std::exp(double{v})), sum += p.back();
  for (double& v : p) v /= sum;
  return p;
}

TEST(Divergence, IsTheDefinition) {
  for (uint64_t seed = 1; seed < 6; ++seed) {
    const auto a = random_logits(500, seed), b = random_logits(500, seed + 50);
    const auto p = softmax(a), q = softmax(b);
    double kl = 0;
    for (size_t i = 0; i < p.size(); ++i) kl += p[i] * std::log(p[i] / q[i]);
    const TokenDivergence d = compare_logits(view(a), view(b), 7);
    EXPECT_NEAR(d.kl, kl, 1e-12 * kl);
    EXPECT_NEAR(d.nll, -std::log(q[7]), 1e-12);
    EXPECT_NEAR(d.reference_nll, -std::log(p[7]), 1e-12);
    EXPECT_EQ(d.same_top,
              std::max_element(p.begin(), p.end()) - p.begin() == std::max_element(q.begin(), q.end()) - q.begin());
  }
}

TEST(Divergence, ShiftsDoNotCountAndEqualIsZero) {
  const auto a = random_logits(300, 1);
  EXPECT_EQ(compare_logits(view(a), view(a), 0).kl, 0);
  auto shifted = a;
  for (float& v : shifted) v += 64;
  EXPECT_LT(compare_logits(view(a), view(shifted), 0).kl, 1e-6) << "but for the rounding of the shifted floats";
  EXPECT_TRUE(compare_logits(view(a), view(shifted), 0).same_top);
}

TEST(Divergence, LogitsThatAreNotFiniteAreSeen) {
  auto a = random_logits(10, 1), b = a;
  b[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(std::isfinite(compare_logits(view(a), view(b), 0).kl));
}

// Sixteen tokens by hand: kl 0, 1, ..., 15; the model half a nat worse on every other one.
TEST(Divergence, SumsAreThoseOfTheTokens) {
  Divergence d;
  for (int i = 0; i < 16; ++i)
    d.add({.kl = i * 1.0, .nll = i % 2 == 0 ? 2.5 : 2.0, .reference_nll = 2.0, .same_top = i < 12});
  EXPECT_EQ(d.tokens(), 16);
  EXPECT_DOUBLE_EQ(d.mean_kl(), 7.5);
  EXPECT_NEAR(d.mean_kl_error(), std::sqrt((16.0 * 16 - 1) / 12 / 15), 1e-12);  // variance of 0 .. 15 over n - 1
  EXPECT_EQ(d.kl_percentile(0.5), 7);
  EXPECT_EQ(d.kl_percentile(0.99), 15);
  EXPECT_EQ(d.kl_percentile(1), 15);
  EXPECT_DOUBLE_EQ(d.same_top(), 0.75);
  EXPECT_NEAR(d.same_top_error(), std::sqrt(0.75 * 0.25 / 15), 1e-12);
  EXPECT_NEAR(d.perplexity_ratio(), std::exp(0.25), 1e-12);
  EXPECT_NEAR(d.perplexity_ratio_error(), std::sqrt(0.0625 / 15) * std::exp(0.25), 1e-12);
  EXPECT_NEAR(d.reference_perplexity(), std::exp(2.0), 1e-12);
}

}  // namespace
}  // namespace fathom
