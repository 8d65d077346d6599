#include "model/training_step.h"

#include <algorithm>
#include <numeric>

#include "kernels/matmul/float_matmul.h"
#include "kernels/rows/backward.h"
#include "model/attention/gqa.h"
#include "model/attention/mla.h"
#include "model/moe/mlp.h"
#include "model/norm.h"

namespace fathom {
namespace {

bool is_moe(const Network& n, int64_t layer) {
  return std::holds_alternative<MoeWeights>(n.weights->layers[static_cast<size_t>(layer)].mlp);
}

// Allocates everything of a layer that can be computed again from its input and its routing.
void allocate_rest(Context& ctx, const Network& n, int64_t layer, int64_t T, LayerSaved& s) {
  const ModelConfig& c = *n.config;
  s.x_mid = scratch(ctx, T, c.hidden_size);
  s.attention = c.uses_mla() ? allocate_mla_saved(ctx, c, T) : allocate_gqa_saved(ctx, c, T);
  if (is_moe(n, layer))
    allocate_moe_saved(ctx, c, T, s.moe);
  else
    s.mlp = allocate_mlp_saved(ctx, T, c.intermediate_size);
}

// Allocates the input of a layer, and its routing.
void allocate_input(Context& ctx, const Network& n, int64_t layer, int64_t T, LayerSaved& s) {
  s.x = scratch(ctx, T, n.config->hidden_size);
  if (is_moe(n, layer)) allocate_routing(ctx, *n.config, T, s.moe);
}

// dx (T, D), the gradient of the layer's output, becomes that of its input.
void layer_backward(const Step& step, int64_t layer, const LayerTraining& training, MatView<float> dx) {
  Context& ctx = step.ctx;
  const LayerWeights& w = step.network.weights->layers[static_cast<size_t>(layer)];
  const double eps = step.config().rms_norm_eps;
  const LayerSaved& s = training.saved;
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, dx.rows, dx.cols), dnormed = scratch(ctx, dx.rows, dx.cols);
  norm_forward(ctx, w.post_attention_layernorm, eps, s.x_mid, normed);
  if (const auto* mlp = std::get_if<MlpWeights>(&w.mlp))
    mlp_backward(ctx, *mlp, s.mlp, normed, dx, into(dnormed));
  else
    moe_backward(step, std::get<MoeWeights>(w.mlp), {training.moe, training.saved.moe}, normed, dx, dnormed);
  norm_backward(ctx, w.post_attention_layernorm, eps, s.x_mid, dnormed, added_to(dx));

  norm_forward(ctx, w.input_layernorm, eps, s.x, normed);
  if (const auto* mla = std::get_if<MlaWeights>(&w.self_attn))
    mla_backward(step, *mla, s.attention, normed, dx, dnormed);
  else
    gqa_backward(step, std::get<GqaWeights>(w.self_attn), s.attention, normed, dx, dnormed);
  norm_backward(ctx, w.input_layernorm, eps, s.x, dnormed, added_to(dx));
}

// Final norm, head and loss of the rows of x, a chunk of logits at a time. losses (T) written. With ctx.gradients, dx
// (T, D) is written.
double head(const Step& step, std::span<const int32_t> targets, const StepOptions& o, MatView<const float> x,
            std::span<double> losses, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelWeights& w = *step.network.weights;
  const int64_t T = x.rows, D = x.cols, V = step.config().vocab_size;
  const double eps = step.config().rms_norm_eps;
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, T, D), logits = scratch(ctx, std::min(o.loss_chunk, T), V);
  norm_forward(ctx, w.norm, eps, x, normed);
  for (int64_t at = 0; at < T; at += o.loss_chunk) {
    const int64_t rows = std::min(o.loss_chunk, T - at);
    const MatView<float> chunk = logits.sub_rows(0, rows);
    linear(ctx, normed.sub_rows(at, rows), w.lm_head, chunk);
    cross_entropy_backward(ctx.pool, chunk, targets.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)),
                           static_cast<float>(o.token_weight),
                           losses.subspan(static_cast<size_t>(at), static_cast<size_t>(rows)));
    if (ctx.gradients != nullptr)
      linear_backward(ctx, normed.sub_rows(at, rows), w.lm_head, chunk, into(dx.sub_rows(at, rows)));
  }
  if (ctx.gradients != nullptr) norm_backward(ctx, w.norm, eps, x, dx, into(dx));
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

