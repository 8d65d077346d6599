// Letters (src/config/config.h): T rows of the batch, H heads, D hidden_size, Q q_lora_rank, C kv_lora_rank, N
// qk_nope_head_dim, R qk_rope_head_dim, V v_head_dim.
#include "base/trace.h"
#include "kernels/attention/attention_forward.h"
#include "kernels/matmul/float_matmul.h"
#include "model/attention/attention_core.h"
#include "model/attention/int16/mla_int16.h"
#include "model/attention/mla.h"
#include "model/attention/mla_heads.h"
#include "model/norm.h"

namespace fathom {
namespace {

constexpr int64_t kExpandTile = KeyTile::kMaxTile;  // positions that the naive form expands at a time

// Down-projections of x: q (or c_q before its norm), and [c | k_r] before norm and rotation.
struct DownProjections {
  MatView<float> query, latent;  // (T, H (N + R)) or (T, Q); (T, C + R)
};
DownProjections project_down(Context& ctx, const ModelConfig& c, const MlaWeights& w, MatView<const float> x,
                             AttentionSaved* saved) {
  const Weight& query = c.q_lora_rank ? w.q_a_proj : w.q_proj;
  DownProjections p;
  if (saved != nullptr)
    p = {c.q_lora_rank ? saved->q_latent : saved->q, saved->latent};
  else
    p = {scratch(ctx, x.rows, query.rows), scratch(ctx, x.rows, c.kv_lora_rank + c.qk_rope_head_dim)};
  linear(ctx, x, {&query, p.query}, {&w.kv_a_proj_with_mqa, p.latent});
  return p;
}

// q (T, H (N + R)), rotated, written to the saved matrices when there are any. first: DownProjections::query.
MatView<float> project_query(const Step& step, const MlaWeights& w, MatView<float> first, AttentionSaved* saved) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim;
  auto q = first;
  if (c.q_lora_rank) {
    auto normed = saved != nullptr ? scratch(ctx, first.rows, *c.q_lora_rank) : first;
    q = saved != nullptr ? saved->q : scratch(ctx, first.rows, H * (N + R));
    round_activations(ctx, first);
    norm_forward(ctx, w.q_a_layernorm, c.rms_norm_eps, first, normed);
    linear(ctx, normed, w.q_b_proj, q);
  }
  round_activations(ctx, q);
  rotate_heads(ctx, c.rope_layout, q, {N, H, N + R}, step.rotary);
  round_activations(ctx, q);
  return q;
}

// [c_kv | k_r] of every row: what a cache keeps. saved->latent keeps c before its norm instead.
MatView<float> project_latents(const Step& step, const MlaWeights& w, MatView<float> latent, AttentionSaved* saved) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t C = c.kv_lora_rank, R = c.qk_rope_head_dim;
  auto normed = saved != nullptr ? scratch(ctx, latent.rows, C + R) : latent;
  round_activations(ctx, latent);
  if (step.cache == nullptr || !step.cache->layout().row().latent()) {  // else it is rotated when it is read
    rotate_heads(ctx, c.rope_layout, latent, {C, 1, C + R}, step.rotary);
    round_activations(ctx, latent.sub_cols(C, R));
  }
  norm_forward(ctx, w.kv_a_layernorm, c.rms_norm_eps, latent.sub_cols(0, C), normed.sub_cols(0, C));
  if (saved != nullptr)
    for (int64_t t = 0; t < latent.rows; ++t) std::copy_n(latent.row(t) + C, R, normed.row(t) + C);
  return normed;
}

void store_latents(int64_t layer, const Batch& batch, MatView<const float> latents, KvCache& cache) {
  for (const BatchSequence& s : batch.sequences)
    for (int64_t i = 0; i < s.n; ++i) cache.store(*s.cache, layer, s.first_position + i, latents.vec(s.first_row + i));
}

// One layer over the cache.
struct CachedLayer {
  const Step& step;
  const MlaWeights& w;
  int64_t layer;
  float scale() const noexcept { return step.network.attention.scale; }
};

