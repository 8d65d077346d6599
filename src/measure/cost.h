// What a piece of work must read and multiply, counted from the config and the stored types: what a speed is held
// against.
//
// Weights that a step of T rows over sequences reads, each once: all but the embedding table (one row a token), the
// head only when logits are wanted, and of the routed experts the expected share of distinct ones when tokens choose
// independently and evenly, (1 - (1 - K/E)^T) of E; text is more alike than that, so this is an upper estimate.
// Multiply-adds: each matrix times its rows (experts K/E of them), and attention in the cheaper of its forms (mla.h)
// over the positions that causality leaves. Norms, softmax, routing and rotation are left out.
#pragma once
#include <array>
#include <numeric>
#include <string_view>

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
  Cost& operator+=(const Cost& o) noexcept {
    weight_bytes += o.weight_bytes;
    cache_bytes += o.cache_bytes;
    flops += o.flops;
    return *this;
  }
};

// What a step does, by the zones of a trace (docs/tracing.md).
enum class Part : uint8_t { projections, attention, routing, experts, dense, head, rest };
inline constexpr std::array<std::string_view, 7> kPartNames = {
    "projections of attention", "attention", "routing",           "experts",
    "dense feed-forward",       "logits",    "norms and the rest"};
using PartCosts = std::array<Cost, kPartNames.size()>;
inline Cost sum_of(const PartCosts& parts) noexcept {
  return std::accumulate(parts.begin(), parts.end(), Cost{}, [](Cost a, const Cost& b) { return a += b; });
}

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
  PartCosts step_parts(int64_t sequences, int64_t n_past, int64_t n_new) const;
  Cost step(int64_t sequences, int64_t n_past, int64_t n_new) const {
    return sum_of(step_parts(sequences, n_past, n_new));
  }
  // All steps of a work; a prefill is cut into chunks of chunk_tokens, each of which reads the weights again.
  PartCosts work_parts(const Work& work, int64_t chunk_tokens) const;
  Cost work(const Work& work, int64_t chunk_tokens) const { return sum_of(work_parts(work, chunk_tokens)); }

  const ActiveParameters& active() const noexcept { return active_; }
  double total_bytes() const noexcept {
    return std::accumulate(bytes_.begin(), bytes_.end(), routed_bytes_ + embedding_bytes_);
  }

 private:
  double attention_flops(int64_t n_past, int64_t n_new) const;  // of one sequence, beyond its linear layers

  ModelConfig config_;
  CacheLayout cache_;
  ActiveParameters active_;
  double& bytes_of(Part part) noexcept { return bytes_[static_cast<size_t>(part)]; }
  std::array<double, kPartNames.size()> bytes_{};  // of weights; of experts the shared ones
  double embedding_bytes_ = 0, embedding_row_bytes_ = 0, routed_bytes_ = 0;
  double latent_parameters_ = 0;  // of kv_b_proj, all layers: counted with attention, by its form
};

}  // namespace fathom
