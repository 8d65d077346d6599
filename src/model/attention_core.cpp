#include "model/attention_core.h"

#include <algorithm>
#include <atomic>

#include "kernels/dispatch.h"

namespace fathom {
namespace {

// A task is a row and up to kMaxHeads heads that read the same key/value head.
struct Tasks {
  int64_t rows, kv_heads, parts, heads_per_part, heads_per_kv;
  int64_t count() const { return rows * kv_heads * parts; }
};

Tasks split_tasks(const RunningAttention& a) {
  const int64_t kv_heads = a.heads / a.heads_per_kv;
  const int64_t per_part = std::min(kMaxHeads, a.heads_per_kv);
  return {a.queries.rows, kv_heads, (a.heads_per_kv + per_part - 1) / per_part, per_part, a.heads_per_kv};
}

}  // namespace

void rotate_heads(Context& ctx, RopeLayout layout, MatView<float> x, int64_t first_col, int64_t n_heads,
                  int64_t head_stride, const RotaryRows& rotary) {
  const KernelTable& k = kernels();
  const int64_t pairs = rotary.cosines.cols;
  const auto rotate = layout == RopeLayout::interleaved ? k.rope_interleaved : k.rope_half_split;
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < n_heads; ++h)
        rotate(x.row(t) + first_col + h * head_stride, rotary.cosines.row(t), rotary.sines.row(t), pairs);
  });
}

RunningAttention start_attention(Context& ctx, MatView<const float> queries, int64_t heads, int64_t heads_per_kv,
                                 MatView<float> values) {
  RunningAttention a{heads, heads_per_kv, queries, values, ctx.arena.take<AttentionState>(queries.rows * heads)};
  std::fill(a.states, a.states + queries.rows * heads, AttentionState{});
  for (int64_t t = 0; t < values.rows; ++t) std::fill(values.row(t), values.row(t) + values.cols, 0.0f);
  return a;
}

void attend(Context& ctx, const RunningAttention& a, int64_t first_position, float scale, int64_t first, int64_t n,
            int64_t tile_size, const TileFn& tile, int64_t tile_scratch) {
  const KernelTable& k = kernels();
  const Tasks tasks = split_tasks(a);
  const int64_t query_width = a.queries.cols / a.heads, value_width = a.values.cols / a.heads;
  const int64_t per_thread = kAttentionScratch + tile_scratch;
  Arena::Scope scope(ctx.arena);
  float* scratch_all = ctx.arena.take<float>(per_thread * ctx.pool.size());
  std::atomic<int64_t> next{0};
  ctx.pool.run([&](int thread) {
    float* mine = scratch_all + thread * per_thread;
    // Rows cost more the later they are, so threads take them one by one, the longest first; which thread does one
    // changes no bit of it.
    for (int64_t i = next.fetch_add(1); i < tasks.count(); i = next.fetch_add(1)) {
      const int64_t task = tasks.count() - 1 - i;
      const int64_t t = task / (tasks.kv_heads * tasks.parts), kv_head = task / tasks.parts % tasks.kv_heads,
                    part = task % tasks.parts;
      const int64_t head = kv_head * tasks.heads_per_kv + part * tasks.heads_per_part;
      const int64_t n_heads = std::min(tasks.heads_per_part, (kv_head + 1) * tasks.heads_per_kv - head);
      const MatView<const float> queries(a.queries.row(t) + head * query_width, n_heads, query_width);
      const MatView<float> values(a.values.row(t) + head * value_width, n_heads, value_width);
      const int64_t last = std::min(first + n, first_position + t + 1);  // causal: nothing after the token itself
      for (int64_t p = first; p < last; p += tile_size)
        attend_tile(k, tile(p, std::min(tile_size, first + n - p), kv_head, mine + kAttentionScratch), queries,
                    first_position + t, scale, a.states + t * a.heads + head, values, mine);
    }
  });
}

void finish(Context& ctx, const RunningAttention& a) {
  const KernelTable& k = kernels();
  ctx.pool.parallel_for(a.queries.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      finish_attention(k, a.states + t * a.heads, {a.values.row(t), a.heads, a.values.cols / a.heads});
  });
}

}  // namespace fathom
