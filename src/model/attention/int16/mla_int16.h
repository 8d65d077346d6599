// Latent attention over the KV cache in 16-bit integers (kernels/attention/int16_attention.h), which
// Numerics::quantised uses. The two forms and the letters are those of mla.h; every result is within the bounds that
// int16_attention.h states of the exact one.
//
// The bits are the same for any number of threads, for any other sequences in the batch and, as long as the form is the
// same, however a sequence is cut into steps: K/V tiles are the blocks of the cache, the absorbed form attends to
// kSplit positions at a time and merges the partial results in order, and the naive form visits all tiles in order.
#pragma once
#include "model/attention/mla.h"

namespace fathom {

inline constexpr int64_t kSplit = 8 * kBlockTokens;  // positions that one partial result of the absorbed form covers

// With fewer tasks than this, the absorbed form splits the past of a sequence between threads.
inline constexpr int64_t kTasksPerThread = 4;

// One layer's attention: what all of its functions share.
struct Int16Attention {
  Context& ctx;
  const ModelConfig& c;
  const MlaWeights& w;
  const AttentionSettings& settings;
  int64_t layer;
  KvCache& cache;
  int64_t expanded_bytes = int64_t{1} << 27;  // about how much of expanded keys and values the naive form holds
};

// Stores the latents (T, C + R) of the batch in the cache and computes o (T, H V) from q (T, H (N + R)).
void attend_int16(const Int16Attention& a, const Batch& batch, MatView<const float> latents, MatView<const float> q,
                  MatView<float> o);

// Multiply-adds of each part of the two forms for n_new tokens after n_past, including those of padding lanes.
struct MlaWork {
  double fold = 0, absorbed = 0;  // the absorbed form
  double expand = 0, naive = 0;   // the naive one
};
MlaWork mla_int16_work(const ModelConfig& config, int64_t n_past, int64_t n_new);

// The form that takes less time at these costs; it depends on n_new and n_past alone. packed: kv_b_proj is packed,
// which makes its matmuls faster.
MlaForm cheaper_int16_form(const ModelConfig& config, const MlaCosts& costs, bool packed, int64_t n_past,
                           int64_t n_new);

// The most new tokens after n_past, up to `limit`, that are attended in the absorbed form.
int64_t most_absorbed(const ModelConfig& config, const MlaCosts& costs, bool packed, int64_t n_past, int64_t limit);

// A config with the attention of V2-Lite (hidden_size, heads and their widths) and nothing else: costs are measured on
// it, and `fathom tune` shows on it what they lead to.
ModelConfig lite_attention();

// How many of n_query_tiles one task takes: as many as possible, since they share the packing of a K/V tile, while
// every thread still gets several tasks; at least four. Results do not depend on it.
int64_t query_tiles_per_task(int64_t n_query_tiles, int n_threads) noexcept;

// Writes the latents of batch rows [first, first + n) to the KV cache, clipped to the batch.
void store_latents(const Int16Attention& a, const Batch& batch, MatView<const float> latents, int64_t first, int64_t n);

// The absorbed form, for several sequences of the batch at once, in the batch's order. Its first parallel section also
// stores the latents of the whole batch.
void attend_absorbed_int16(const Int16Attention& a, const Batch& batch, std::span<const BatchSequence> sequences,
                           MatView<const float> latents, MatView<const float> q, MatView<float> o);

// The naive form, for one sequence whose latents are stored already.
void attend_naive_int16(const Int16Attention& a, const BatchSequence& s, MatView<const float> q, MatView<float> o);

}  // namespace fathom
