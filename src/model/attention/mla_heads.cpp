#include "model/attention/mla_heads.h"

#include "kernels/matmul/float_matmul.h"
#include "kernels/matmul/packed_matmul.h"

namespace fathom {

void fold_query(const ModelConfig& c, const MlaWeights& w, int64_t head, Numerics numerics, MatView<const float> q_nope,
                MatView<float> q_latent) {
  const int64_t N = c.qk_nope_head_dim, V = c.v_head_dim, C = c.kv_lora_rank;
  if (numerics.is_quantised() && w.fold_key.packed != nullptr && N <= kSerialCols) {
    packed_linear_serial(q_nope, packed_rows(w.fold_key, head * C, C), q_latent);
  } else if (w.kv_b_proj) {
    matmul_transposed_serial(q_nope, w.kv_b_proj.sub_rows(head * (N + V), N), q_latent);
  } else {
    matmul_serial(q_nope, w.k_b_proj.sub_rows(head * C, C), q_latent);
  }
}

void unfold_value(const ModelConfig& c, const MlaWeights& w, int64_t head, Numerics numerics, MatView<const float> z,
                  MatView<float> o) {
  const int64_t N = c.qk_nope_head_dim, V = c.v_head_dim;
  const Weight value =
      w.kv_b_proj ? packed_rows(w.kv_b_proj, head * (N + V) + N, V) : packed_rows(w.v_b_proj, head * V, V);
  if (numerics.is_quantised() && value.packed != nullptr && value.cols <= kSerialCols)
    packed_linear_serial(z, value, o);
  else
    matmul_serial(z, value, o);
}

}  // namespace fathom
