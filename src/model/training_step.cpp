#include "model/training_step.h"

#include <algorithm>
#include <numeric>

#include "kernels/backward.h"
#include "kernels/matmul.h"
#include "model/gqa.h"
#include "model/mlp.h"
#include "model/norm.h"

namespace fathom {
namespace {

bool is_moe(const Network& n, int64_t layer) {
  return std::holds_alternative<MoeWeights>(n.weights->layers[static_cast<size_t>(layer)].mlp);
}

// Everything of a layer that can be computed again from its input and its routing.
void plan_rest(Context& ctx, const Network& n, int64_t layer, int64_t T, LayerSaved& s) {
  const ModelConfig& c = *n.config;
  s.x_mid = scratch(ctx, T, c.hidden_size);
  s.attention = c.uses_mla() ? plan_mla(ctx, c, T) : plan_gqa(ctx, c, T);
  if (is_moe(n, layer))
    plan_moe(ctx, c, T, s.moe);
  else
    s.mlp = plan_mlp(ctx, T, c.intermediate_size);
}

void plan_input(Context& ctx, const Network& n, int64_t layer, int64_t T, LayerSaved& s) {
  s.x = scratch(ctx, T, n.config->hidden_size);
  if (is_moe(n, layer)) plan_routing(ctx, *n.config, T, s.moe);
}

// dx (T, D), the gradient of the layer's output, becomes that of its input.
void layer_backward(Context& ctx, const Network& n, int64_t layer, const Batch& batch, const RotaryRows& rotary,
                    const LayerSaved& s, const MoeTraining& training, MatView<float> dx, const Gradients& gradients) {
  const LayerWeights& w = n.weights->layers[static_cast<size_t>(layer)];
  const ModelConfig& c = *n.config;
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, dx.rows, dx.cols), dnormed = scratch(ctx, dx.rows, dx.cols);
  norm_forward(ctx, w.post_attention_layernorm, c.rms_norm_eps, s.x_mid, normed);
  if (const auto* mlp = std::get_if<MlpWeights>(&w.mlp))
    mlp_backward(ctx, *mlp, s.mlp, normed, dx, dnormed, false, gradients);
  else
    moe_backward(ctx, c, std::get<MoeWeights>(w.mlp), s.moe, training, normed, dx, dnormed, gradients);
  norm_backward(ctx, w.post_attention_layernorm, c.rms_norm_eps, s.x_mid, dnormed, dx, true, gradients);

  norm_forward(ctx, w.input_layernorm, c.rms_norm_eps, s.x, normed);
  if (const auto* mla = std::get_if<MlaWeights>(&w.self_attn))
    mla_backward(ctx, c, n.attention, *mla, batch, rotary, s.attention, normed, dx, dnormed, gradients);
  else
    gqa_backward(ctx, c, n.attention, std::get<GqaWeights>(w.self_attn), batch, rotary, s.attention, normed, dx,
                 dnormed, gradients);
  norm_backward(ctx, w.input_layernorm, c.rms_norm_eps, s.x, dnormed, dx, true, gradients);
}

// Final norm, head and loss of the rows of x, a chunk of logits at a time. With gradients, dx (T, D) is written.
double head(Context& ctx, const Network& n, std::span<const int32_t> targets, const StepOptions& o,
            MatView<const float> x, std::span<double> losses, MatView<float> dx, const Gradients* gradients) {
  const int64_t T = x.rows, D = x.cols, V = n.config->vocab_size;
  const double eps = n.config->rms_norm_eps;
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, T, D), logits = scratch(ctx, std::min(o.loss_chunk, T), V);
  norm_forward(ctx, n.weights->norm, eps, x, normed);
  for (int64_t at = 0; at < T; at += o.loss_chunk) {
    const int64_t rows = std::min(o.loss_chunk, T - at);
    const MatView<float> chunk = logits.sub_rows(0, rows);
    linear(ctx, normed.sub_rows(at, rows), n.weights->lm_head, chunk);
    cross_entropy_backward(ctx.pool, chunk, targets.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)),
                           static_cast<float>(o.token_weight),
                           losses.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)));
    if (gradients == nullptr) continue;
    linear_dweight(ctx.pool, ctx.products, chunk, normed.sub_rows(at, rows), gradients->of(n.weights->lm_head));
    linear_dinput(ctx.pool, ctx.products, chunk, n.weights->lm_head, dx.sub_rows(at, rows), false);
  }
  if (gradients != nullptr) norm_backward(ctx, n.weights->norm, eps, x, dx, dx, false, *gradients);
  return std::accumulate(losses.begin(), losses.end(), 0.0);
}

