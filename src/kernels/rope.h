// Rotary position embedding: pair i of a head is rotated by the angle of its position, given as cosine and sine.
//     (a, b) -> (a cos - b sin, a sin + b cos)
// Source: arXiv:2104.09864, eq. 34. The angles are the caller's (plain or YaRN).
#pragma once
#include "tensor/view.h"

namespace fathom {

enum class RopeLayout {
  interleaved,  // pair i is x[2i], x[2i+1]: DeepSeek-V2 checkpoints, GGUF of that family
  half_split,   // pair i is x[i], x[i+P]: Llama and DeepSeekMoE checkpoints of Hugging Face
};

// cos, sin (P) of one position. x: n_heads heads, head h's 2P numbers at x + h * head_stride, rotated in place.
// On the calling thread. Bits do not depend on n_heads.
void rope_heads(float* x, int64_t n_heads, int64_t head_stride, VecView<const float> cos, VecView<const float> sin,
                RopeLayout layout) noexcept;

}  // namespace fathom
