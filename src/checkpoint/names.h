// Names of tensors in Hugging Face checkpoints and in GGUF files, for all three families: one table.
//
// The parts of an HF name between layer and ".weight" have one GGUF counterpart each, with three exceptions:
//   - "mlp.experts.E.*_proj": GGUF and some HF folders stack the experts of a layer in one tensor [experts, rows,
//   cols];
//   - kv_b_proj: newer GGUF files hold attn_k_b and attn_v_b instead, see model/weights.h (k_b_proj, v_b_proj);
//   - q_proj and k_proj of deepseek and llama: GGUF permutes the rows of each head (RopeLayout, config/config.h).
// Names end in ".weight" but for kScoreBiasPart, which is "mlp.gate.e_score_correction_bias" and "exp_probs_b.bias".
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace fathom {

inline constexpr std::string_view kScoreBiasPart = "mlp.gate.e_score_correction_bias";

// "model.layers.3.mlp.experts.7.up_proj.weight" taken apart.
struct TensorName {
  std::optional<int64_t> layer;   // 3
  std::optional<int64_t> expert;  // 7
  std::string_view part;          // "mlp.experts.up_proj"; "model.norm", "lm_head", ... outside layers

  bool operator==(const TensorName&) const = default;
};

// Absent when `hf_name` is none of the names that for_each_tensor (model/weights.h) makes. The part points into static
// memory.
std::optional<TensorName> parse_hf_name(std::string_view hf_name);

// "blk.3.ffn_up_exps.weight": the GGUF tensor that holds it, alone or with the other experts of its layer.
std::string gguf_name(const TensorName& name);
// "model.layers.3.mlp.experts.7.up_proj.weight".
std::string hf_name(const TensorName& name);
// The HF tensor of a GGUF one; for stacked experts without the expert's number. Absent for a name of no known tensor.
std::optional<TensorName> parse_gguf_name(std::string_view gguf_name);

}  // namespace fathom
