#include "model/training/training_step.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/trace.h"
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
  const Zone zone("layer backward", layer);
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, dx.rows, dx.cols), dnormed = scratch(ctx, dx.rows, dx.cols);
  norm_forward(ctx, w.post_attention_layernorm, eps, s.x_mid, normed);
  if (const auto* mlp = std::get_if<MlpWeights>(&w.mlp))
    mlp_backward(ctx, *mlp, s.mlp, as_operand(ctx, normed), as_operand(ctx, dx), into(dnormed));
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

void check_batch(const TrainingBatch& b) {
  check(std::ssize(b.targets) == b.batch.rows(), "one target a row");
  check(b.weights.empty() || b.weights.size() == b.targets.size(), "one weight a row, or none");
}

// Of signed weights the sum may be near 0 or below it: dividing by it would give any size and either direction.
void refuse_signed_weights(const TrainingBatch& b) {
  for (size_t t = 0; t < b.weights.size(); ++t)
    if (b.targets[t] >= 0 && !(b.weights[t] >= 0 && std::isfinite(b.weights[t])))
      throw_bad_input(
          "row {} of a training batch has the weight {}; a mean over tokens needs finite weights of at least 0. Where "
          "weights have signs, set StepOptions::token_weight and sequence_weight instead of calling set_means_over",
          t, b.weights[t]);
}

void report_experts(const ModelConfig& c, const MoeSaved& s, StepReport& report) {
  std::vector<int64_t>& counts = report.expert_counts.emplace_back(static_cast<size_t>(c.n_routed_experts));
  for (int64_t t = 0; t < s.routing.experts.rows; ++t)
    for (int64_t k = 0; k < s.routing.experts.cols; ++k) ++counts[static_cast<size_t>(s.routing.experts(t, k))];
  report.n_dropped += std::count(s.dispatch.row.begin(), s.dispatch.row.end(), -1);
}

void report_losses(const TrainingBatch& b, std::span<const double> losses, StepReport& report) {
  report.n_targets = std::count_if(b.targets.begin(), b.targets.end(), [](int32_t t) { return t >= 0; });
  report.weight_sum = target_weight(b);
  for (size_t t = 0; t < losses.size(); ++t) report.loss_sum += b.weight(static_cast<int64_t>(t)) * losses[t];
}

}  // namespace

void StepOptions::set_means_over(std::span<const TrainingBatch> micro_batches) {
  double weight = 0;
  size_t sequences = 0;
  for (const TrainingBatch& b : micro_batches) {
    check_batch(b);
    refuse_signed_weights(b);
    weight += target_weight(b);
    sequences += b.sequences.size();
  }
  token_weight = weight > 0 ? 1.0 / weight : 1.0;
  sequence_weight = 1.0 / static_cast<double>(std::max<size_t>(1, sequences));
}

StepReport& StepReport::operator+=(const StepReport& o) {
  loss_sum += o.loss_sum;
  weight_sum += o.weight_sum;
  n_targets += o.n_targets;
  balance += o.balance;
  n_dropped += o.n_dropped;
  expert_counts.resize(std::max(expert_counts.size(), o.expert_counts.size()));
  for (size_t l = 0; l < o.expert_counts.size(); ++l) {
    expert_counts[l].resize(o.expert_counts[l].size());
    for (size_t e = 0; e < expert_counts[l].size(); ++e) expert_counts[l][e] += o.expert_counts[l][e];
  }
  return *this;
}

Context training_context(const Context& ctx) {
  return {.pool = ctx.pool,
          .arena = ctx.arena,
          .numerics = Numerics::training(ctx.numerics.matmul_precision()),
          .gradients = ctx.gradients};
}

Stage make_stage(const TrainingBatch& batch, const StepOptions& options, int64_t first, int64_t last) {
  return {.first = first,
          .last = last,
          .moe = {&options.balance, batch.sequences, static_cast<float>(options.sequence_weight)},
          .recompute = options.recompute};
}

void layers_forward(const Step& step, Stage& stage, MatView<float> x) {
  Context& ctx = step.ctx;
  stage.saved.assign(static_cast<size_t>(stage.last - stage.first), {});
  for (int64_t layer = stage.first; layer < stage.last; ++layer) {
    LayerSaved& s = stage.saved[static_cast<size_t>(layer - stage.first)];
    allocate_input(ctx, step.network, layer, x.rows, s);
    copy_rows(ctx, x, s.x);
    const LayerTraining training{s, stage.moe};
    const auto run = [&] {
      allocate_rest(ctx, step.network, layer, x.rows, s);
      layer_forward(step, layer, x, &training);
    };
    if (stage.recompute == Recompute::layers) {
      Arena::Scope layer_scope(ctx.arena);
      run();
    } else {
      run();
    }
  }
}

