#include "kernels/ref/exp.h"

#include <gtest/gtest.h>

#include <limits>

#include "kernels/inputs.h"

namespace fathom {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// exp of each x by a table.
std::vector<float> exp_of(const KernelTable& k, std::vector<float> x) {
  k.exp_row(x.data(), 0.0f, static_cast<int64_t>(x.size()));
  return x;
}

// |got - want| in units in the last place of want, a float's; below the normal range the unit is 2^-149.
double ulps(float got, double want) {
  const int exponent = std::max(std::ilogb(want), -126);
  return std::abs(static_cast<double>(got) - want) / std::ldexp(1.0, exponent - 23);
}

// Every `step`-th float from `low` to `high` (of the same sign), by magnitude.
std::vector<float> every(float low, float high, uint32_t step) {
  std::vector<float> x;
  const auto last = std::bit_cast<uint32_t>(high);
  for (uint64_t u = std::bit_cast<uint32_t>(low); u <= last; u += step)
    x.push_back(std::bit_cast<float>(static_cast<uint32_t>(u)));
  return x;
}

TEST(Exp, IsWithinItsBoundOfTheTrueValue) {
  double worst = 0;
  for (const std::vector<float>& x : {every(0.0f, 88.7228f, 499), every(-0.0f, -103.9f, 499)}) {
    const std::vector<float> y = exp_of(*runnable_kernels().back(), x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double error = ulps(y[i], std::exp(static_cast<double>(x[i])));
      worst = std::max(worst, error);
      ASSERT_LE(error, ref::kExpUlp) << "exp(" << x[i] << ") = " << y[i];
    }
  }
  RecordProperty("worst_ulps", std::to_string(worst));
}

TEST(Exp, EveryTableGivesTheBitsOfTheDefinition) {
  std::vector<float> x;
  for (const std::vector<float>& part : {every(0.0f, kInf, 10007), every(-0.0f, -kInf, 10007), every(87.0f, 90.0f, 7),
                                         every(-86.0f, -105.0f, 7), every(0.3f, 0.4f, 101)})
    x.insert(x.end(), part.begin(), part.end());
  for (const KernelTable* k : runnable_kernels()) {
    const std::vector<float> y = exp_of(*k, x);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(ref::exp(x[i]))) << name(k->isa) << ' ' << x[i];
  }
}

TEST(Exp, EndsOfTheRange) {
  for (const KernelTable* k : runnable_kernels()) {
    SCOPED_TRACE(std::string(name(k->isa)));
    const std::vector<float> y = exp_of(*k, {0.0f, -0.0f, kInf, -kInf, 89.0f, 1e30f, -104.0f, -1e30f, 88.7228f, -103.0f,
                                             std::numeric_limits<float>::quiet_NaN()});
    EXPECT_EQ(y[0], 1.0f);
    EXPECT_EQ(y[1], 1.0f);
    EXPECT_EQ(y[2], kInf);
    EXPECT_EQ(y[3], 0.0f);
    EXPECT_EQ(y[4], kInf);
    EXPECT_EQ(y[5], kInf);
    EXPECT_EQ(y[6], 0.0f);
    EXPECT_EQ(y[7], 0.0f);
    EXPECT_TRUE(std::isfinite(y[8]));
    EXPECT_EQ(y[9], 0x1p-149f);  // exp(-103) = 1.87e-45 is 1.33 of the smallest number
    EXPECT_TRUE(std::isnan(y[10]));
  }
}

}  // namespace
}  // namespace fathom
