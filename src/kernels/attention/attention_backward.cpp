#include "kernels/attention/attention_backward.h"

#include <algorithm>
#include <cmath>

#include "kernels/attention/attention_heads.h"
#include "kernels/dispatch.h"

namespace fathom {
namespace {

constexpr int64_t kBlock = 64;  // queries, and keys, of one block: its products fit the first level cache

// What one thread needs for one key/value head of a sequence of n tokens.
struct Work {
  MatView<float> key, dkey;                                  // (n, d): both parts of the key side by side
  MatView<float> probability, grad;                          // (kBlock, kBlock)
  float* D;                                                  // (n) <d_o, o>
  float *keys, *values, *queries, *outputs, *probabilities;  // as operands of products

  static int64_t floats(int64_t n, int64_t d, int64_t V) {
    return 2 * n * d + 3 * kBlock * kBlock + n + 2 * HeadOperands::floats(n, d) + 2 * HeadOperands::floats(n, V);
  }
  Work(float* memory, int64_t n, int64_t d, int64_t V)
      : key(memory, n, d),
        dkey(memory + n * d, n, d),
        probability(memory + 2 * n * d, kBlock, kBlock),
        grad(probability.data + kBlock * kBlock, kBlock, kBlock),
        D(grad.data + kBlock * kBlock),
        keys(D + n),
        values(keys + HeadOperands::floats(n, d)),
        queries(values + HeadOperands::floats(n, V)),
        outputs(queries + HeadOperands::floats(n, d)),
        probabilities(outputs + HeadOperands::floats(n, V)) {}
};

// probability (nq, nk) = exp(scale <q, k> - log sum), zero where the key is later than the query.
void probabilities(const KernelTable& k, MatmulPrecision precision, const AttentionGradient& g, int64_t head,
                   int64_t q0, int64_t k0, const AnyRows& q, const AnyRows& key, MatView<float> p) {
  gemm_nt_serial(precision, q, key, p, false);
  for (int64_t i = 0; i < p.rows; ++i) {
    const AttentionState& state = g.states[(q0 + i) * g.layout.heads + head];
    const int64_t visible = std::clamp<int64_t>(q0 + i - k0 + 1, 0, p.cols);
    float* row = p.row(i);
    k.scale(g.scale, row, visible);
    k.exp_row(row, state.max + std::log(state.sum), visible);
    std::fill(row + visible, row + p.cols, 0.0f);
  }
}

// key, value: those of the head as operands.
void head_backward(const KernelTable& k, MatmulPrecision precision, const AttentionGradient& g, int64_t head, Work& w,
                   const AnyRows& key, const AnyRows& value, MatView<float> dvalue) {
  const int64_t n = g.q.rows, d = w.key.cols, V = g.layout.value_dim;
  const HeadOperands operands(precision);
  const MatView<const float> o = g.o.sub_cols(head * V, V), d_of = g.d_o.sub_cols(head * V, V);
  const AnyRows q = operands.of(g.q.sub_cols(head * d, d), w.queries), d_o = operands.of(d_of, w.outputs);
  const MatView<float> dq = g.dq.sub_cols(head * d, d);
  for (int64_t t = 0; t < n; ++t) {
    w.D[t] = k.dot_f32(d_of.row(t), o.row(t), V);
    std::fill(dq.row(t), dq.row(t) + d, 0.0f);
  }
  for (int64_t k0 = 0; k0 < n; k0 += kBlock) {
    const int64_t nk = std::min(kBlock, n - k0);
    for (int64_t q0 = k0; q0 < n; q0 += kBlock) {
      const int64_t nq = std::min(kBlock, n - q0);
      const MatView<float> p(w.probability.data, nq, nk), ds(w.grad.data, nq, nk);
      probabilities(k, precision, g, head, q0, k0, q.sub_rows(q0, nq), key.sub_rows(k0, nk), p);
      gemm_tn_serial(precision, operands.of(p, w.probabilities), d_o.sub_rows(q0, nq), dvalue.sub_rows(k0, nk), true);
      gemm_nt_serial(precision, d_o.sub_rows(q0, nq), value.sub_rows(k0, nk), ds, false);
      for (int64_t i = 0; i < nq; ++i) k.score_gradient_row(g.scale, w.D[q0 + i], p.row(i), nk, ds.row(i));
      const AnyRows dscore = operands.of(ds, w.probabilities);
      gemm_nn_serial(precision, dscore, key.sub_rows(k0, nk), dq.sub_rows(q0, nq), true);
      gemm_tn_serial(precision, dscore, q.sub_rows(q0, nq), w.dkey.sub_rows(k0, nk), true);
    }
  }
}

void kv_head_backward(const KernelTable& k, MatmulPrecision precision, const AttentionGradient& g, int64_t kv,
                      Work& w) {
  const int64_t N = g.layout.key_dim, R = g.shared_key.cols;
  join_key(g, kv, w.key);
  const MatView<float> dvalue = g.dvalue.sub_cols(kv * g.layout.value_stride, g.layout.value_dim),
                       dkey = g.dkey.sub_cols(kv * g.layout.key_stride, N);
  const HeadOperands operands(precision);
  const AnyRows keys = operands.of(w.key, w.keys),
                values = operands.of(g.value.sub_cols(kv * g.layout.value_stride, g.layout.value_dim), w.values);
  const auto zero = [](MatView<float> m) {
    for (int64_t t = 0; t < m.rows; ++t) std::fill(m.row(t), m.row(t) + m.cols, 0.0f);
  };
  zero(dvalue);
  zero(w.dkey);
  for (int64_t head = kv * g.layout.heads_per_kv; head < (kv + 1) * g.layout.heads_per_kv; ++head) {
    head_backward(k, precision, g, head, w, keys, values, dvalue);
    if (R == 0) continue;
    copy_block(w.dkey.sub_cols(N, R), g.dshared.sub_cols(head * R, R));
    zero(w.dkey.sub_cols(N, R));
  }
  copy_block(w.dkey.sub_cols(0, N), dkey);
}

}  // namespace

void attention_backward(ThreadPool& pool, Arena& arena, MatmulPrecision precision,
                        std::span<const AttentionGradient> sequences) noexcept {
  const KernelTable& k = kernels();
  for_each_kv_head(pool, arena, sequences, Work::floats, [&](const AttentionGradient& g, int64_t kv, float* memory) {
    Work work(memory, g.q.rows, g.layout.key_dim + g.shared_key.cols, g.layout.value_dim);
    kv_head_backward(k, precision, g, kv, work);
  });
}

}  // namespace fathom