void report_layers(const ModelConfig& c, const Stage& stage, StepReport& report) {
  for (int64_t layer = stage.first; layer < stage.last; ++layer) {
    if (!c.layer_is_moe(layer)) continue;
    const MoeSaved& s = stage.saved[static_cast<size_t>(layer - stage.first)].moe;
    report.balance += balance_losses(c, *stage.moe.balance, s, stage.moe.sequences);
    report_experts(c, s, report);
  }
}

void head_forward_and_backward(const Step& step, const TrainingBatch& batch, const StepOptions& o,
                               MatView<const float> x, std::span<double> losses, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelWeights& w = *step.network.weights;
  const int64_t T = x.rows;
  const double eps = step.config().rms_norm_eps;
  const auto scale = static_cast<float>(o.token_weight);
  const Zone zone("head and loss", T);
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, T, x.cols), logits = scratch(ctx, std::min(o.loss_chunk, T), step.config().vocab_size);
  norm_forward(ctx, w.norm, eps, x, normed);
  for (int64_t at = 0; at < T; at += o.loss_chunk) {
    const int64_t rows = std::min(o.loss_chunk, T - at);
    const MatView<float> chunk = logits.sub_rows(0, rows);
    linear(ctx, normed.sub_rows(at, rows), w.lm_head, chunk);
    (*o.loss)(ctx.pool, scale, {batch, at, chunk, losses.subspan(static_cast<size_t>(at), static_cast<size_t>(rows))});
    if (ctx.gradients != nullptr)
      linear_backward(ctx, normed.sub_rows(at, rows), w.lm_head, chunk, into(dx.sub_rows(at, rows)));
  }
  if (ctx.gradients != nullptr) norm_backward(ctx, w.norm, eps, x, dx, into(dx));
}

void layers_backward(const Step& step, Stage& stage, MatView<float> x, MatView<float> dx) {
  Context& ctx = step.ctx;
  for (int64_t layer = stage.last; layer-- > stage.first;) {
    LayerSaved& s = stage.saved[static_cast<size_t>(layer - stage.first)];
    Arena::Scope layer_scope(ctx.arena);
    if (stage.recompute == Recompute::layers) {
      allocate_rest(ctx, step.network, layer, x.rows, s);
      copy_rows(ctx, s.x, x);
      const LayerTraining again{s, stage.moe, true};
      layer_forward(step, layer, x, &again);
    }
    layer_backward(step, layer, {s, stage.moe}, dx);
  }
}

void embed_backward(const Step& step, MatView<const float> dx) {
  const MatView<float> table = step.ctx.gradients->of(step.network.weights->embed_tokens);
  if (!table.empty()) embedding_backward(step.ctx.pool, step.batch.tokens, dx, table);
}

StepReport forward_and_backward(const Context& context, const Network& n, const TrainingBatch& b,
                                const StepOptions& o) {
  check(context.gradients != nullptr, "a backward pass needs a place for its gradients");
  check_batch(b);
  Context ctx = training_context(context);
  Arena::Scope scope(ctx.arena);
  const Step step{ctx, n, b.batch, rotary_rows(ctx, n, b.batch)};
  auto x = scratch(ctx, b.batch.rows(), n.config->hidden_size);
  embed_forward(step, x);
  Stage layers = make_stage(b, o, 0, n.config->num_hidden_layers);
  layers_forward(step, layers, x);
  StepReport report;
  report_layers(*n.config, layers, report);

  auto dx = scratch(ctx, x.rows, x.cols);
  std::vector<double> losses(b.targets.size());
  head_forward_and_backward(step, b, o, x, losses, dx);
  report_losses(b, losses, report);
  layers_backward(step, layers, x, dx);
  embed_backward(step, dx);
  return report;
}

StepReport evaluate(const Context& context, const Network& n, const TrainingBatch& b, std::vector<double>* losses,
                    const LogitLoss& loss) {
  Context ctx = training_context(context);
  ctx.gradients = nullptr;
  check_batch(b);
  Arena::Scope scope(ctx.arena);
  const Step step{ctx, n, b.batch, rotary_rows(ctx, n, b.batch)};
  auto x = scratch(ctx, b.batch.rows(), n.config->hidden_size);
  embed_forward(step, x);
  for (int64_t i = 0; i < n.config->num_hidden_layers; ++i) layer_forward(step, i, x, nullptr);
  std::vector<double> own(b.targets.size());
  head_forward_and_backward(step, b, {.loss = &loss}, x, own, {});
  StepReport report;
  report_losses(b, own, report);
  if (losses != nullptr) *losses = std::move(own);
  return report;
}

}  // namespace fathom
