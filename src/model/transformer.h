// The whole network, forward: token ids of a batch in, logits of the wanted rows out.
#pragma once
#include "model/moe/moe.h"
#include "model/saved.h"
#include "model/step.h"

namespace fathom {

// What a cache for this model must look like.
// calibration: for a type that needs one. bad_input Error for a type that this model cannot have.
CacheLayout cache_layout(const ModelConfig& config, CacheType type,
                         std::shared_ptr<const LatentCalibration> calibration = {});

Network make_network(const ModelConfig& config, const ModelWeights& weights);

// bad_input Error for a token id outside the vocabulary.
void check_ids(std::span<const int32_t> ids, const ModelConfig& config);

// logits (batch.logit_rows.size(), vocab_size) written. The cache receives the rows of all the batch's tokens.
// Errors as of check_ids. The logits of a row are the same bits for any number of threads and any other sequences in
// the batch; splitting one sequence into several steps changes them by rounding only (attention tiles and the form of
// mla.h differ), and not at all with Batch::Steps::pieces in place of steps of one.
void transformer_forward(Context& ctx, const Network& network, const Batch& batch, KvCache& cache,
                         MatView<float> logits);

// Rows that cross the network over several steps, some layers a step, so that a long prompt holds up no step for longer
// than a layer of it takes. Source: arXiv:2510.08055 (layered prefill).
struct Passage {
  Batch batch;
  Buffer<float> x = {};  // (rows, D): their hidden states after `layers` layers
  int64_t layers = 0;    // done
};

// As transformer_forward for `batch` (which may be empty), with the rows of a passage beside: these take part from
// layer passage.layers on for as long as takes_part says so, which is asked before every layer. At the end
// passage.layers is further on, and where it is num_hidden_layers, the logits of the passage's logit_rows are below
// those of the batch; logits has room for both. No row's bits depend on the others or on where the passage stops. When
// something is thrown, the passage is where it was.
void transformer_forward(Context& ctx, const Network& network, const Batch& batch, Passage& passage,
                         const std::function<bool(int64_t layer)>& takes_part, KvCache& cache, MatView<float> logits);

// ---- The pieces, which training composes too (training_step.h). ----

// What the forward pass of one layer keeps for its backward pass, planned before.
struct LayerTraining {
  LayerSaved& saved;
  const MoeTraining& moe;
  bool reuse_routing = false;  // the forward pass is run again
};

// The rows of the embedding that the batch's tokens name: x (T, D) written.
void embed_forward(const Step& step, MatView<float> x);

// Logits of those rows of x (T, D) after the last layer: the last norm, then lm_head. logits (rows, vocab_size)
// written.
void head_forward(Context& ctx, const Network& network, std::span<const int32_t> rows, MatView<const float> x,
                  MatView<float> logits);

// x (T, D) in place: x += attention(norm(x)); x += feed_forward(norm(x)). training: nullptr in inference.
void layer_forward(const Step& step, int64_t layer, MatView<float> x, const LayerTraining* training);

// cos and sin for the rows of a batch, in the arena.
RotaryRows rotary_rows(Context& ctx, const Network& network, const Batch& batch);

// x += y; to = from.
void add_rows(Context& ctx, MatView<const float> y, MatView<float> x);
void copy_rows(Context& ctx, MatView<const float> from, MatView<float> to);

}  // namespace fathom
