#include "kernels/rope.h"

#include "kernels/dispatch.h"

namespace fathom {

void rope_heads(float* x, int64_t n_heads, int64_t head_stride, VecView<const float> cos, VecView<const float> sin,
                RopeLayout layout) noexcept {
  check(cos.size == sin.size, "rope: cos and sin (P)");
  const KernelTable& k = kernels();
  const auto rotate = layout == RopeLayout::interleaved ? k.rope_interleaved : k.rope_half_split;
  for (int64_t h = 0; h < n_heads; ++h) rotate(x + h * head_stride, cos.data, sin.data, cos.size);
}

}  // namespace fathom