StepReport start_report(const TrainingBatch& b) {
  StepReport report;
  report.n_targets = std::count_if(b.targets.begin(), b.targets.end(), [](int32_t t) { return t >= 0; });
  return report;
}

void report_moe(const ModelConfig& c, const StepOptions& o, const TrainingBatch& b, const MoeSaved& s,
                StepReport& report) {
  report.balance += balance_losses(c, o.balance, s, b.sequences);
  std::vector<int64_t>& counts = report.expert_counts.emplace_back(static_cast<size_t>(c.n_routed_experts));
  for (int64_t t = 0; t < s.routing.experts.rows; ++t)
    for (int64_t k = 0; k < s.routing.experts.cols; ++k) ++counts[static_cast<size_t>(s.routing.experts(t, k))];
  report.n_dropped += std::count(s.dispatch.row.begin(), s.dispatch.row.end(), -1);
}

MatView<float> embed(Context& ctx, const Network& n, const Batch& batch) {
  auto x = scratch(ctx, batch.rows(), n.config->hidden_size);
  gather_rows(n.weights->embed_tokens, batch.tokens, x);
  round_activations(ctx, x);
  return x;
}

Context training_context(const Context& ctx) {
  return {
      .pool = ctx.pool, .arena = ctx.arena, .activations = ctx.activations, .products = ctx.products, .training = true};
}

}  // namespace

StepReport forward_and_backward(const Context& context, const Network& n, const TrainingBatch& b, const StepOptions& o,
                                const Gradients& gradients) {
  Context ctx = training_context(context);
  const int64_t T = b.batch.rows(), L = n.config->num_hidden_layers;
  check(std::ssize(b.targets) == T, "one target a row");
  Arena::Scope scope(ctx.arena);
  const MoeTraining training{&o.balance, b.sequences, static_cast<float>(o.sequence_weight)};
  StepReport report = start_report(b);
  const RotaryRows rotary = rotary_rows(ctx, n, b.batch);
  auto x = embed(ctx, n, b.batch);

  std::vector<LayerSaved> saved(static_cast<size_t>(L));
  for (int64_t i = 0; i < L; ++i) {
    LayerSaved& s = saved[static_cast<size_t>(i)];
    plan_input(ctx, n, i, T, s);
    copy_rows(ctx, x, s.x);
    const auto run = [&] {
      plan_rest(ctx, n, i, T, s);
      layer_forward(ctx, n, i, b.batch, rotary, nullptr, x, &s, &training, false);
    };
    if (o.recompute == Recompute::layers) {
      Arena::Scope layer_scope(ctx.arena);
      run();
    } else {
      run();
    }
    if (is_moe(n, i)) report_moe(*n.config, o, b, s.moe, report);
  }

  auto dx = scratch(ctx, T, n.config->hidden_size);
  std::vector<double> losses(static_cast<size_t>(T));
  report.loss_sum = head(ctx, n, b.targets, o, x, losses, dx, &gradients);
  for (int64_t i = L - 1; i >= 0; --i) {
    LayerSaved& s = saved[static_cast<size_t>(i)];
    Arena::Scope layer_scope(ctx.arena);
    if (o.recompute == Recompute::layers) {
      plan_rest(ctx, n, i, T, s);
      copy_rows(ctx, s.x, x);
      layer_forward(ctx, n, i, b.batch, rotary, nullptr, x, &s, &training, true);
    }
    layer_backward(ctx, n, i, b.batch, rotary, s, training, dx, gradients);
  }
  embedding_backward(ctx.pool, b.batch.tokens, dx, gradients.of(n.weights->embed_tokens));
  return report;
}

StepReport evaluate(const Context& context, const Network& n, const TrainingBatch& b, std::vector<double>* losses) {
  Context ctx = training_context(context);
  Arena::Scope scope(ctx.arena);
  StepReport report = start_report(b);
  const RotaryRows rotary = rotary_rows(ctx, n, b.batch);
  auto x = embed(ctx, n, b.batch);
  for (int64_t i = 0; i < n.config->num_hidden_layers; ++i)
    layer_forward(ctx, n, i, b.batch, rotary, nullptr, x, nullptr, nullptr, false);
  std::vector<double> own(static_cast<size_t>(b.batch.rows()));
  report.loss_sum = head(ctx, n, b.targets, {}, x, own, {}, nullptr);
  if (losses != nullptr) *losses = std::move(own);
  return report;
}

}  // namespace fathom
