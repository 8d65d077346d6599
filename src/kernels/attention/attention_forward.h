// Causal softmax attention over whole sequences, as matrix products of blocks of queries with blocks of keys: what
// training runs forward, beside attention_backward.h. Definition: ref/attention.h. Inference, whose queries are few and
// whose keys lie in a cache, uses attention.h.
#pragma once
#include <span>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/attention/attention.h"
#include "kernels/matmul/training_matmul.h"

namespace fathom {

// Where the heads are among the columns of keys and values: head h reads key/value head h / heads_per_kv, whose columns
// start at that head times the stride.
struct HeadLayout {
  int64_t heads = 0, heads_per_kv = 1;
  int64_t key_dim = 0, key_stride = 0, value_dim = 0, value_stride = 0;
};

// One sequence: n rows, one a token. The key of a head is [key | shared_key].
struct AttentionForward {
  HeadLayout layout;
  float scale = 0;
  MatView<const float> q;  // (n, heads * (key_dim + shared width))
  MatView<const float> key, shared_key, value;
  MatView<float> o;        // (n, heads * value_dim), written
  AttentionState* states;  // (n, heads), written: what attention_backward needs
};

// The sequences differ in nothing but n. A task is one key/value head of one of them with all its query heads; nothing
// depends on the number of threads or on the other sequences. The process ends when there is no memory for scratch.
void attention_forward(ThreadPool& pool, Arena& arena, MatmulPrecision precision,
                       std::span<const AttentionForward> sequences) noexcept;

}  // namespace fathom
