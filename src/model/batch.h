// The tokens of one step: rows of several sequences, each with its own positions.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kvcache/kv_cache.h"
#include "model/yarn.h"

namespace fathom {

// So many new tokens after so many past ones. The form of latent attention is chosen for it (model/attention/mla.h).
struct StepSize {
  int64_t n_past = 0, n_new = 0;
};

// Rows [first_row, first_row + n) of the batch are the tokens at positions [first_position, first_position + n) of one
// sequence. Its cache already counts them as stored (KvCache::extend); the forward pass writes their rows. Several in a
// row may belong to the same cache: the pieces of Steps::pieces.
struct BatchSequence {
  SequenceCache* cache = nullptr;
  int64_t first_row = 0, n = 0;
  int64_t first_position = 0;
  StepSize attends_as = {};  // these rows may be a part of it
};

// A prompt attends in pieces of so many tokens from its first one on.
inline constexpr int64_t kPieceTokens = 512;

// The step that the token at `position` attends as, in a sequence whose first prompt_tokens tokens are a prompt: its
// piece of the prompt, or a step of its own. It depends on nothing else, so neither on how a sequence is cut into steps
// nor on what runs beside it.
constexpr StepSize piece_of(int64_t position, int64_t prompt_tokens) noexcept {
  if (position >= prompt_tokens) return {position, 1};
  const int64_t first = position / kPieceTokens * kPieceTokens;
  return {first, std::min(kPieceTokens, prompt_tokens - first)};
}

// Whether tokens that attend as such a step are multiplied with unpacked weights of bfloat16 by kernels that are made
// for many rows (linear(), context.h). A function of that step alone, so that a token's bits do not depend on what runs
// beside it.
constexpr bool has_many_rows(StepSize size) noexcept { return size.n_new >= 64; }

struct Batch {
  std::vector<int32_t> tokens, positions;  // one a row
  std::vector<BatchSequence> sequences;    // cover the rows in order
  std::vector<int32_t> logit_rows;         // rows whose logits are wanted

  int64_t rows() const noexcept { return static_cast<int64_t>(tokens.size()); }

  // Appends the tokens of one sequence, after extending its cache. logits: none, of the last token, or of all of them.
  // joined: the tokens attend as one step. pieces: as piece_of(), the same bits however the sequence is cut; a token
  // behind the prompt attends as a step of its own.
  enum class Logits : uint8_t { none, last, all };
  enum class Steps : uint8_t { joined, pieces };
  void add(KvCache& cache, SequenceCache& sequence, std::span<const int32_t> ids, Logits logits,
           Steps steps = Steps::joined, int64_t prompt_tokens = 0);
  // Appends the rows of another batch, which has other sequences.
  void add(const Batch& other);
  // Takes the rows of one sequence out, and its tokens out of the cache. Returns which rows stay, in order.
  std::vector<int64_t> remove(KvCache& cache, SequenceCache& sequence);
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