// o (n, H V) of one sequence; q (n, H (N + R)). Keys and values are the latents themselves: one key/value head for all.
void attend_absorbed(const CachedLayer& l, const BatchSequence& s, MatView<const float> q, MatView<float> o) {
  Context& ctx = l.step.ctx;
  const ModelConfig& c = l.step.config();
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, V = c.v_head_dim,
                C = c.kv_lora_rank;
  Arena::Scope scope(ctx.arena);
  auto folded = scratch(ctx, s.n, H * (C + R)), z = scratch(ctx, s.n, H * C);
  ctx.pool.parallel_for(H, 1, [&](int64_t begin, int64_t end) {
    for (int64_t h = begin; h < end; ++h) {
      fold_query(c, l.w, h, ctx.numerics, q.sub_cols(h * (N + R), N), folded.sub_cols(h * (C + R), C));
      for (int64_t t = 0; t < s.n; ++t) std::copy_n(q.row(t) + h * (N + R) + N, R, folded.row(t) + h * (C + R) + C);
    }
  });
  round_activations(ctx, folded);
  const RunningAttention a = start_attention(ctx, {H, H, l.scale(), s.first_position}, folded, z);
  const auto tile = [&](int64_t first, int64_t n, int64_t, float* tile_scratch) {
    const MatView<const float> rows = l.step.cache->rows(*s.cache, l.layer, first, n, tile_scratch);
    return KeyTile{.first_position = first, .key = rows, .shared_key = {}, .value = rows.sub_cols(0, C)};
  };
  attend(ctx, a, {0, s.first_position + s.n, kBlockTokens}, tile, kBlockTokens * (C + R));
  finish(ctx, a);
  round_activations(ctx, z);
  ctx.pool.parallel_for(H, 1, [&](int64_t begin, int64_t end) {
    for (int64_t h = begin; h < end; ++h)
      unfold_value(c, l.w, h, ctx.numerics, z.sub_cols(h * C, C), o.sub_cols(h * V, V));
  });
}

// Latents of positions [first, first + n) as one matrix (n, C + R): the cache's own rows when they lie in one block,
// else a copy.
MatView<const float> gather_latents(const CachedLayer& l, const SequenceCache& sequence, int64_t first, int64_t n,
                                    MatView<float> into) {
  l.step.ctx.pool.parallel_for((n + kBlockTokens - 1) / kBlockTokens, 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t at = b * kBlockTokens, count = std::min(kBlockTokens, n - at);
      const MatView<const float> rows = l.step.cache->rows(sequence, l.layer, first + at, count, into.row(at));
      if (rows.data != into.row(at)) std::copy_n(rows.data, count * rows.cols, into.row(at));
    }
  });
  return into.sub_rows(0, n);
}

void attend_naive(const CachedLayer& l, const BatchSequence& s, MatView<const float> q, MatView<float> o) {
  Context& ctx = l.step.ctx;
  const ModelConfig& c = l.step.config();
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, V = c.v_head_dim,
                C = c.kv_lora_rank;
  Arena::Scope scope(ctx.arena);
  const RunningAttention a = start_attention(ctx, {H, 1, l.scale(), s.first_position}, q, o);
  auto gathered = scratch(ctx, kExpandTile, C + R);
  const int64_t n_positions = s.first_position + s.n;
  for (int64_t first = 0; first < n_positions; first += kExpandTile) {
    Arena::Scope tile_scope(ctx.arena);
    const int64_t n = std::min(kExpandTile, n_positions - first);
    const MatView<const float> latents = gather_latents(l, *s.cache, first, n, gathered);
    const ExpandedLatents e = expand_latents(ctx, c, l.w, latents);
    const auto tile = [&](int64_t, int64_t, int64_t head, float*) {
      return KeyTile{.first_position = first,
                     .key = e.key.sub_cols(head * e.layout.key_stride, N),
                     .shared_key = latents.sub_cols(C, R),
                     .value = e.value.sub_cols(head * e.layout.value_stride, V)};
    };
    attend(ctx, a, {first, n, kExpandTile}, tile, 0);
  }
  finish(ctx, a);
}

// Every sequence of the batch against itself: no cache, all keys and values expanded at once (training).
void attend_in_batch(const Step& step, const MlaWeights& w, MatView<const float> latents, MatView<const float> q,
                     MatView<float> o, AttentionState* states) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t C = c.kv_lora_rank, R = c.qk_rope_head_dim;
  Arena::Scope scope(ctx.arena);
  const ExpandedLatents e = expand_latents(ctx, c, w, latents);
  std::vector<AttentionForward> sequences;
  for (const BatchSequence& s : step.batch.sequences) {
    const auto rows = [&s](auto m) { return m.sub_rows(s.first_row, s.n); };
    sequences.push_back({.layout = e.layout,
                         .scale = step.network.attention.scale,
                         .q = rows(q),
                         .key = rows(e.key),
                         .shared_key = rows(latents.sub_cols(C, R)),
                         .value = rows(e.value),
                         .o = rows(o),
                         .states = states + s.first_row * c.num_attention_heads});
  }
  attention_forward(ctx.pool, ctx.arena, ctx.numerics.matmul_precision(), sequences);
}

}  // namespace

