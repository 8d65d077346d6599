// The precision of a matmul's operands (kernels/matmul/training_matmul.h says what each means for the result).
#pragma once
#include <cstdint>

namespace fathom {

enum class MatmulPrecision : uint8_t {
  f32,
  bf16,  // both operands are rounded to bfloat16 first; products are summed in float32
};

}  // namespace fathom
