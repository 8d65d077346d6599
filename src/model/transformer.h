// The whole network, forward: token ids of a batch in, logits of the wanted rows out.
#pragma once
#include "kvcache/kv_cache.h"
#include "model/batch.h"
#include "model/context.h"
#include "model/load.h"
#include "model/mla.h"
#include "model/moe.h"

namespace fathom {

// What a cache for this model must look like.
CacheLayout cache_layout(const ModelConfig& config, CacheType type);

// A loaded model with what is derived from its config once.
struct Network {
  const ModelConfig* config;
  const ModelWeights* weights;
  RotaryTable rotary;
  AttentionSettings attention;
};
Network make_network(const ModelConfig& config, const ModelWeights& weights);

// logits (batch.logit_rows.size(), vocab_size) written. The cache receives the rows of all the batch's tokens.
// bad_input Error for a token id outside the vocabulary. The logits of a row are the same bits for any number of
// threads and any other sequences in the batch; splitting one sequence into several steps changes them by rounding only
// (attention tiles and the form of mla.h differ), and not at all with Batch::Steps::single in place of steps of one.
void transformer_forward(Context& ctx, const Network& network, const Batch& batch, KvCache& cache,
                         MatView<float> logits);

// ---- The pieces, which training composes too (training_step.h). ----

// x (T, D) in place: x += attention(norm(x)); x += feed_forward(norm(x)). Without a cache, sequences attend to
// themselves (mla.h). saved: nullptr, or planned for this layer, with training beside it.
void layer_forward(Context& ctx, const Network& network, int64_t layer, const Batch& batch, const RotaryRows& rotary,
                   KvCache* cache, MatView<float> x, LayerSaved* saved, const MoeTraining* training,
                   bool reuse_routing);

// cos and sin for the rows of a batch, in the arena.
RotaryRows rotary_rows(Context& ctx, const Network& network, const Batch& batch);

// x += y; to = from.
void add_rows(Context& ctx, MatView<const float> y, MatView<float> x);
void copy_rows(Context& ctx, MatView<const float> from, MatView<float> to);

}  // namespace fathom
