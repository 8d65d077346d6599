// What attention_forward.cpp and attention_backward.cpp share: their tasks, and the key of a head.
#pragma once
#include <algorithm>
#include <span>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "base/round.h"
#include "kernels/dispatch.h"
#include "kernels/matmul_precision.h"
#include "tensor/any_rows.h"
#include "tensor/view.h"

namespace fathom {

// to[t] = from[t] for every row.
inline void copy_block(MatView<const float> from, MatView<float> to) {
  for (int64_t t = 0; t < from.rows; ++t) std::copy_n(from.row(t), from.cols, to.row(t));
}

// key (n, key_dim + R) of one key/value head: its own part and the shared one side by side.
template <class Sequence>
void join_key(const Sequence& s, int64_t kv, MatView<float> key) {
  copy_block(s.key.sub_cols(kv * s.layout.key_stride, s.layout.key_dim), key.sub_cols(0, s.layout.key_dim));
  if (s.shared_key.cols > 0) copy_block(s.shared_key, key.sub_cols(s.layout.key_dim, s.shared_key.cols));
}

// Blocks of a head that products read: rounded once where products round, however many blocks they meet, else as they
// are. Memory is the caller's.
class HeadOperands {
 public:
  explicit HeadOperands(MatmulPrecision precision)
      : round_row_(precision == MatmulPrecision::bf16 ? gemm_kernel(precision).round_row : nullptr) {}

  static int64_t floats(int64_t rows, int64_t cols) noexcept { return rows * rounded_up(cols, 2); }  // at most

  // m, or m rounded into memory.
  AnyRows of(MatView<const float> m, float* memory) const noexcept {
    if (round_row_ == nullptr) return m;
    const MatView<uint16_t> rounded(reinterpret_cast<uint16_t*>(memory), m.rows, m.cols, rounded_up(m.cols, 2));
    for (int64_t i = 0; i < m.rows; ++i) round_row_(m.row(i), m.cols, rounded.row(i));
    return rounded;
  }

 private:
  void (*round_row_)(const float* x, int64_t n, uint16_t* out) noexcept;
};

// task(sequence, key/value head, scratch) for every head of every sequence, as threads become free. The scratch of a
// thread has floats(rows, key width, value width) floats for the longest sequence.
template <class Sequence, class Floats, class Task>
void for_each_kv_head(ThreadPool& pool, Arena& arena, std::span<const Sequence> sequences, Floats floats, Task task) {
  if (sequences.empty()) return;
  const Sequence& any = sequences[0];
  const int64_t kv_heads = any.layout.heads / any.layout.heads_per_kv, n_tasks = std::ssize(sequences) * kv_heads;
  int64_t longest = 0;
  for (const Sequence& s : sequences) longest = std::max(longest, s.q.rows);
  Arena::Scope scope(arena);
  const int64_t per_thread = floats(longest, any.layout.key_dim + any.shared_key.cols, any.layout.value_dim);
  float* memory = arena.take<float>(per_thread * pool.size());
  pool.for_each_task(n_tasks, [&](int thread, int64_t i) {
    task(sequences[static_cast<size_t>(i / kv_heads)], i % kv_heads, memory + thread * per_thread);
  });
}

}  // namespace fathom
