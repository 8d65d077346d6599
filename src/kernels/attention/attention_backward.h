// The gradient of causal softmax attention over whole sequences: flash style, a block of queries against a block of
// keys at a time, probabilities computed again from the saved maximum and sum. Definition: ref/attention.h.
#pragma once
#include <span>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/attention/attention_forward.h"

namespace fathom {

// One sequence: n rows, one a token, as in AttentionForward.
struct AttentionGradient {
  HeadLayout layout;
  float scale = 0;
  MatView<const float> q, o, d_o;  // (n, heads * (key_dim + shared width)), (n, heads * value_dim) twice
  MatView<const float> key, shared_key, value;
  const AttentionState* states = nullptr;  // (n, heads), of the forward pass
  MatView<float> dq;                       // as q, written
  MatView<float> dkey, dvalue;             // columns as key and value, written
  MatView<float>
      dshared;  // (n, heads * shared width), written: each head's own part, for the caller to sum in head order
};

// The sequences differ in nothing but n. A task is one key/value head of one of them with all its query heads, in
// order: no sum is shared between threads, so the bits do not depend on their number, nor on the other
// sequences. The process ends when there is no memory for scratch.
void attention_backward(ThreadPool& pool, Arena& arena, MatmulPrecision precision,
                        std::span<const AttentionGradient> sequences) noexcept;

}  // namespace fathom
