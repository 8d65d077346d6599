#include "claims/scaled_shapes.h"

#include <fmt/format.h>

namespace fathom {
namespace {

int64_t part(int64_t n, int64_t divisor) { return (n + divisor - 1) / divisor; }

}  // namespace

ModelConfig scaled_shape(ModelConfig c, int64_t s, int64_t fewer_layers, ScaledHeads heads) {
  c.hidden_size = part(c.hidden_size, s);
  c.intermediate_size = part(c.intermediate_size, s);
  c.moe_intermediate_size = part(c.moe_intermediate_size, s);
  if (c.q_lora_rank) c.q_lora_rank = part(*c.q_lora_rank, s);
  c.kv_lora_rank = part(c.kv_lora_rank, s);
  c.qk_rope_head_dim = 2 * part(c.qk_rope_head_dim, 2 * s);
  if (heads == ScaledHeads::fewer) {
    c.num_attention_heads = part(c.num_attention_heads, s);
    c.num_key_value_heads = part(c.num_key_value_heads, s);
  } else {
    c.head_dim = part(c.head_dim, s);
    c.qk_nope_head_dim = part(c.qk_nope_head_dim, s);
    c.v_head_dim = part(c.v_head_dim, s);
  }
  c.num_hidden_layers = part(c.num_hidden_layers, fewer_layers);
  c.vocab_size = part(c.vocab_size, s * fewer_layers);
  c.max_position_embeddings = scaled_length(kPaperLength, s);
  c.rope_scaling.reset();
  c.bos_token_id.reset();
  c.eos_token_ids.clear();
  validate(c, "a scaled shape");
  return c;
}

std::string scaling_rule(int64_t s, int64_t fewer_layers, ScaledHeads heads) {
  return fmt::format(
      "widths, latents, {} and lengths / {}, layers / {}, vocabulary / {}; {} and the numbers of experts kept",
      heads == ScaledHeads::fewer ? "heads" : "head widths", s, fewer_layers, s * fewer_layers,
      heads == ScaledHeads::fewer ? "head widths" : "the numbers of heads");
}

}  // namespace fathom
