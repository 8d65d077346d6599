// Latent attention over the cache in 16-bit integers (kernels/attention/int16_attention.h): Numerics::quantised. The
// two forms and the letters are those of mla.h; every result is within the bounds of int16_attention.h of the exact
// one.
//
// Same bits for any number of threads, any other sequences of the batch and, with the form fixed, any cutting of a
// sequence into steps: tiles are the blocks of the cache; the absorbed form takes kSplit positions at a time and merges
// them in order, the naive one goes through all tiles in order.
#pragma once
#include "model/attention/mla.h"

namespace fathom {

inline constexpr int64_t kSplit = 8 * kBlockTokens;  // positions of one partial result of the absorbed form

// Where there are fewer tasks, the absorbed form cuts the past between threads.
inline constexpr int64_t kTasksPerThread = 4;

// What one layer attends with.
struct Int16Attention {
  Context& ctx;
  const ModelConfig& c;
  const MlaWeights& w;
  const AttentionSettings& settings;
  int64_t layer;
  KvCache& cache;
  int64_t expanded_bytes = int64_t{1} << 27;  // of keys and values that the naive form keeps at a time, about
};

// Stores latents (T, C + R) of the batch in the cache; o (T, H V) written from q (T, H (N + R)).
void attend_int16(const Int16Attention& a, const Batch& batch, MatView<const float> latents, MatView<const float> q,
                  MatView<float> o);

// Multiply-adds of n_new tokens after n_past in each part of the two forms, lanes of query tiles that stay empty among
// them.
struct MlaWork {
  double fold = 0, absorbed = 0;  // the absorbed form
  double expand = 0, naive = 0;   // the naive one
};
MlaWork mla_fast_work(const ModelConfig& config, int64_t n_past, int64_t n_new);

// The form that takes less time at these costs, by n_new and n_past alone. packed: kv_b_proj is packed, whose
// products are faster.
MlaForm cheaper_fast_form(const ModelConfig& config, const MlaCosts& costs, bool packed, int64_t n_past, int64_t n_new);

// The most new tokens after n_past, up to `limit`, that are attended in the absorbed form.
int64_t most_absorbed(const ModelConfig& config, const MlaCosts& costs, bool packed, int64_t n_past, int64_t limit);

// V2-Lite's attention: hidden_size, heads and their widths, and nothing else. What costs are measured on, and an
// example of what they lead to.
ModelConfig lite_attention();

// Query tiles that one task attends with, of n_query tiles in all: as many as share a tile's preparation while every
// thread has some tasks, at least four. Results do not depend on it.
int64_t query_tiles_per_task(int64_t n_query_tiles, int n_threads) noexcept;

// Rows [first, first + n) of the batch into the cache, those that there are.
void store_latents(const Int16Attention& a, const Batch& batch, MatView<const float> latents, int64_t first, int64_t n);

// The absorbed form of some sequences of the batch, in its order, together. In its first section the rows of the whole
// batch are stored.
void attend_absorbed_int16(const Int16Attention& a, const Batch& batch, std::span<const BatchSequence> sequences,
                           MatView<const float> latents, MatView<const float> q, MatView<float> o);

// The naive form of one sequence, whose rows are stored already.
void attend_naive_int16(const Int16Attention& a, const BatchSequence& s, MatView<const float> q, MatView<float> o);

}  // namespace fathom
