// The tokens of one step: rows of several sequences, each with its own positions.
#pragma once
#include <cstdint>
#include <vector>

#include "kvcache/kv_cache.h"
#include "model/yarn.h"

namespace fathom {

// Rows [first_row, first_row + n) of the batch are the tokens at positions [first_position, first_position + n) of one
// sequence. Its cache already counts them as stored (KvCache::extend); the forward pass writes their rows. Several in a
// row may belong to the same cache: the steps of Steps::per_token.
struct BatchSequence {
  SequenceCache* cache = nullptr;
  int64_t first_row = 0, n = 0;
  int64_t first_position = 0;
};

struct Batch {
  std::vector<int32_t> tokens, positions;  // one a row
  std::vector<BatchSequence> sequences;    // cover the rows in order
  std::vector<int32_t> logit_rows;         // rows whose logits are wanted

  int64_t rows() const noexcept { return static_cast<int64_t>(tokens.size()); }

  // Appends the tokens of one sequence, after extending its cache. logits: none, of the last token, or of all of them.
  // per_token: every token attends as a step of its own, so that its row has the bits that steps of one token would
  // give (joined, the form of attention and its tiles follow from the number of tokens; mla.h).
  enum class Logits : uint8_t { none, last, all };
  enum class Steps : uint8_t { joined, per_token };
  void add(KvCache& cache, SequenceCache& sequence, std::span<const int32_t> ids, Logits logits,
           Steps steps = Steps::joined);
  // Takes back what add() did to the caches, also where it threw in the middle: for a step that failed.
  void roll_back(KvCache& cache) const noexcept;

  // Appends a whole sequence that has no cache (training): it attends to itself. Its first token is at rotary position
  // first_position.
  void add_whole(std::span<const int32_t> ids, int64_t first_position);
};

// cos and sin for every row of a batch, (T, rope_dim / 2), computed once and used by every layer.
struct RotaryRows {
  MatView<const float> cosines, sines;
};

}  // namespace fathom
