#include "model/yarn.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace fathom {
namespace {

ModelConfig v2_config(double mscale) {
  ModelConfig c;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.v_head_dim = 128;
  c.kv_lora_rank = 512;
  c.rope_theta = 10000;
  c.rope_scaling = YarnScaling{.factor = 40,
                               .original_max_position_embeddings = 4096,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .mscale = mscale,
                               .mscale_all_dim = mscale};
  return c;
}

// The table of spec section 3.3.
constexpr std::array<double, 32> kFrequencies = {
    1.000000000e+00, 7.498942093e-01, 5.623413252e-01, 4.216965034e-01, 3.162277660e-01, 2.371373706e-01,
    1.778279410e-01, 1.333521432e-01, 1.000000000e-01, 7.498942093e-02, 5.623413252e-02, 3.900692657e-02,
    2.687936011e-02, 1.837814622e-02, 1.244795587e-02, 8.334508951e-03, 5.500000000e-03, 3.561997494e-03,
    2.249365301e-03, 1.370513636e-03, 7.905694150e-04, 4.149903985e-04, 1.778279410e-04, 3.333803580e-05,
    2.500000000e-05, 1.874735523e-05, 1.405853313e-05, 1.054241259e-05, 7.905694150e-06, 5.928434264e-06,
    4.445698525e-06, 3.333803580e-06};

TEST(Yarn, FrequenciesOfV2AreThoseOfTheSpecification) {
  const RotaryTable table = make_rotary_table(v2_config(0.707));
  ASSERT_EQ(table.frequencies.size(), 32u);
  for (size_t i = 0; i < 32; ++i) EXPECT_NEAR(table.frequencies[i] / kFrequencies[i], 1.0, 1e-9) << i;
  EXPECT_EQ(table.amplitude, 1.0);
}

TEST(Yarn, SoftmaxScaleIsThatOfTheSpecification) {
  EXPECT_NEAR(softmax_scale(v2_config(0.707)), 0.1147213868, 1e-10);
  EXPECT_NEAR(softmax_scale(v2_config(1.0)), 0.1352337789, 1e-10);
  ModelConfig pretraining = v2_config(1.0);
  pretraining.rope_scaling.reset();
  EXPECT_NEAR(softmax_scale(pretraining), 0.07216878365, 1e-11);
  ModelConfig without = v2_config(0.707);
  without.rope_scaling->mscale_all_dim = 0;
  EXPECT_NEAR(softmax_scale(without), 0.07216878365, 1e-11);
  EXPECT_NEAR(make_rotary_table(without).amplitude, 1.2608037774, 1e-9);
}

TEST(Yarn, CosinesAndSinesAtFarPositions) {
  const RotaryTable table = make_rotary_table(v2_config(0.707));
  const std::array<int32_t, 2> positions = {1000, 100000};
  std::vector<float> c(64), s(64);
  rotary_cos_sin(table, positions, {c.data(), 2, 32}, {s.data(), 2, 32});
  EXPECT_NEAR(c[11], 0.259960796, 1e-6);
  EXPECT_NEAR(s[11], 0.965619172, 1e-6);
  EXPECT_NEAR(c[16], 0.708669774, 1e-7);
  EXPECT_NEAR(s[22], 0.176892186, 1e-7);
  EXPECT_NEAR(c[32 + 23], -0.981584282, 1e-6);
  EXPECT_NEAR(s[32 + 31], 0.327239133, 1e-6);
}

TEST(Yarn, AllOnesAtADistanceScoreAsInTheSpecification) {
  // q = k = ones: the score is the sum of 2 cos(delta * w_i).
  const RotaryTable yarn = make_rotary_table(v2_config(0.707));
  ModelConfig plain_config = v2_config(0.707);
  plain_config.rope_scaling.reset();
  const RotaryTable plain = make_rotary_table(plain_config);
  const auto score = [](const RotaryTable& t, double delta) {
    double sum = 0;
    for (double w : t.frequencies) sum += 2 * std::cos(delta * w);
    return sum;
  };
  const std::array<std::pair<double, double>, 6> expected = {
      {{0, 64.0}, {1, 61.834869}, {7, 46.587430}, {100, 39.954127}, {4096, 19.151091}, {100000, -0.344003}}};
  for (const auto& [delta, want] : expected) EXPECT_NEAR(score(yarn, delta), want, 1e-6) << delta;
  EXPECT_NEAR(score(plain, 1), 61.833663, 1e-6);
  EXPECT_NEAR(score(plain, 4096), 0.223828, 1e-6);
}

}  // namespace
}  // namespace fathom
