// Counted bytes against the arithmetic of the paper (spec: 2 x 8 x 128 x 95 numbers against (512 + 64) x 60).
#include "claims/kv_claim.h"

#include <gtest/gtest.h>

#include "base/machine/page_bytes.h"
#include "claims/paper.h"
#include "support/tiny_configs.h"

namespace fathom {
namespace {

TEST(KvClaim, TheFormatOf6BitsGivesThePapersNumber) {
  const KvClaim claim = claim_kv(128);
  EXPECT_EQ(claim.baseline.stored, 389'120);
  EXPECT_EQ(claim.row(kPaperCacheType).latent.stored, 25'920);
  EXPECT_EQ(claim.row(kPaperCacheType).latent.bits, 6);
  EXPECT_NEAR(claim.reduction(claim.row(kPaperCacheType)), kPaper.cache_reduction, 0.0005);
  EXPECT_NEAR(claim.reduction(claim.row(kPaperCacheType)), 0.93339, 5e-6);
  EXPECT_NEAR(claim.reduction(claim.row(CacheType::bf16)), 0.822, 0.0005);
  const std::string table = to_table(claim);
  EXPECT_NE(table.find("1 - 25920 (v2-6bit) / 389120 (67B, bf16) = 93.3 %"), std::string::npos) << table;
  const json::value value = to_json(claim);
  EXPECT_EQ(value.at("formats").as_array().size(), std::size(kCacheTypeNames));
  EXPECT_NEAR(value.at("reduction").as_double(), 0.93339, 5e-6);
}

TEST(KvClaim, WhatIsCountedIsWhatTheLayoutSays) {
  for (const CacheType type : {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8, CacheType::q6,
                               CacheType::q4, CacheType::v2_6bit, CacheType::nuq4}) {
    const CountedCache c = count_cache(testing::tiny_v2_config(), type, 1000);
    EXPECT_EQ(c.stored, c.formula) << kCacheTypeNames[static_cast<size_t>(type)];
    EXPECT_GE(c.taken, c.stored) << kCacheTypeNames[static_cast<size_t>(type)];
  }
}

TEST(KvClaim, TheAllocatorGetsBackWhatItGave) {
  const int64_t before = page_bytes_in_use();
  count_cache(testing::tiny_v2_config(), CacheType::bf16, 100);
  EXPECT_EQ(page_bytes_in_use(), before);
}

}  // namespace
}  // namespace fathom
