// Where the gradient of each weight is.
#pragma once
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

// Parameters lie in one flat buffer, float32, and (for bf16 products) a second time in a parallel one of bfloat16.
// Gradients lie in a third, at the same places, so that a Weight that views either buffer names its gradient by its
// address. Gradients are float32 and are added to: whoever starts a step clears them.
class Gradients {
 public:
  Gradients(const float* parameters, const uint16_t* parameters_bf16, VecView<float> gradients)
      : parameters_(parameters), bf16_(parameters_bf16), gradients_(gradients) {}

  // (rows, cols) of the weight. The weight must view one of the two buffers (check()).
  MatView<float> of(const Weight& w) const {
    const int64_t offset = w.dtype == DType::f32 ? reinterpret_cast<const float*>(w.data) - parameters_
                                                 : reinterpret_cast<const uint16_t*>(w.data) - bf16_;
    check(offset >= 0 && offset + w.rows * w.cols <= gradients_.size, "the weight is one of the parameters");
    return {gradients_.data + offset, w.rows, w.cols};
  }
  VecView<float> vector_of(const Weight& w) const { return of(w).vec(0); }
  VecView<float> all() const { return gradients_; }

 private:
  const float* parameters_;
  const uint16_t* bf16_;
  VecView<float> gradients_;
};

}  // namespace fathom
