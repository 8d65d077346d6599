// What a piece of work must read and multiply, counted from the config and the stored types: what a speed is held
// against.
//
// Weights that a step of T rows over sequences reads, each once: all but the embedding table (one row a token), the
// head only when logits are wanted, and of the routed experts the expected share of distinct ones when tokens choose
// independently and evenly, (1 - (1 - K/E)^T) of E; text is more alike than that, so this is an upper estimate.
// Multiply-adds: each matrix times its rows (experts K/E of them), and attention in the cheaper of its forms (mla.h)
// over the positions that causality leaves. Norms, softmax, routing and rotation are left out.
#pragma once
#include "config/config.h"
#include "kvcache/kv_cache.h"
#include "measure/work.h"
#include "model/weights.h"

namespace fathom {

struct Cost {
  double weight_bytes = 0;  // read from memory
  double cache_bytes = 0;   // past and new rows, read once a step
  double flops = 0;         // two a multiply-add

  double bytes() const noexcept { return weight_bytes + cache_bytes; }
};

// Parameters that one token is multiplied with, by part of the model; the sum is what "activated parameters" means
// without the embedding table.
struct ActiveParameters {
  double attention = 0, dense = 0, router = 0, routed = 0, shared = 0, head = 0, norms = 0;
  double total() const noexcept { return attention + dense + router + routed + shared + head + norms; }
};

// E (1 - (1 - K/E)^tokens).
double expected_distinct_experts(int64_t n_experts, int64_t n_chosen, int64_t tokens) noexcept;

// Counts of one model. The weights need shapes and types; their bytes are not read.
class CostModel {
 public:
  CostModel(const ModelConfig& config, const ModelWeights& weights, const CacheLayout& cache);

  // Sequences of n_new tokens each after n_past, in one step, with logits of the last token of each.
  Cost step(int64_t sequences, int64_t n_past, int64_t n_new) const;
  // All steps of a work; a prefill is cut into chunks of chunk_tokens, each of which reads the weights again.
  Cost work(const Work& work, int64_t chunk_tokens) const;

  const ActiveParameters& active() const noexcept { return active_; }
  double total_bytes() const noexcept { return other_bytes_ + routed_bytes_ + head_bytes_ + embedding_bytes_; }

 private:
  double attention_flops(int64_t n_past, int64_t n_new) const;  // of one sequence, beyond its linear layers

  ModelConfig config_;
  CacheLayout cache_;
  ActiveParameters active_;
  double embedding_bytes_ = 0, embedding_row_bytes_ = 0, head_bytes_ = 0, routed_bytes_ = 0, other_bytes_ = 0;
  double latent_parameters_ = 0;  // of kv_b_proj, all layers: counted with attention, by its form
};

}  // namespace fathom
