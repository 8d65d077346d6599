#include "measure/cost.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

double stored_bytes(const Weight& w) {
  const double scales =
      w.scale_inv != nullptr ? static_cast<double>((w.rows + kFp8Block - 1) / kFp8Block * w.scale_cols * 4) : 0.0;
  return static_cast<double>(w.rows * w.bytes_per_row()) + scales;
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
      (config.tie_word_embeddings ? head_bytes_ : embedding_bytes_) = bytes;
      if (config.tie_word_embeddings) active_.head = n;
      return;
    }
    const bool routed = part == &ActiveParameters::routed, head = part == &ActiveParameters::head;
    active_.*part += routed ? share * n : n;
    (routed ? routed_bytes_ : head ? head_bytes_ : other_bytes_) += bytes;
    if (has(name, "kv_b_proj") || has(name, ".k_b_proj") || has(name, ".v_b_proj")) latent_parameters_ += n;
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

Cost CostModel::step(int64_t sequences, int64_t n_past, int64_t n_new) const {
  const int64_t rows = sequences * n_new;
  const auto T = static_cast<double>(rows), B = static_cast<double>(sequences);
  const double distinct = expected_distinct_experts(config_.n_routed_experts, config_.num_experts_per_tok, rows);
  const double share = config_.n_routed_experts > 0 ? distinct / static_cast<double>(config_.n_routed_experts) : 0;
  const double linear = active_.total() - active_.norms - active_.head - latent_parameters_;
  return {.weight_bytes = other_bytes_ + head_bytes_ + share * routed_bytes_ + T * embedding_row_bytes_,
          .cache_bytes = B * static_cast<double>((n_past + n_new) * cache_.bytes_per_token()),
          .flops = 2 * (T * linear + B * active_.head) + B * attention_flops(n_past, n_new)};
}

Cost CostModel::work(const Work& w, int64_t chunk_tokens) const {
  if (w.kind == WorkKind::prefill) {
    Cost c = step(1, w.depth, w.tokens);
    c.weight_bytes = 0;
    for (int64_t done = 0; done < w.tokens; done += chunk_tokens)
      c.weight_bytes += step(1, 0, std::min(chunk_tokens, w.tokens - done)).weight_bytes;
    const int64_t full_chunks = (w.tokens - 1) / chunk_tokens;
    c.weight_bytes -= static_cast<double>(full_chunks) * head_bytes_;  // logits after the last token alone
    return c;
  }
  Cost sum;
  for (int64_t i = 0; i < w.tokens; ++i) {
    const Cost c = step(w.sequences, w.depth + 1 + i, 1);
    sum.weight_bytes += c.weight_bytes;
    sum.cache_bytes += c.cache_bytes;
    sum.flops += c.flops;
  }
  return sum;
}

}  // namespace fathom
