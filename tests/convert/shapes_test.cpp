#include "convert/synth/shapes.h"

#include <gtest/gtest.h>

#include "support/published_configs.h"

namespace fathom {
namespace {

TEST(Shapes, AreThePublishedConfigs) {
  const auto same = [](std::string_view json, const char* name) {
    EXPECT_EQ(*shape_by_name(name), config_from_json(json, name)) << name;
  };
  same(test::kV2, "v2");
  same(test::kV2Lite, "v2-lite");
  same(test::kMoe16B, "moe-16b");
  same(test::kDense67B, "dense-67b");
  same(test::kDense7B, "dense-7b");
}

TEST(Shapes, TheTwoWithoutAPublishedTextAreValidAndWhatTheySay) {
  validate(*shape_by_name("tiny"), "tiny");
  ModelConfig coder = *shape_by_name("coder-v2");
  EXPECT_EQ(coder.rope_scaling->mscale_all_dim, 1.0);
  coder.rope_scaling = shape_by_name("v2")->rope_scaling;
  EXPECT_EQ(coder, *shape_by_name("v2"));
  EXPECT_FALSE(shape_by_name("v3"));
}

}  // namespace
}  // namespace fathom
