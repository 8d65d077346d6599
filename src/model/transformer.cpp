#include "model/transformer.h"

#include "base/trace.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "model/attention/gqa.h"
#include "model/attention/mla.h"
#include "model/moe/mlp.h"
#include "model/norm.h"

namespace fathom {

void check_ids(std::span<const int32_t> ids, const ModelConfig& config) {
  for (int32_t id : ids)
    if (id < 0 || id >= config.vocab_size)
      throw_bad_input("token id {} is outside the model's vocabulary of {} ids (0 to {})", id, config.vocab_size,
                      config.vocab_size - 1);
}

void add_rows(Context& ctx, MatView<const float> y, MatView<float> x) {
  const KernelTable& k = kernels();
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) k.axpy_f32(1.0f, y.row(t), x.row(t), x.cols);
  });
  round_activations(ctx, x);
}

void embed_forward(const Step& step, MatView<float> x) {
  gather_rows(step.network.weights->embed_tokens, step.batch.tokens, x);
  round_activations(step.ctx, x);
}

void layer_forward(const Step& step, int64_t layer, MatView<float> x, const LayerTraining* training) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const LayerWeights& w = step.network.weights->layers[static_cast<size_t>(layer)];
  LayerSaved* saved = training != nullptr ? &training->saved : nullptr;
  const Zone zone("layer", layer);
  Arena::Scope scope(ctx.arena);
  auto normed = scratch(ctx, x.rows, x.cols), y = scratch(ctx, x.rows, x.cols);
  norm_forward(ctx, w.input_layernorm, c.rms_norm_eps, x, normed);
  AttentionSaved* attention = saved != nullptr ? &saved->attention : nullptr;
  if (const auto* mla = std::get_if<MlaWeights>(&w.self_attn))
    mla_forward(step, layer, *mla, normed, y, attention);
  else
    gqa_forward(step, layer, std::get<GqaWeights>(w.self_attn), normed, y, attention);
  add_rows(ctx, y, x);
  if (saved != nullptr) copy_rows(ctx, x, saved->x_mid);
  norm_forward(ctx, w.post_attention_layernorm, c.rms_norm_eps, x, normed);
  if (const auto* mlp = std::get_if<MlpWeights>(&w.mlp)) {
    const Zone dense("mlp");
    mlp_forward(ctx, *mlp, normed, y, saved != nullptr ? &saved->mlp : nullptr);
  } else {
    std::optional<MoeLayerTraining> moe;
    if (training != nullptr) moe.emplace(MoeLayerTraining{training->moe, saved->moe, training->reuse_routing});
    moe_forward(ctx, c, std::get<MoeWeights>(w.mlp), normed, y, moe ? &*moe : nullptr);
  }
  add_rows(ctx, y, x);
}

RotaryRows rotary_rows(Context& ctx, const Network& n, const Batch& batch) {
  const RotaryTable& table = n.rotary;
  const bool latent = n.config->uses_mla();
  const auto pairs = static_cast<int64_t>(table.frequencies.size());
  auto cosines = scratch(ctx, batch.rows(), pairs), sines = scratch(ctx, batch.rows(), pairs);
  rotary_cos_sin(table, batch.positions, cosines, sines);
  if (!latent) {  // where frameworks keep them: latent attention rotates in float32, the others in the type of q
    round_activations(ctx, cosines);
    round_activations(ctx, sines);
  }
  return {cosines, sines};
}

void copy_rows(Context& ctx, MatView<const float> from, MatView<float> to) {
  ctx.pool.parallel_for(from.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) std::copy_n(from.row(t), from.cols, to.row(t));
  });
}

CacheLayout cache_layout(const ModelConfig& config, CacheType type,
                         std::shared_ptr<const LatentCalibration> calibration) {
  const LatentFormat* format = latent_format(type);
  const std::string_view name = kCacheTypeNames[static_cast<size_t>(type)];
  if (format != nullptr && !config.uses_mla())
    throw_bad_input(
        "a cache of type {} keeps the latents of latent attention, which a {} model has not; try f32 or bf16", name,
        fathom::name(config.family));
  if (format != nullptr && config.qk_rope_head_dim > kCacheGroup)
    throw_bad_input("a cache of type {} keeps rotary keys of at most {} numbers, and qk_rope_head_dim is {}; try q8",
                    name, kCacheGroup, config.qk_rope_head_dim);
  if (format != nullptr && format->calibrated) {
    if (calibration == nullptr)
      throw_bad_input(
          "a cache of type {} needs the model's calibration, and there is none; try q6 or q4, which need none", name);
    if (std::ssize(calibration->layers) != config.num_hidden_layers)
      throw_bad_input("the calibration has {} layers, the model {}", calibration->layers.size(),
                      config.num_hidden_layers);
  }
  check(format == nullptr || config.rope_layout == RopeLayout::interleaved, "keys whose pairs are neighbours");
  RotaryTable rotary = format != nullptr ? make_rotary_table(config) : RotaryTable{};
  return {.layers = config.num_hidden_layers,
          .width = config.cache_width(),
          .tail = config.uses_mla() ? config.qk_rope_head_dim : 0,
          .type = type,
          .frequencies = std::move(rotary.frequencies),
          .amplitude = rotary.amplitude,
          .calibration = std::move(calibration)};
}

