// Where an op's backward pass puts the gradient of its input.
#pragma once
#include "tensor/view.h"

namespace fathom {

// In place of what dx holds, or added to it.
struct InputGradient {
  MatView<float> dx;
  bool add;
};
inline InputGradient into(MatView<float> dx) noexcept { return {dx, false}; }
inline InputGradient added_to(MatView<float> dx) noexcept { return {dx, true}; }

}  // namespace fathom
