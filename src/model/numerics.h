// Which arithmetic a pass through the network uses: one of a few that make sense, each under its name.
#pragma once
#include <cstdint>

#include "kernels/matmul_precision.h"

namespace fathom {

class Numerics {
 public:
  // Inference. Operands and sums are float32, stored weights are decoded as they are read: what comparisons with other
  // implementations need.
  static constexpr Numerics exact() noexcept { return {Kind::exact, MatmulPrecision::f32}; }
  // As exact, but every result that a bfloat16 framework would store (embedding, norm, linear, rotation, attention
  // output, residual) is rounded to bfloat16, so that logits can be compared with such a run.
  static constexpr Numerics bf16_reference() noexcept { return {Kind::bf16_reference, MatmulPrecision::f32}; }
  // Inference, the fast one of `--arithmetic`: matmuls with a packed weight round activations to 8 bits in blocks
  // of 32, or to bfloat16 where the weight is of that type, and latent attention rounds its operands to 13 to 16 bits,
  // which is less than such a weight, or a cache in bfloat16, has been rounded already.
  static constexpr Numerics quantised() noexcept { return {Kind::quantised, MatmulPrecision::f32}; }
  // Many rows and weights of a plain type: matmuls and attention in large tiles, whose operands have this precision.
  static constexpr Numerics training(MatmulPrecision precision) noexcept { return {Kind::training, precision}; }

  constexpr bool rounds_activations() const noexcept { return kind_ == Kind::bf16_reference; }
  constexpr bool is_quantised() const noexcept { return kind_ == Kind::quantised; }
  constexpr bool is_training() const noexcept { return kind_ == Kind::training; }
  // Of operands of matmuls and attention that are neither packed nor decoded.
  constexpr MatmulPrecision matmul_precision() const noexcept { return precision_; }

  friend constexpr bool operator==(const Numerics&, const Numerics&) noexcept = default;

 private:
  enum class Kind : uint8_t { exact, bf16_reference, quantised, training };
  constexpr Numerics(Kind kind, MatmulPrecision precision) noexcept : kind_(kind), precision_(precision) {}

  Kind kind_;
  MatmulPrecision precision_;
};

}  // namespace fathom
