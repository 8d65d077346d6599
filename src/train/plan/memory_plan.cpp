#include "train/plan/memory_plan.h"

#include <algorithm>
#include <numeric>

#include "model/footprint.h"

namespace fathom {
namespace {

// Numbers (float32) kept of one token by one layer, beside its input.
int64_t saved_attention(const ModelConfig& c) {
  const int64_t H = c.num_attention_heads, states = 2 * H;
  if (c.uses_mla())
    return c.q_lora_rank.value_or(0) + H * c.qk_head_dim() + c.cache_width() + H * c.v_head_dim + states;
  return H * c.head_dim + c.cache_width() + H * c.head_dim + states;
}

int64_t saved_feed_forward(const ModelConfig& c, int64_t layer) {
  if (!c.layer_is_moe(layer)) return 2 * c.intermediate_size;
  return 2 * c.moe_intermediate_size * (c.num_experts_per_tok + c.n_shared_experts);
}

int64_t routing(const ModelConfig& c, int64_t layer) {
  return c.layer_is_moe(layer) ? c.n_routed_experts + 2 * c.num_experts_per_tok : 0;
}

// The largest scratch that a token needs inside one layer's backward pass.
int64_t scratch_of(const ModelConfig& c, int64_t layer) {
  const int64_t D = c.hidden_size, H = c.num_attention_heads, K = c.num_experts_per_tok;
  const int64_t attention = c.uses_mla()
                                ? H * c.v_head_dim + c.kv_lora_rank + 2 * H * (c.qk_nope_head_dim + c.v_head_dim) +
                                      H * c.qk_head_dim() + H * c.qk_rope_head_dim + c.cache_width() +
                                      c.qk_rope_head_dim / 2 + 2 * c.q_lora_rank.value_or(0)
                                : 2 * H * c.head_dim + c.cache_width() + c.head_dim / 2;
  const int64_t feed_forward = c.layer_is_moe(layer)
                                   ? 2 * K * D + 4 * K * c.moe_intermediate_size + K + c.n_routed_experts +
                                         4 * c.n_shared_experts * c.moe_intermediate_size
                                   : 4 * c.intermediate_size;
  return 2 * D + std::max(attention, feed_forward);
}

}  // namespace

std::vector<MemoryClass> plan_memory(const TrainConfig& config) {
  const ModelConfig& c = config.model;
  const int64_t n = footprint(c).parameters, T = config.batch.micro_batch * config.data.sequence_length;
  constexpr int64_t kFloat = 4;
  int64_t inputs = 0, rest = 0, largest_rest = 0, largest_scratch = 0;
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const int64_t of_layer = c.hidden_size + saved_attention(c) + saved_feed_forward(c, layer);
    inputs += c.hidden_size + routing(c, layer);
    rest += of_layer;
    largest_rest = std::max(largest_rest, of_layer);
    largest_scratch = std::max(largest_scratch, scratch_of(c, layer));
  }
  const bool recompute = config.run.recompute == Recompute::layers;
  const int64_t loss_rows = std::min(StepOptions{}.loss_chunk, T);
  std::vector<MemoryClass> classes = {{"master weights, float32", n * kFloat}};
  if (config.run.products == MatmulPrecision::bf16) classes.push_back({"weights, bfloat16", n * 2});
  classes.insert(classes.end(),
                 {{"gradients, float32", n * kFloat},
                  {"first and second moments, float32", 2 * n * kFloat},
                  {"layer inputs and routing", inputs * T * kFloat},
                  {recompute ? "saved activations of one layer (recompute = \"layers\")" : "saved activations",
                   (recompute ? largest_rest : rest) * T * kFloat},
                  {"scratch of one layer", largest_scratch * T * kFloat},
                  {"residual stream, its gradient, rotary table", (2 * c.hidden_size + c.rope_dim()) * T * kFloat},
                  {"logits of one chunk, final norm", (loss_rows * c.vocab_size + T * c.hidden_size) * kFloat}});
  return classes;
}

int64_t total_bytes(const std::vector<MemoryClass>& classes) {
  return std::accumulate(classes.begin(), classes.end(), int64_t{0},
                         [](int64_t sum, const MemoryClass& m) { return sum + m.bytes; });
}

}  // namespace fathom
