// DeepSeek-V2's and DeepSeek 67B's shapes made small by one rule, so that both fit a machine and keep their
// proportions.
//
// With a scale s:
//     / s          hidden_size, intermediate_size, moe_intermediate_size, q_lora_rank, kv_lora_rank, qk_rope_head_dim;
//                  and of heads either their number (that of key/value heads too) or their widths
//     / kFewerLayers   layers: 60 and 95 become 12 and 19
//     / (s kFewerLayers)   vocabulary
//     kept         the other of heads, the numbers of experts, of chosen experts and of groups; the first layer is
//     dense
// each rounded up (rotary keys to even). Lengths are divided by s too. Then the weights of a token and their work are
// divided by s^2 kFewerLayers, and so are the work of attention over keys and values, and the memory of as many
// sequences: what is compared keeps its proportions, but for what the rounding adds and for the router, whose weights
// shrink by s alone. Attention in latent space (generation: 2 C + R a position and head) does so with narrower heads
// alone: with fewer ones it would shrink by s^3. V2's first layer is one dense one of 12 in place of 60, which makes
// its experts 6 % fewer and its products as many.
#pragma once
#include <string>

#include "config/config.h"

namespace fathom {

inline constexpr int64_t kFewerLayers = 5;
inline constexpr int64_t kPaperLength = 4096;  // tokens of a training sequence of both, and all that 67B can read

enum class ScaledHeads : uint8_t { fewer, narrower };

// Of a shape with 128 wide heads. Without YaRN, which the paper trained and compared without.
ModelConfig scaled_shape(ModelConfig config, int64_t scale, int64_t fewer_layers = kFewerLayers,
                         ScaledHeads heads = ScaledHeads::fewer);
inline int64_t scaled_length(int64_t tokens, int64_t scale) noexcept { return (tokens + scale - 1) / scale; }

// The rule, for people.
std::string scaling_rule(int64_t scale, int64_t fewer_layers = kFewerLayers, ScaledHeads heads = ScaledHeads::fewer);

}  // namespace fathom
