// The products of latent attention with one head's part of kv_b_proj, in either stored layout. On the calling thread.
// Letters: src/config/config.h.
#pragma once
#include "config/config.h"
#include "model/context.h"
#include "model/weights.h"
#include "tensor/view.h"

namespace fathom {

// q~ (n, C) = q_n (n, N) W_UK,i
void fold_query(const ModelConfig& config, const MlaWeights& w, int64_t head, Numerics numerics,
                MatView<const float> q_nope, MatView<float> q_latent);
// o (n, V) = z (n, C) W_UV,i^T
void unfold_value(const ModelConfig& config, const MlaWeights& w, int64_t head, Numerics numerics,
                  MatView<const float> z, MatView<float> o);

}  // namespace fathom
