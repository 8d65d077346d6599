#include "model/attention/int16/mla_int16.h"

#include <gtest/gtest.h>

#include "kernels/int16_kernel.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using testing::largest_difference;
using testing::largest_magnitude;
using testing::random_ids;
using testing::RandomModel;
using testing::Runner;
using testing::same_bits;

constexpr CacheType kTypes[] = {CacheType::f32,  CacheType::bf16, CacheType::q16, CacheType::q8,
                                CacheType::fp8,  CacheType::q6,   CacheType::q4,  CacheType::v2_6bit,
                                CacheType::nuq5, CacheType::nuq4, CacheType::nuq3};

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
    numerics = Numerics::quantised();
    form = f;
  }
};

// One layer, so that nothing amplifies what attention rounds. Measured: at most 3e-4 where the cache itself is the same
// in both; operands of 13 bits differ by 2^-13 = 1.2e-4 of the largest of their group.
TEST(MlaFast, BothFormsAndAllCachesStayNearTheExactOnes) {
  ModelConfig c = odd_config();
  c.num_hidden_layers = 1;
  c.first_k_dense_replace = 1;
  for (const bool split : {false, true}) {
    const RandomModel model(c, 5, split, 1.0);
    const auto ids = random_ids(600, c.vocab_size, 1);  // three splits
    for (const CacheType type : kTypes) {
      const auto want = Runner(model, 1, type).forward_chunks(ids, 600);
      for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed}) {
        const auto got = FastRunner(model, form, 1, type).forward_chunks(ids, 600);
        // Where the cache holds 8 bits and fewer, the absorbed form multiplies keys with 8 bits of the query; where it
        // holds levels, values with 8 bits of probabilities too.
        const bool bytes = type == CacheType::q8 || latent_format(type) != nullptr;
        const float bound = form == MlaForm::absorbed && bytes ? 5e-2f : 1e-3f;
        EXPECT_LE(largest_difference(got, want), bound * largest_magnitude(want)) << static_cast<int>(type);
        EXPECT_FALSE(same_bits(got, want));
      }
    }
  }
}

TEST(MlaFast, ThreadsAndChunksChangeNoBit) {
  const RandomModel model(odd_config());
  const auto ids = random_ids(330, model.config.vocab_size, 2);
  for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed})
    for (const CacheType type : kTypes) {
      const auto want = FastRunner(model, form, 1, type).forward_chunks(ids, 330);
      for (const int threads : {2, 3, 4})
        EXPECT_TRUE(same_bits(FastRunner(model, form, threads, type).forward_chunks(ids, 150), want)) << threads;
      for (const size_t chunk : {33u, 64u, 171u})
        EXPECT_TRUE(same_bits(FastRunner(model, form, 2, type).forward_chunks(ids, chunk), want)) << chunk;
    }
}

// Sequences of every form and length in one batch: prompts, single tokens far and near, a few tokens to check.
TEST(MlaFast, ABatchIsEachSequenceAloneBitForBit) {
  const ModelConfig c = odd_config();
  const RandomModel model(c);
  const std::vector<std::pair<int64_t, int64_t>> lengths = {{0, 70}, {520, 1}, {3, 1}, {300, 6}, {40, 130}, {255, 1}};
  for (const CacheType type : {CacheType::q16, CacheType::q8, CacheType::q4, CacheType::nuq5})
    for (const MlaForm form : {MlaForm::automatic, MlaForm::naive, MlaForm::absorbed}) {
      FastRunner together(model, form, 2, type);
      std::vector<SequenceCache> sequences(lengths.size());
      std::vector<float> alone;
      Batch step;
      for (size_t s = 0; s < lengths.size(); ++s) {
        const auto past = random_ids(lengths[s].first, c.vocab_size, 3 + s),
                   ids = random_ids(lengths[s].second, c.vocab_size, 30 + s);
        FastRunner single(model, form, 1, type);
        SequenceCache own;
        const auto run = [&](Runner& r, SequenceCache& sequence) {
          if (past.empty()) return;
          Batch before;
          before.add(r.cache, sequence, past, Batch::Logits::none);
          r.forward(before);
        };
        run(single, own);
        run(together, sequences[s]);
        Batch one;
        one.add(single.cache, own, ids, Batch::Logits::all);
        const auto logits = single.forward(one);
        alone.insert(alone.end(), logits.begin(), logits.end());
        step.add(together.cache, sequences[s], ids, Batch::Logits::all);
      }
      EXPECT_TRUE(same_bits(together.forward(step), alone)) << static_cast<int>(form);
    }
}