Network make_network(const ModelConfig& config, const ModelWeights& weights) {
  return {&config, &weights, make_rotary_table(config), {.scale = static_cast<float>(softmax_scale(config))}};
}

namespace {

// What Context::runs of a step with this batch is.
std::vector<RowRun> runs_of(const Context& ctx, const Batch& batch) {
  std::vector<RowRun> runs;
  if (!ctx.numerics.is_quantised() || ctx.observer != nullptr) return runs;
  for (const BatchSequence& s : batch.sequences) {
    const bool many = has_many_rows(s.attends_as);
    if (runs.empty() || runs.back().many != many) runs.push_back({0, many});
    runs.back().n += s.n;
  }
  return runs;
}

Context with_runs(Context ctx, std::span<const RowRun> runs) {
  ctx.runs = runs;
  return ctx;
}

}  // namespace

void head_forward(Context& ctx, const Network& n, std::span<const int32_t> rows, MatView<const float> x,
                  MatView<float> logits) {
  if (rows.empty()) return;
  Arena::Scope scope(ctx.arena);
  auto last = scratch(ctx, std::ssize(rows), x.cols);
  for (int64_t r = 0; r < last.rows; ++r) std::copy_n(x.row(rows[static_cast<size_t>(r)]), x.cols, last.row(r));
  norm_forward(ctx, n.weights->norm, n.config->rms_norm_eps, last, last);
  const Zone zone("lm_head", last.rows);
  linear(ctx, last, n.weights->lm_head, logits);
  round_activations(ctx, logits);
}

void transformer_forward(Context& ctx, const Network& n, const Batch& batch, KvCache& cache, MatView<float> logits) {
  const int64_t T = batch.rows(), D = n.config->hidden_size;
  check(logits.rows == std::ssize(batch.logit_rows) && logits.cols == n.config->vocab_size,
        "logits (logit rows, vocab_size)");
  check_ids(batch.tokens, *n.config);
  Arena::Scope scope(ctx.arena);
  const std::vector<RowRun> runs = runs_of(ctx, batch);
  Context of_step = with_runs(ctx, runs);
  const Step step{of_step, n, batch, rotary_rows(ctx, n, batch), &cache};
  auto x = scratch(ctx, T, D);
  embed_forward(step, x);
  for (int64_t i = 0; i < n.config->num_hidden_layers; ++i) {
    layer_forward(step, i, x, nullptr);
    if (ctx.layer_done != nullptr) (*ctx.layer_done)(i + 1);
  }
  head_forward(ctx, n, batch.logit_rows, x, logits);
}

void transformer_forward(Context& ctx, const Network& n, const Batch& batch, Passage& passage,
                         const std::function<bool(int64_t layer)>& takes_part, KvCache& cache, MatView<float> logits) {
  const int64_t L = n.config->num_hidden_layers, own = batch.rows(), D = n.config->hidden_size;
  Batch both = batch;
  both.add(passage.batch);
  check_ids(both.tokens, *n.config);
  Arena::Scope scope(ctx.arena);
  const std::vector<RowRun> runs_of_both = runs_of(ctx, both), own_runs = runs_of(ctx, batch);
  Context of_both = with_runs(ctx, runs_of_both), of_own = with_runs(ctx, own_runs);
  const Step together{of_both, n, both, rotary_rows(ctx, n, both), &cache};
  const auto first_rows = [&](MatView<const float> rows) { return rows.sub_rows(0, own); };
  const Step alone{of_own, n, batch, {first_rows(together.rotary.cosines), first_rows(together.rotary.sines)}, &cache};
  auto x = scratch(ctx, both.rows(), D);
  const auto passing = x.sub_rows(own, passage.batch.rows());
  if (passage.layers == 0) {
    embed_forward(together, x);
  } else {
    if (own > 0) embed_forward(alone, x.sub_rows(0, own));
    copy_rows(ctx, passage.x.mat(passing.rows, D), passing);
  }
  int64_t layers = passage.layers;
  for (int64_t i = own > 0 ? 0 : layers; i < L; ++i) {
    if (i == layers && takes_part(i)) {
      layer_forward(together, i, x, nullptr);
      ++layers;
    } else if (own > 0) {
      layer_forward(alone, i, x.sub_rows(0, own), nullptr);
    } else {
      break;
    }
  }
  if (passage.x.size() < passing.rows * D) passage.x = Buffer<float>(passing.rows * D);
  copy_rows(ctx, passing, passage.x.mat(passing.rows, D));
  passage.layers = layers;
  if (layers < L) both.logit_rows.resize(batch.logit_rows.size());
  head_forward(ctx, n, both.logit_rows, x, logits.sub_rows(0, std::ssize(both.logit_rows)));
}

}  // namespace fathom
