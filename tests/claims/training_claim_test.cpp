// Operations a token against the ones of the paper's shapes: 3 x (41.70 + 10.07) and 3 x (133.2 + 6.4) GFLOP.
#include "claims/training_claim.h"

#include <gtest/gtest.h>

#include "claims/scaled_shapes.h"
#include "convert/synth/shapes.h"
#include "model/footprint.h"
#include "support/errors.h"

namespace fathom {
namespace {

TEST(TrainingClaim, OperationsOfBothShapesAndSecondsOfBothMadeSmall) {
  size_t told = 0;
  const TrainingClaim c =
      claim_training({.scale = 64, .sequences = 1, .rounds = 2, .threads = 1, .progress = [&](size_t, size_t total) {
                        ++told;
                        EXPECT_EQ(total, 6u);
                      }});
  const TrainedShape &v2 = c.shapes[kTrainedV2], &dense = c.shapes[kTrainedDense];
  EXPECT_NEAR(v2.paper_flops.total() / 1e9, 155.3, 0.05);
  EXPECT_NEAR(v2.parameter_flops / 1e9, 41.70, 0.005);
  EXPECT_NEAR((v2.paper_flops.forward - v2.parameter_flops) / 1e9, 10.07, 0.005);
  EXPECT_NEAR(dense.paper_flops.total() / 1e9, 418.6, 0.5);
  EXPECT_NEAR(dense.parameter_flops / 1e9, 133.2, 0.1);
  EXPECT_NEAR(1 - c.flops_reduction(), 0.371, 0.0005);
  EXPECT_EQ(told, 6u);
  EXPECT_EQ(c.reductions().size(), 2u);
  for (const TrainedShape& s : c.shapes) EXPECT_GT(s.median_seconds(), 0);
  EXPECT_NE(to_table(c).find("1 - 172.8 / 300.6 = 42.5 %"), std::string::npos) << to_table(c);
  EXPECT_EQ(to_json(c).at("reductions").as_array().size(), 2u);
}

// What the rule is for: both shapes shrink alike.
TEST(TrainingClaim, ScaledShapesKeepTheirProportions) {
  for (const int64_t scale : {4, 8, 16}) {
    const ModelConfig v2 = scaled_shape(*shape_by_name("v2"), scale);
    const ModelConfig dense = scaled_shape(*shape_by_name("dense-67b"), scale);
    EXPECT_EQ(v2.num_hidden_layers, 12);
    EXPECT_EQ(dense.num_hidden_layers, 19);
    const auto by = static_cast<double>(scale * scale * kFewerLayers);
    EXPECT_NEAR(static_cast<double>(footprint(v2).activated_parameters) * by / 21.4e9, 1, 0.03) << scale;
    // One layer of 12 is dense, not one of 60: 6 % fewer experts, and as many products of a token.
    EXPECT_NEAR(static_cast<double>(footprint(v2).parameters) * by / 235.7e9, 0.94, 0.01) << scale;
    EXPECT_NEAR(static_cast<double>(footprint(dense).parameters) * by / 67.4e9, 1, 0.03) << scale;
    if (scale <= 8) {
      EXPECT_EQ(v2.cache_width() * scale, 576);
      EXPECT_EQ(dense.cache_width() * scale, 2048);
    }
  }
}

TEST(TrainingClaim, WhatDoesNotFitIsRefusedBeforeWork) {
  const std::string why =
      test::error_of([] { claim_training({.scale = 4, .sequences = 4096, .threads = 1}); }, ErrorKind::resource);
  EXPECT_NE(why.find("--scale 4 with --sequences 4096 need"), std::string::npos) << why;
}

}  // namespace
}  // namespace fathom
