#include "model/mla_fast.h"

#include <gtest/gtest.h>

#include "support/random_model.h"

namespace fathom {
namespace {

using testing::largest_difference;
using testing::largest_magnitude;
using testing::random_ids;
using testing::RandomModel;
using testing::Runner;
using testing::same_bits;

constexpr CacheType kTypes[] = {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8};

// Dimensions that are no multiples of lanes, groups or vectors: 3 heads, a latent of more than one group.
ModelConfig odd_config() {
  ModelConfig c = testing::tiny_v2_config();
  c.num_attention_heads = c.num_key_value_heads = 3;
  c.kv_lora_rank = 147;
  c.qk_nope_head_dim = 13;
  c.v_head_dim = 11;
  c.first_k_dense_replace = c.num_hidden_layers;  // no router: a flipped choice is no rounding
  return c;
}


struct FastRunner : Runner {
  FastRunner(const RandomModel& m, MlaForm f, int threads = 1, CacheType type = CacheType::f32)
      : Runner(m, threads, type) {
    arithmetic = Arithmetic::fast;
    form = f;
  }
};

TEST(MlaFast, StaysNearTheExactForms) {
  for (const bool split : {false, true}) {
    const RandomModel model(odd_config(), 5, split);
    const auto ids = random_ids(600, model.config.vocab_size, 1);  // three splits
    for (const CacheType type : kTypes) {
      Runner exact(model, 1, type);
      const auto want = exact.forward_chunks(ids, 600);
      for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed}) {
        const auto got = FastRunner(model, form, 1, type).forward_chunks(ids, 600);
        EXPECT_LE(largest_difference(got, want), 2e-2f * largest_magnitude(want)) << static_cast<int>(type);
        printf("%d %d %g\n", (int)type, (int)form, largest_difference(got, want) / largest_magnitude(want));
      }
    }
  }
}

TEST(MlaFast, ThreadsAndChunksChangeNoBit) {
  const RandomModel model(odd_config());
  const auto ids = random_ids(600, model.config.vocab_size, 2);
  for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed})
    for (const CacheType type : kTypes) {
      const auto want = FastRunner(model, form, 1, type).forward_chunks(ids, 600);
      for (const int threads : {2, 3, 4})
        EXPECT_TRUE(same_bits(FastRunner(model, form, threads, type).forward_chunks(ids, 150), want)) << threads;
      for (const size_t chunk : {7u, 64u, 171u})
        EXPECT_TRUE(same_bits(FastRunner(model, form, 2, type).forward_chunks(ids, chunk), want)) << chunk;
    }
}

}  // namespace
}  // namespace fathom
