// The gradient of causal softmax attention over whole sequences: flash style, a block of queries against a block of
// keys at a time, probabilities computed again from the saved maximum and sum. Definition: ref/attention.h.
#pragma once
#include <span>

#include "base/arena.h"
#include "base/threads.h"
#include "kernels/attention.h"
#include "kernels/linear.h"

namespace fathom {

// One sequence: n rows, one a token. Head h reads key/value head h / heads_per_kv, whose columns start at that head
// times the stride; its key is [key | shared_key], as in KeyTile.
struct AttentionGradient {
  int64_t heads = 0, heads_per_kv = 1;
  float scale = 0;
  MatView<const float> q, o, d_o;  // (n, heads * (key_dim + shared width)), (n, heads * value_dim) twice
  MatView<const float> key, shared_key, value;
  int64_t key_dim = 0, key_stride = 0, value_dim = 0, value_stride = 0;
  const AttentionState* states = nullptr;  // (n, heads), of the forward pass
  MatView<float> dq;                       // as q, written
  MatView<float> dkey, dvalue;             // columns as key and value, written
  MatView<float>
      dshared;  // (n, heads * shared width), written: each head's own part, for the caller to sum in head order
};

// The sequences differ in nothing but n. A task is one key/value head of one of them with all its query heads, in
// order: no sum is shared between threads, so the bits do not depend on their number, nor on the other
// sequences. The process ends when there is no memory for scratch.
void attention_backward(ThreadPool& pool, Arena& arena, Products products,
                        std::span<const AttentionGradient> sequences) noexcept;

}  // namespace fathom
