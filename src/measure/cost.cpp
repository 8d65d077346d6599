#include "measure/cost.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

double stored_bytes(const Weight& w) {
  const int64_t scales =
      w.scale_inv != nullptr ? (w.rows + kFp8Block - 1) / kFp8Block * w.scale_cols * int64_t{sizeof(float)} : 0;
  return static_cast<double>(w.rows * w.bytes_per_row() + scales);
}

bool has(std::string_view name, std::string_view part) { return name.find(part) != std::string_view::npos; }

// Which sum of `active` a tensor belongs to. nullptr: the embedding table.
double ActiveParameters::*part_of(std::string_view name, const Shape& shape) {
  if (has(name, "embed_tokens")) return nullptr;
  if (shape.size() == 1) return &ActiveParameters::norms;
  if (has(name, "lm_head")) return &ActiveParameters::head;
  if (has(name, "self_attn")) return &ActiveParameters::attention;
  if (has(name, ".experts.")) return &ActiveParameters::routed;
  if (has(name, "shared_experts")) return &ActiveParameters::shared;
  if (has(name, "mlp.gate.")) return &ActiveParameters::router;
  return &ActiveParameters::dense;
}

// The part of a step that reads a tensor of that sum.
Part step_part(std::string_view name, double ActiveParameters::*active) {
  if (has(name, "kv_b_proj") || has(name, ".k_b_proj") || has(name, ".v_b_proj")) return Part::attention;
  if (active == &ActiveParameters::norms) return Part::rest;
  if (active == &ActiveParameters::head) return Part::head;
  if (active == &ActiveParameters::attention) return Part::projections;
  if (active == &ActiveParameters::router) return Part::routing;
  return active == &ActiveParameters::dense ? Part::dense : Part::experts;
}

}  // namespace

double expected_distinct_experts(int64_t n_experts, int64_t n_chosen, int64_t tokens) noexcept {
  const auto E = static_cast<double>(n_experts), K = static_cast<double>(n_chosen);
  return n_experts == 0 ? 0 : E * (1 - std::pow(1 - K / E, static_cast<double>(tokens)));
}

CostModel::CostModel(const ModelConfig& config, const ModelWeights& weights, const CacheLayout& cache)
    : config_(config), cache_(cache) {
  ModelWeights walked = weights;
  const double share = config.n_routed_experts > 0 ? static_cast<double>(config.num_experts_per_tok) /
                                                         static_cast<double>(config.n_routed_experts)
                                                   : 0;
  for_each_tensor(walked, config, [&](const std::string& name, const Weight& w, const Shape& shape) {
    const double bytes = stored_bytes(w), n = static_cast<double>(w.rows) * static_cast<double>(w.cols);
    const auto part = part_of(name, shape);
    if (part == nullptr) {
      embedding_row_bytes_ = static_cast<double>(w.bytes_per_row());
      (config.tie_word_embeddings ? bytes_of(Part::head) : embedding_bytes_) = bytes;
      if (config.tie_word_embeddings) active_.head = n;
      return;
    }
    const bool routed = part == &ActiveParameters::routed;
    const Part step = step_part(name, part);
    active_.*part += routed ? share * n : n;
    (routed ? routed_bytes_ : bytes_of(step)) += bytes;
    if (step == Part::attention) latent_parameters_ += n;
  });
}

double CostModel::attention_flops(int64_t n_past, int64_t n_new) const {
  const auto P = static_cast<double>(n_past), S = static_cast<double>(n_new);
  const double pairs = S * P + S * (S + 1) / 2;
  const auto layers_heads = static_cast<double>(config_.num_hidden_layers * config_.num_attention_heads);
  const auto qk = static_cast<double>(config_.qk_head_dim()), v = static_cast<double>(config_.value_head_dim());
  if (!config_.uses_mla()) return 2 * layers_heads * (qk + v) * pairs;
  const auto latent = static_cast<double>(2 * config_.kv_lora_rank + config_.qk_rope_head_dim);
  const double naive = latent_parameters_ * (P + S) + layers_heads * (qk + v) * pairs;
  const double absorbed = latent_parameters_ * S + layers_heads * latent * pairs;
  return 2 * std::min(naive, absorbed);
}

PartCosts CostModel::step_parts(int64_t sequences, int64_t n_past, int64_t n_new) const {
  const int64_t rows = sequences * n_new;
  const auto T = static_cast<double>(rows), B = static_cast<double>(sequences);
  const double distinct = expected_distinct_experts(config_.n_routed_experts, config_.num_experts_per_tok, rows);
  const double share = config_.n_routed_experts > 0 ? distinct / static_cast<double>(config_.n_routed_experts) : 0;
  PartCosts parts;
  for (size_t i = 0; i < parts.size(); ++i) parts[i].weight_bytes = bytes_[i];
  const auto at = [&](Part part) -> Cost& { return parts[static_cast<size_t>(part)]; };
  at(Part::projections).flops = 2 * T * (active_.attention - latent_parameters_);
  at(Part::attention).cache_bytes = B * static_cast<double>((n_past + n_new) * cache_.bytes_per_token());
  at(Part::attention).flops = B * attention_flops(n_past, n_new);
  at(Part::routing).flops = 2 * T * active_.router;
  at(Part::experts).weight_bytes += share * routed_bytes_;
  at(Part::experts).flops = 2 * T * (active_.routed + active_.shared);
  at(Part::dense).flops = 2 * T * active_.dense;
  at(Part::head).flops = 2 * B * active_.head;
  at(Part::rest).weight_bytes += T * embedding_row_bytes_;
  return parts;
}

PartCosts CostModel::work_parts(const Work& w, int64_t chunk_tokens) const {
  PartCosts sum{};
  const auto add = [&](const PartCosts& parts) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += parts[i];
  };
  if (w.kind == WorkKind::decode) {
    for (int64_t i = 0; i < w.tokens; ++i) add(step_parts(w.sequences, w.depth + 1 + i, 1));
    return sum;
  }
  sum = step_parts(1, w.depth, w.tokens);
  for (Cost& c : sum) c.weight_bytes = 0;
  for (int64_t done = 0; done < w.tokens; done += chunk_tokens) {
    PartCosts chunk = step_parts(1, 0, std::min(chunk_tokens, w.tokens - done));
    if (done > 0) chunk[static_cast<size_t>(Part::head)] = {};  // logits after the last token alone
    for (Cost& c : chunk) c = {.weight_bytes = c.weight_bytes};
    add(chunk);
  }
  return sum;
}

}  // namespace fathom
