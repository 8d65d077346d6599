#include "model/transformer.h"

#include <gtest/gtest.h>

#include <deque>

#include "support/random_model.h"

namespace fathom {
namespace {

using testing::largest_difference;
using testing::largest_magnitude;
using testing::random_ids;
using testing::RandomModel;
using testing::Runner;
using testing::same_bits;

// Two exact forms of the same sums differ by rounding. The bound of spec section 11 item 1: 1e-5 of the largest
// magnitude.
constexpr float kRounding = 1e-5f;

void expect_close(std::span<const float> got, std::span<const float> want) {
  ASSERT_EQ(got.size(), want.size());
  EXPECT_LE(largest_difference(got, want), kRounding * largest_magnitude(want));
}

TEST(Transformer, NaiveAndAbsorbedAttentionAgree) {
  for (const bool q_lora : {true, false}) {
    for (const bool split : {false, true}) {
      ModelConfig c = testing::tiny_v2_config();
      if (!q_lora) c.q_lora_rank.reset();
      const RandomModel model(c, 5, split);
      const auto ids = random_ids(300, c.vocab_size, 1);  // more than one expanded tile (256), more than four blocks
      Runner naive(model), absorbed(model);
      naive.form = MlaForm::naive;
      absorbed.form = MlaForm::absorbed;
      expect_close(absorbed.forward_chunks(ids, 300), naive.forward_chunks(ids, 300));
    }
  }
}

TEST(Transformer, WholeAndSplitKvBAreTheSameModel) {
  const ModelConfig c = testing::tiny_v2_config();
  const RandomModel whole(c, 5, false);
  RandomModel split(c, 5, true);
  // Give `split` the weights of `whole`: all tensors alike, kv_b_proj cut per head and its key part transposed.
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
  std::deque<Buffer<float>> buffers;
  ModelWeights taken = whole.weights;
  taken.split_kv_b = true;
  for (LayerWeights& layer : taken.layers) {
    auto& mla = std::get<MlaWeights>(layer.self_attn);
    Buffer<float>& k = buffers.emplace_back(H * C * N);
    Buffer<float>& v = buffers.emplace_back(H * V * C);
    const auto* kv = reinterpret_cast<const float*>(mla.kv_b_proj.data);
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t j = 0; j < C; ++j) {
        for (int64_t i = 0; i < N; ++i) k[(h * C + j) * N + i] = kv[(h * (N + V) + i) * C + j];
        for (int64_t i = 0; i < V; ++i) v[(h * V + i) * C + j] = kv[(h * (N + V) + N + i) * C + j];
      }
    }
    mla.k_b_proj = {
        .dtype = DType::f32, .rows = H * C, .cols = N, .data = reinterpret_cast<const std::byte*>(k.data())};
    mla.v_b_proj = {
        .dtype = DType::f32, .rows = H * V, .cols = C, .data = reinterpret_cast<const std::byte*>(v.data())};
    mla.kv_b_proj = {};
  }
  split.weights = taken;
  split.network = make_network(split.config, split.weights);
  const auto ids = random_ids(70, c.vocab_size, 1);
  for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed}) {
    Runner a(whole), b(split);
    a.form = b.form = form;
    expect_close(b.forward_chunks(ids, 70), a.forward_chunks(ids, 70));
  }
}

TEST(Transformer, OneChunkEqualsManyChunks) {
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config()}) {
    const RandomModel model(c);
    const auto ids = random_ids(200, c.vocab_size, 2);
    const auto one_shot = Runner(model).forward_chunks(ids, 200);
    for (const size_t chunk : {1u, 7u, 64u, 171u}) expect_close(Runner(model).forward_chunks(ids, chunk), one_shot);
  }
}

TEST(Transformer, WithOneFormChunksAreTheSameBits) {
  const RandomModel model(testing::tiny_v2_config());
  const auto ids = random_ids(200, model.config.vocab_size, 2);
  for (const MlaForm form : {MlaForm::naive, MlaForm::absorbed}) {
    Runner r(model);
    r.form = form;
    const auto one_shot = r.forward_chunks(ids, 200);
    for (const size_t chunk : {1u, 7u, 64u, 171u})
      EXPECT_TRUE(same_bits(r.forward_chunks(ids, chunk), one_shot)) << chunk;
  }
}