Context training_context(const Context& ctx, const Gradients* gradients) {
  return {.pool = ctx.pool,
          .arena = ctx.arena,
          .activations = ctx.activations,
          .products = ctx.products,
          .training = true,
          .gradients = gradients};
}

// Forward through all layers, x in place; what their backward needs is in saved (L).
void layers_forward(const Step& step, const MoeTraining& moe, Recompute recompute, MatView<float> x,
                    std::span<LayerSaved> saved) {
  Context& ctx = step.ctx;
  for (size_t i = 0; i < saved.size(); ++i) {
    const auto layer = static_cast<int64_t>(i);
    LayerSaved& s = saved[i];
    allocate_input(ctx, step.network, layer, x.rows, s);
    copy_rows(ctx, x, s.x);
    const LayerTraining training{s, moe};
    const auto run = [&] {
      allocate_rest(ctx, step.network, layer, x.rows, s);
      layer_forward(step, layer, x, &training);
    };
    if (recompute == Recompute::layers) {
      Arena::Scope layer_scope(ctx.arena);
      run();
    } else {
      run();
    }
  }
}

// Backward through all layers: dx of the last layer's output becomes that of the first one's input. x: scratch (T, D).
void layers_backward(const Step& step, const MoeTraining& moe, Recompute recompute, std::span<LayerSaved> saved,
                     MatView<float> x, MatView<float> dx) {
  Context& ctx = step.ctx;
  for (size_t i = saved.size(); i-- > 0;) {
    const auto layer = static_cast<int64_t>(i);
    LayerSaved& s = saved[i];
    Arena::Scope layer_scope(ctx.arena);
    if (recompute == Recompute::layers) {
      allocate_rest(ctx, step.network, layer, x.rows, s);
      copy_rows(ctx, s.x, x);
      const LayerTraining again{s, moe, true};
      layer_forward(step, layer, x, &again);
    }
    layer_backward(step, layer, {s, moe}, dx);
  }
}

}  // namespace

StepReport forward_and_backward(const Context& context, const Network& n, const TrainingBatch& b,
                                const StepOptions& o) {
  check(context.gradients != nullptr, "a backward pass needs a place for its gradients");
  Context ctx = training_context(context, context.gradients);
  const int64_t T = b.batch.rows();
  check(std::ssize(b.targets) == T, "one target a row");
  Arena::Scope scope(ctx.arena);
  const MoeTraining moe{&o.balance, b.sequences, static_cast<float>(o.sequence_weight)};
  StepReport report = start_report(b);
  const Step step{ctx, n, b.batch, rotary_rows(ctx, n, b.batch)};
  auto x = embed(ctx, n, b.batch);
  std::vector<LayerSaved> saved(static_cast<size_t>(n.config->num_hidden_layers));
  layers_forward(step, moe, o.recompute, x, saved);
  for (size_t i = 0; i < saved.size(); ++i)
    if (is_moe(n, static_cast<int64_t>(i))) report_moe(*n.config, o, b, saved[i].moe, report);

  auto dx = scratch(ctx, T, n.config->hidden_size);
  std::vector<double> losses(static_cast<size_t>(T));
  report.loss_sum = head(step, b.targets, o, x, losses, dx);
  layers_backward(step, moe, o.recompute, saved, x, dx);
  embedding_backward(ctx.pool, b.batch.tokens, dx, ctx.gradients->of(n.weights->embed_tokens));
  return report;
}

StepReport evaluate(const Context& context, const Network& n, const TrainingBatch& b, std::vector<double>* losses) {
  Context ctx = training_context(context, nullptr);
  Arena::Scope scope(ctx.arena);
  StepReport report = start_report(b);
  const Step step{ctx, n, b.batch, rotary_rows(ctx, n, b.batch)};
  auto x = embed(ctx, n, b.batch);
  for (int64_t i = 0; i < n.config->num_hidden_layers; ++i) layer_forward(step, i, x, nullptr);
  std::vector<double> own(static_cast<size_t>(b.batch.rows()));
  report.loss_sum = head(step, b.targets, {}, x, own, {});
  if (losses != nullptr) *losses = std::move(own);
  return report;
}

}  // namespace fathom
