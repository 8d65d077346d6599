#include "model/footprint.h"

#include <gtest/gtest.h>

#include "support/published_configs.h"

namespace fathom {
namespace {

Footprint of(std::string_view text) { return footprint(config_from_json(text, "config.json")); }

TEST(Footprint, CountsThePublishedModelsAsTheirReportsDo) {
  const Footprint v2 = of(test::kV2);
  EXPECT_EQ(v2.parameters, 235'741'434'880);
  EXPECT_EQ(v2.activated_parameters, 21'375'800'320);
  EXPECT_EQ(v2.activated_parameters_without_embedding, 20'851'512'320);
  EXPECT_EQ(v2.tensors, 29'102);
  EXPECT_EQ(v2.cache_elements_per_token, 34'560);

  const Footprint lite = of(test::kV2Lite);
  EXPECT_EQ(lite.parameters, 15'706'484'224);
  EXPECT_EQ(lite.activated_parameters, 2'661'150'208);
  EXPECT_EQ(lite.activated_parameters_without_embedding, 2'451'435'008);
  EXPECT_EQ(lite.tensors, 5'291);
  EXPECT_EQ(lite.cache_elements_per_token, 15'552);
  EXPECT_EQ(lite.mha_cache_elements_per_token, 110'592);

  const Footprint moe = of(test::kMoe16B);
  EXPECT_EQ(moe.parameters, 16'375'728'128);
  EXPECT_EQ(moe.activated_parameters, 2'828'650'496);
  EXPECT_EQ(moe.cache_elements_per_token, 114'688);

  const Footprint dense = of(test::kDense67B);
  EXPECT_EQ(dense.parameters, 67'425'001'472);
  EXPECT_EQ(dense.activated_parameters, dense.parameters);
  EXPECT_EQ(dense.cache_elements_per_token, kDense67BCacheElements);
  EXPECT_EQ(kDense67BCacheElements, 194'560);

  // 7B: 2 * vocab * d + d + L * (4 d^2 + 2 d + 3 d F) with d 4096, L 30, F 11008.
  EXPECT_EQ(of(test::kDense7B).parameters, 6'910'365'696);
}

}  // namespace
}  // namespace fathom