// One layer's attention alone, over a past of several parts (1024 positions when memory is short).
TEST(MlaFast, APastExpandedInPartsIsTheSameBitsAndBothFormsAgree) {
  const RandomModel model(odd_config());
  const ModelConfig& c = model.config;
  const int64_t n = 2500, n_new = 1400, H = c.num_attention_heads, width = c.cache_width();
  const auto normals = [](int64_t count, uint64_t stream) {
    Buffer<float> x(count);
    for (int64_t i = 0; i < count; ++i)
      x[i] = static_cast<float>(standard_normal(1, stream, static_cast<uint64_t>(i % 9973)));
    return x;
  };
  const auto latents = normals(n * width, 1), q = normals(n_new * H * (c.qk_nope_head_dim + c.qk_rope_head_dim), 2);
  const auto run = [&](MlaForm form, int64_t bytes) {
    ThreadPool pool(2);
    Arena arena;
    Context ctx{.pool = pool, .arena = arena, .numerics = Numerics::quantised()};
    KvCache cache(cache_layout(c, CacheType::q16), n);
    SequenceCache sequence;
    cache.extend(sequence, n - n_new);
    for (int64_t p = 0; p < n - n_new; ++p) cache.store(sequence, 0, p, {latents.data() + p * width, width});
    Batch batch;
    batch.add(cache, sequence, std::vector<int32_t>(static_cast<size_t>(n_new)), Batch::Logits::none);
    const AttentionSettings settings{.scale = 0.2f, .mla_form = form};
    Buffer<float> o(n_new * H * c.v_head_dim);
    attend_int16({ctx, c, std::get<MlaWeights>(model.weights.layers[0].self_attn), settings, 0, cache, bytes}, batch,
                 {latents.data() + (n - n_new) * width, n_new, width}, q.mat(n_new, q.size() / n_new),
                 o.mat(n_new, H * c.v_head_dim));
    return std::vector<float>(o.data(), o.data() + o.size());
  };
  const auto whole = run(MlaForm::naive, int64_t{1} << 30);
  EXPECT_TRUE(same_bits(run(MlaForm::naive, 1), whole));
  EXPECT_LE(largest_difference(run(MlaForm::absorbed, 1), whole), 2e-3f * largest_magnitude(whole));
}

TEST(MlaFast, TheCheaperFormIsAbsorbedForFewTokensAndNaiveForMany) {
  const ModelConfig c = lite_attention();
  for (const bool packed : {false, true})
    for (const int64_t past : {0, 1000, 100000}) {
      EXPECT_EQ(cheaper_int16_form(c, {}, packed, past, 2048), MlaForm::naive) << past;
      if (past > 0) {
        EXPECT_EQ(cheaper_int16_form(c, {}, packed, past, 1), MlaForm::absorbed) << past;
      }
    }
  for (const bool packed : {false, true}) EXPECT_EQ(cheaper_int16_form(c, {}, packed, 8192, 32), MlaForm::absorbed);
}

// Logits of every machine with built-in costs depend on these.
TEST(MlaFast, TheBuiltInChoicesAreTheRecordedOnes) {
  const ModelConfig c = lite_attention();
  const auto most = [&](bool packed, int64_t past) { return most_absorbed(c, {}, packed, past, 2048); };
  EXPECT_EQ(std::vector({most(true, 512), most(true, 8192), most(true, 131072)}), (std::vector<int64_t>{84, 122, 130}));
  EXPECT_EQ(std::vector({most(false, 512), most(false, 8192), most(false, 131072)}),
            (std::vector<int64_t>{264, 337, 342}));
}

// In whole query tiles, so that no lane is empty: more tokens never bring the absorbed form back, and a cost that rises
// never brings back the form that it belongs to.
TEST(MlaFast, ChoicesAreMonotonicInTokensAndInCosts) {
  const ModelConfig c = lite_attention();
  for (const double naive : {0.5, 1.1, 2.0})
    for (const double fold : {0.5, 2.0, 5.0})
      for (const double expand : {0.3, 0.7, 1.9, 4.0})
        for (const int64_t past : {64, 1000, 30000}) {
          const auto naive_for = [&](const MlaCosts& costs, int64_t n) {
            return cheaper_int16_form(c, costs, true, past, n) == MlaForm::naive;
          };
          const MlaCosts costs{.naive = naive, .fold_packed = fold, .expand_packed = expand};
          MlaCosts dearer_fold = costs, dearer_expand = costs, dearer_naive = costs;
          dearer_fold.fold_packed *= 1.1;
          dearer_expand.expand_packed *= 1.1;
          dearer_naive.naive *= 1.1;
          bool before = false;
          for (int64_t n = kLanes; n <= 2048; n += kLanes) {
            const bool now = naive_for(costs, n);
            EXPECT_TRUE(now || !before) << n;
            EXPECT_TRUE(naive_for(dearer_fold, n) || !now) << n;
            EXPECT_TRUE(now || (!naive_for(dearer_expand, n) && !naive_for(dearer_naive, n))) << n;
            before = now;
          }
        }
}

}  // namespace
}  // namespace fathom
