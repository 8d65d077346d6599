// How the products of a matrix product are formed (kernels/matmul/training_matmul.h says what each means for the
// result).
#pragma once
#include <cstdint>

namespace fathom {

enum class MatmulPrecision : uint8_t {
  f32,
  bf16,  // both operands rounded to bfloat16 first, their products summed in float32
};

}  // namespace fathom
