#include "kernels/attention/attention_forward.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_heads.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

constexpr int64_t
    kQueries = 64,
    kKeys = 256;  // of one block: its scores fit the second level cache, and packing the keys is paid for by 64 queries

// scores (nq, nk) of a block become e^(scale * score - max'); states and the rows of o, unnormalised, follow. Keys
// later than a query get 0.
void softmax_block(const KernelTable& k, float scale, int64_t q0, int64_t k0, MatView<float> scores,
                   AttentionState* states, int64_t state_stride, MatView<float> o) {
  for (int64_t i = 0; i < scores.rows; ++i) {
    float* row = scores.row(i);
    const int64_t visible = std::clamp<int64_t>(q0 + i - k0 + 1, 0, scores.cols);
    std::fill(row + visible, row + scores.cols, 0.0f);
    if (visible == 0) continue;
    AttentionState& state = states[i * state_stride];
    k.scale(scale, row, visible);
    const float max = std::max(state.max, k.max_row(row, visible)), keep = std::exp(state.max - max);
    const float sum = k.exp_row(row, max, visible);
    if (keep != 1.0f) k.scale(keep, o.row(i), o.cols);
    state = {.max = max, .sum = state.sum * keep + sum};
  }
}

// key (n, d), value (n, V): of the head, as operands.
void head_forward(const KernelTable& k, MatmulPrecision precision, const AttentionForward& a, int64_t head,
                  const AnyRows& key, const AnyRows& value, float* memory) {
  const int64_t n = a.q.rows, d = key.cols(), V = a.layout.value_dim;
  const HeadOperands operands(precision);
  float *scores_memory = memory, *rounded_scores = memory + kQueries * kKeys;
  const AnyRows q = operands.of(a.q.sub_cols(head * d, d), rounded_scores + kQueries * kKeys);
  const MatView<float> o = a.o.sub_cols(head * V, V);
  for (int64_t q0 = 0; q0 < n; q0 += kQueries) {
    const int64_t nq = std::min(kQueries, n - q0);
    const MatView<float> rows = o.sub_rows(q0, nq);
    AttentionState* states = a.states + q0 * a.layout.heads + head;
    for (int64_t i = 0; i < nq; ++i) {
      std::fill(rows.row(i), rows.row(i) + V, 0.0f);
      states[i * a.layout.heads] = {};
    }
    for (int64_t k0 = 0; k0 < q0 + nq; k0 += kKeys) {
      const int64_t nk = std::min({kKeys, n - k0, q0 + nq - k0});
      const MatView<float> scores(scores_memory, nq, nk);
      gemm_nt_serial(precision, q.sub_rows(q0, nq), key.sub_rows(k0, nk), scores, false);
      softmax_block(k, a.scale, q0, k0, scores, states, a.layout.heads, rows);
      gemm_nn_serial(precision, operands.of(scores, rounded_scores), value.sub_rows(k0, nk), rows, true);
    }
    for (int64_t i = 0; i < nq; ++i) k.scale(1.0f / states[i * a.layout.heads].sum, rows.row(i), V);
  }
}

void kv_head_forward(const KernelTable& k, MatmulPrecision precision, const AttentionForward& a, int64_t kv,
                     float* memory) {
  const int64_t n = a.q.rows, d = a.layout.key_dim + a.shared_key.cols;
  const MatView<float> key(memory, n, d);
  join_key(a, kv, key);
  memory += n * d;
  const HeadOperands operands(precision);
  const AnyRows keys = operands.of(key, memory);
  memory += HeadOperands::floats(n, d);
  const AnyRows values = operands.of(a.value.sub_cols(kv * a.layout.value_stride, a.layout.value_dim), memory);
  memory += HeadOperands::floats(n, a.layout.value_dim);
  for (int64_t head = kv * a.layout.heads_per_kv; head < (kv + 1) * a.layout.heads_per_kv; ++head)
    head_forward(k, precision, a, head, keys, values, memory);
}

}  // namespace

void attention_forward(ThreadPool& pool, Arena& arena, MatmulPrecision precision,
                       std::span<const AttentionForward> sequences) noexcept {
  const KernelTable& k = kernels();
  for_each_kv_head(
      pool, arena, sequences,
      [](int64_t n, int64_t d, int64_t V) {
        return n * d + 2 * HeadOperands::floats(n, d) + HeadOperands::floats(n, V) + 2 * kQueries * kKeys;
      },
      [&](const AttentionForward& a, int64_t kv, float* memory) { kv_head_forward(k, precision, a, kv, memory); });
}

}  // namespace fathom