TEST(Transformer, ABatchOfMixedLengthsIsEachSequenceAloneBitForBit) {
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config()}) {
    for (const CacheType cache_type :
         {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8, CacheType::fp8}) {
      const RandomModel model(c);
      const std::vector<std::vector<int32_t>> pasts = {
          {}, random_ids(70, c.vocab_size, 3), random_ids(5, c.vocab_size, 4)};
      const std::vector<std::vector<int32_t>> news = {random_ids(90, c.vocab_size, 5), random_ids(1, c.vocab_size, 6),
                                                      random_ids(13, c.vocab_size, 7)};
      Runner together(model, 1, cache_type);
      std::vector<SequenceCache> sequences(3);
      std::vector<float> alone;
      for (size_t s = 0; s < 3; ++s) {
        Runner single(model, 1, cache_type);
        SequenceCache own;
        for (Runner* r : {&single, &together}) {
          if (pasts[s].empty()) continue;
          Batch past;
          past.add(r->cache, r == &single ? own : sequences[s], pasts[s], Batch::Logits::none);
          r->forward(past);
        }
        Batch step;
        step.add(single.cache, own, news[s], Batch::Logits::all);
        const auto logits = single.forward(step);
        alone.insert(alone.end(), logits.begin(), logits.end());
      }
      Batch step;
      for (size_t s = 0; s < 3; ++s) step.add(together.cache, sequences[s], news[s], Batch::Logits::all);
      EXPECT_TRUE(same_bits(together.forward(step), alone));
    }
  }
}

TEST(Transformer, TheNumberOfThreadsChangesNoBit) {
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config()}) {
    const RandomModel model(c);
    const auto ids = random_ids(150, c.vocab_size, 8);
    Runner one(model, 1);
    const auto want = one.forward_chunks(ids, 40);
    for (const int threads : {2, 3, 5})
      EXPECT_TRUE(same_bits(Runner(model, threads).forward_chunks(ids, 40), want)) << threads;
  }
}

TEST(Transformer, BfloatActivationsStayNearFloatOnes) {
  const RandomModel model(testing::tiny_llama_config());  // no router: a flipped choice is no rounding
  const auto ids = random_ids(40, model.config.vocab_size, 9);
  Runner exact(model), rounded(model);
  rounded.numerics = Numerics::bf16_reference();
  const auto want = exact.forward_chunks(ids, 40), got = rounded.forward_chunks(ids, 40);
  EXPECT_FALSE(same_bits(got, want));
  for (float v : got) EXPECT_EQ(v, bf16_to_f32(f32_to_bf16(v)));
  // One rounding is 2^-9 relative; about thirty of them lie between the embedding and a logit.
  EXPECT_LE(largest_difference(got, want), 30 * 0x1p-9f * largest_magnitude(want));
}

TEST(Transformer, AnIdOutsideTheVocabularyIsRefused) {
  const RandomModel model(testing::tiny_v2_config());
  for (const int32_t id : {-1, 97, 2147483647})
    EXPECT_THROW(Runner(model).forward_chunks(std::vector<int32_t>{1, id}, 2), Error);
}

TEST(Transformer, NaNInARouterNeverLeadsOutOfRange) {
  RandomModel model(testing::tiny_v2_config());
  Buffer<float> bad(8 * 48);
  for (float& v : bad.vec()) v = NAN;
  std::get<MoeWeights>(model.weights.layers[1].mlp).gate.data = reinterpret_cast<const std::byte*>(bad.data());
  const auto logits = Runner(model).forward_chunks(random_ids(9, 97, 1), 9);
  EXPECT_TRUE(std::isnan(logits[0]));
}

TEST(Transformer, AFullCacheIsAResourceErrorAndChangesNothing) {
  const RandomModel model(testing::tiny_v2_config());
  Runner r(model, 1, CacheType::f32, 64);
  SequenceCache sequence;
  Batch batch;
  EXPECT_THROW(batch.add(r.cache, sequence, random_ids(65, 97, 1), Batch::Logits::all), Error);
  EXPECT_EQ(sequence.length(), 0);
  EXPECT_EQ(r.cache.free_tokens(), 64);
}

}  // namespace
}  // namespace fathom
