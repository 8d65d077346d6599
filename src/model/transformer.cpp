#include "model/transformer.h"

#include "kernels/dispatch.h"
#include "kernels/matmul.h"
#include "model/gqa.h"
#include "model/mlp.h"
#include "model/moe.h"
#include "model/norm.h"

namespace fathom {
namespace {

RotaryRows rotary_rows(Context& ctx, const RotaryTable& table, const Batch& batch) {
  const auto pairs = static_cast<int64_t>(table.frequencies.size());
  auto cosines = scratch(ctx, batch.rows(), pairs), sines = scratch(ctx, batch.rows(), pairs);
  rotary_cos_sin(table, batch.positions, cosines, sines);
  round_activations(ctx, cosines);
  round_activations(ctx, sines);
  return {cosines, sines};
}

void check_ids(const Batch& batch, const ModelConfig& config) {
  for (int32_t id : batch.tokens)
    if (id < 0 || id >= config.vocab_size)
      throw_bad_input("token id {} is outside the model's vocabulary of {} ids (0 to {})", id, config.vocab_size,
                      config.vocab_size - 1);
}

void add(Context& ctx, MatView<const float> y, MatView<float> x) {
  const KernelTable& k = kernels();
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) k.axpy_f32(1.0f, y.row(t), x.row(t), x.cols);
  });
  round_activations(ctx, x);
}

void attention_forward(Context& ctx, const Network& n, const LayerWeights& w, int64_t layer, const Batch& batch,
                       const RotaryRows& rotary, KvCache& cache, MatView<const float> x, MatView<float> y) {
  if (const auto* mla = std::get_if<MlaWeights>(&w.self_attn))
    mla_forward(ctx, *n.config, n.attention, *mla, layer, batch, rotary, cache, x, y);
  else
    gqa_forward(ctx, *n.config, n.attention, std::get<GqaWeights>(w.self_attn), layer, batch, rotary, cache, x, y);
}

void feed_forward(Context& ctx, const Network& n, const LayerWeights& w, MatView<const float> x, MatView<float> y) {
  if (const auto* mlp = std::get_if<MlpWeights>(&w.mlp))
    mlp_forward(ctx, *mlp, x, y);
  else
    moe_forward(ctx, *n.config, std::get<MoeWeights>(w.mlp), x, y);
}

}  // namespace

CacheLayout cache_layout(const ModelConfig& config, DType dtype) {
  return {.layers = config.num_hidden_layers, .width = config.cache_width(), .dtype = dtype};
}

Network make_network(const ModelConfig& config, const ModelWeights& weights) {
  return {&config, &weights, make_rotary_table(config), {.scale = static_cast<float>(softmax_scale(config))}};
}

void transformer_forward(Context& ctx, const Network& n, const Batch& batch, KvCache& cache, MatView<float> logits) {
  const int64_t T = batch.rows(), D = n.config->hidden_size, n_logits = static_cast<int64_t>(batch.logit_rows.size());
  const double eps = n.config->rms_norm_eps;
  check(logits.rows == n_logits && logits.cols == n.config->vocab_size, "logits (logit rows, vocab_size)");
  check_ids(batch, *n.config);
  Arena::Scope scope(ctx.arena);
  const RotaryRows rotary = rotary_rows(ctx, n.rotary, batch);
  auto x = scratch(ctx, T, D), normed = scratch(ctx, T, D), y = scratch(ctx, T, D);

  gather_rows(n.weights->embed_tokens, batch.tokens, x);
  round_activations(ctx, x);
  for (size_t i = 0; i < n.weights->layers.size(); ++i) {
    const LayerWeights& w = n.weights->layers[i];
    norm_forward(ctx, w.input_layernorm, eps, x, normed);
    attention_forward(ctx, n, w, static_cast<int64_t>(i), batch, rotary, cache, normed, y);
    add(ctx, y, x);
    norm_forward(ctx, w.post_attention_layernorm, eps, x, normed);
    feed_forward(ctx, n, w, normed, y);
    add(ctx, y, x);
  }
  auto last = scratch(ctx, n_logits, D);
  for (int64_t r = 0; r < n_logits; ++r) std::copy_n(x.row(batch.logit_rows[static_cast<size_t>(r)]), D, last.row(r));
  norm_forward(ctx, n.weights->norm, eps, last, last);
  matmul(ctx.pool, last, n.weights->lm_head, logits);
  round_activations(ctx, logits);
}

}  // namespace fathom
