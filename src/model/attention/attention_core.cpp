#include "model/attention/attention_core.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace fathom {
namespace {

// A task is up to kMaxQueries rows of queries that read one key/value head: the heads of its group for one token, or,
// where every head has keys of its own, consecutive tokens of one head.
struct Tasks {
  int64_t heads, heads_per_task, tokens_per_task, head_tasks, token_tasks, heads_per_kv;
  int64_t count() const { return head_tasks * token_tasks; }
};

Tasks split_tasks(const RunningAttention& a) {
  const int64_t per_task = std::min(kMaxQueries, a.query.heads_per_kv),
                tokens = a.query.heads_per_kv == 1 ? kMaxQueries : 1;
  const int64_t parts = (a.query.heads_per_kv + per_task - 1) / per_task;
  return {a.query.heads,
          per_task,
          tokens,
          a.query.heads / a.query.heads_per_kv * parts,
          (a.queries.rows + tokens - 1) / tokens,
          a.query.heads_per_kv};
}

QueryBlock query_block(const RunningAttention& a, const Tasks& tasks, int64_t task, int64_t& kv_head) {
  const int64_t parts = tasks.head_tasks / (a.query.heads / a.query.heads_per_kv),
                part = task % tasks.head_tasks % parts;
  kv_head = task % tasks.head_tasks / parts;
  const int64_t t = task / tasks.head_tasks * tasks.tokens_per_task,
                head = kv_head * a.query.heads_per_kv + part * tasks.heads_per_task;
  const int64_t n_heads = std::min(tasks.heads_per_task, (kv_head + 1) * a.query.heads_per_kv - head);
  const int64_t n_tokens = std::min(tasks.tokens_per_task, a.queries.rows - t);
  const int64_t query_width = a.queries.cols / a.query.heads, value_width = a.values.cols / a.query.heads;
  const bool tokens = a.query.heads_per_kv == 1;
  const int64_t n = tokens ? n_tokens : n_heads;
  return {.queries = {a.queries.row(t) + head * query_width, n, query_width, tokens ? a.queries.stride : query_width},
          .position = a.query.first_position + t,
          .step = tokens ? 1 : 0,
          .states = a.states + t * a.query.heads + head,
          .state_stride = tokens ? a.query.heads : 1,
          .values = {a.values.row(t) + head * value_width, n, value_width, tokens ? a.values.stride : value_width}};
}

}  // namespace

void rotate_heads(Context& ctx, RopeLayout layout, MatView<float> x, const RotaryColumns& columns,
                  const RotaryRows& rotary) {
  const KernelTable& k = kernels();
  const int64_t pairs = rotary.cosines.cols;
  const auto rotate = layout == RopeLayout::interleaved ? k.rope_interleaved : k.rope_half_split;
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t h = 0; h < columns.heads; ++h)
        rotate(x.row(t) + columns.first + h * columns.stride, rotary.cosines.row(t), rotary.sines.row(t), pairs);
  });
}

RotaryRows reversed(Context& ctx, const RotaryRows& rotary) {
  auto sines = scratch(ctx, rotary.sines.rows, rotary.sines.cols);
  for (int64_t t = 0; t < sines.rows; ++t)
    for (int64_t i = 0; i < sines.cols; ++i) sines(t, i) = -rotary.sines(t, i);
  return {rotary.cosines, sines};
}

RunningAttention start_attention(Context& ctx, const QueryHeads& query, MatView<const float> queries,
                                 MatView<float> values) {
  const int64_t n_states = queries.rows * query.heads;
  const RunningAttention a{query, queries, values, ctx.arena.take<AttentionState>(n_states)};
  std::fill(a.states, a.states + n_states, AttentionState{});
  for (int64_t t = 0; t < values.rows; ++t) std::fill(values.row(t), values.row(t) + values.cols, 0.0f);
  return a;
}

void attend(Context& ctx, const RunningAttention& a, const KeyRange& keys, const TileFn& tile, int64_t tile_scratch) {
  const KernelTable& k = kernels();
  const Tasks tasks = split_tasks(a);
  const int64_t per_thread = kAttentionScratch + tile_scratch;
  Arena::Scope scope(ctx.arena);
  float* scratch_all = ctx.arena.take<float>(per_thread * ctx.pool.size());
  // Rows cost more the later they are: the longest first.
  ctx.pool.for_each_task(tasks.count(), [&](int thread, int64_t i) {
    float* mine = scratch_all + thread * per_thread;
    int64_t kv_head = 0;
    const QueryBlock block = query_block(a, tasks, tasks.count() - 1 - i, kv_head);
    const int64_t last_position = block.position + (block.queries.rows - 1) * block.step;
    const int64_t keys_end = keys.first + keys.n;
    const int64_t end = std::min(keys_end, last_position + 1);  // causal: nothing after the last row itself
    for (int64_t p = keys.first; p < end; p += keys.tile_size)
      attend_tile(k, tile(p, std::min(keys.tile_size, keys_end - p), kv_head, mine + kAttentionScratch), block,
                  a.query.scale, mine);
  });
}

void finish(Context& ctx, const RunningAttention& a) {
  const KernelTable& k = kernels();
  ctx.pool.parallel_for(a.queries.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      finish_attention(k, a.states + t * a.query.heads,
                       {a.values.row(t), a.query.heads, a.values.cols / a.query.heads});
  });
}

}  // namespace fathom
