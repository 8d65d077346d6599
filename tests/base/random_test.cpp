#include "base/random.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Random, PhiloxGivesTheKnownAnswersOfItsAuthors) {
  // Random123's kat_vectors for philox4x32-10: counter (low word first), key.
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox(0, 0, 0), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}), (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, MomentsAreThoseOfTheDistributions) {
  constexpr int n = 200000;
  double uniform_sum = 0, sum = 0, squares = 0;
  for (uint64_t i = 0; i < n; ++i) {
    const double u = uniform01(7, 1, i), z = standard_normal(7, 2, i);
    ASSERT_TRUE(u >= 0 && u < 1);
    uniform_sum += u;
    sum += z;
    squares += z * z;
  }
  EXPECT_NEAR(uniform_sum / n, 0.5, 5 * 0.289 / std::sqrt(n));  // five standard errors each
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2.0 / n));
}

}  // namespace
}  // namespace fathom