ExpandedLatents expand_latents(Context& of_step, const ModelConfig& c, const MlaWeights& w,
                               MatView<const float> latents) {
  Context ctx = of_step;  // these rows are not those of the step; the naive form is one of many tokens
  const RowRun all{latents.rows, true};
  if (!ctx.runs.empty()) ctx.runs = {&all, 1};
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
  const MatView<const float> c_kv = latents.sub_cols(0, C);
  if (w.kv_b_proj) {
    auto u = scratch(ctx, c_kv.rows, H * (N + V));
    linear(ctx, c_kv, w.kv_b_proj, u);
    round_activations(ctx, u);
    return {u, u.sub_cols(N, u.cols - N), {H, 1, N, N + V, V, N + V}};
  }
  auto key = scratch(ctx, c_kv.rows, H * N), value = scratch(ctx, c_kv.rows, H * V);
  if (uses_packed(ctx, w.expand_key)) {
    linear(ctx, c_kv, {&w.expand_key, key}, {&w.v_b_proj, value});
    return {key, value, {H, 1, N, N, V, V}};
  }
  ctx.pool.parallel_for(H, 1, [&](int64_t begin, int64_t end) {  // k_b_proj is stored transposed per head
    for (int64_t h = begin; h < end; ++h)
      matmul_transposed_serial(c_kv, w.k_b_proj.sub_rows(h * C, C), key.sub_cols(h * N, N));
  });
  linear(ctx, c_kv, w.v_b_proj, value);
  round_activations(ctx, key);
  round_activations(ctx, value);
  return {key, value, {H, 1, N, N, V, V}};
}

MlaForm cheaper_mla_form(const ModelConfig& c, StepSize size) {
  const auto C = static_cast<double>(c.kv_lora_rank), P = static_cast<double>(size.n_past),
             S = static_cast<double>(size.n_new);
  const auto N = static_cast<double>(c.qk_nope_head_dim), R = static_cast<double>(c.qk_rope_head_dim),
             V = static_cast<double>(c.v_head_dim);
  const double naive = C * (N + V) * (P + S) + (N + R + V) * S * (P + S / 2);
  const double absorbed = C * (N + V) * S + (2 * C + R) * S * (P + S / 2);
  return naive <= absorbed ? MlaForm::naive : MlaForm::absorbed;
}

uint64_t mla_forms(const Network& network, Numerics numerics, StepSize size) noexcept {
  const ModelConfig& c = *network.config;
  const AttentionSettings& settings = network.attention;
  if (!c.uses_mla() || settings.mla_form != MlaForm::automatic) return 0;
  const auto bit = [](MlaForm form) { return form == MlaForm::naive ? uint64_t{1} : uint64_t{0}; };
  if (!numerics.is_quantised()) return bit(cheaper_mla_form(c, size));
  return bit(cheaper_int16_form(c, settings.costs, true, size.n_past, size.n_new)) |
         bit(cheaper_int16_form(c, settings.costs, false, size.n_past, size.n_new)) << 1;
}

AttentionSaved allocate_mla_saved(Context& ctx, const ModelConfig& c, int64_t T) {
  AttentionSaved s;
  if (c.q_lora_rank) s.q_latent = scratch(ctx, T, *c.q_lora_rank);
  s.q = scratch(ctx, T, c.num_attention_heads * (c.qk_nope_head_dim + c.qk_rope_head_dim));
  s.latent = scratch(ctx, T, c.kv_lora_rank + c.qk_rope_head_dim);
  s.o = scratch(ctx, T, c.num_attention_heads * c.v_head_dim);
  s.states = ctx.arena.take<AttentionState>(T * c.num_attention_heads);
  return s;
}

void mla_forward(const Step& step, int64_t layer, const MlaWeights& w, MatView<const float> x, MatView<float> y,
                 AttentionSaved* saved) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const AttentionSettings& settings = step.network.attention;
  const Zone zone("attention");
  Arena::Scope scope(ctx.arena);
  const DownProjections down = project_down(ctx, c, w, x, saved);
  auto q = project_query(step, w, down.query, saved);
  auto latents = project_latents(step, w, down.latent, saved);
  auto o = saved != nullptr ? saved->o : scratch(ctx, x.rows, c.num_attention_heads * c.v_head_dim);
  std::optional<Zone> inner(std::in_place, "attend");
  if (step.cache == nullptr) {
    AttentionState* states =
        saved != nullptr ? saved->states : ctx.arena.take<AttentionState>(x.rows * c.num_attention_heads);
    attend_in_batch(step, w, latents, q, o, states);
  } else if (ctx.numerics.is_quantised()) {
    attend_int16({ctx, c, w, settings, layer, *step.cache}, step.batch, latents, q, o);
  } else {
    store_latents(layer, step.batch, latents, *step.cache);
    for (const BatchSequence& s : step.batch.sequences) {
      const bool naive = (settings.mla_form == MlaForm::automatic ? cheaper_mla_form(c, s.attends_as)
                                                                  : settings.mla_form) == MlaForm::naive;
      (naive ? attend_naive : attend_absorbed)({step, w, layer}, s, q.sub_rows(s.first_row, s.n),
                                               o.sub_rows(s.first_row, s.n));
    }
  }
  inner.reset();
  round_activations(ctx, o);
  linear(ctx, o, w.o_proj, y);
  round_activations(ctx, y);
}

}  // namespace fathom
