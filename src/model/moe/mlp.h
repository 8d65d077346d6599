// SwiGLU feed-forward:  y = down_proj( silu(gate_proj x) * up_proj x ), no biases.   Source: arXiv:2002.05202.
#pragma once
#include "model/context.h"
#include "model/operand.h"
#include "model/saved.h"
#include "model/weights.h"

namespace fathom {

// Allocates what mlp_forward saves of T tokens for the backward pass.
MlpSaved allocate_mlp_saved(Context& ctx, int64_t T, int64_t width);

// x (T, D) read, y (T, D) written. saved: from allocate_mlp_saved, or nullptr.
void mlp_forward(Context& ctx, const MlpWeights& w, MatView<const float> x, MatView<float> y, MlpSaved* saved);

// Whether its three products run over packed weights (kernels/matmul/packed_matmul.h), gate and up over rows of one
// form.
bool uses_packed(const Context& ctx, const MlpWeights& w) noexcept;

// Feed-forward layers over packed weights that run together: gate, up and the activation of all in one section, down of
// all in the next. What is added must live until run().
class PackedMlps {
 public:
  // y.row(act.first + i) = the layer's output for row i of x; act: a tile of as many rows, gate_proj.rows wide.
  void add(const MlpWeights& w, const QuantisedRows& x, const QuantisedTile& act, MatView<float> y);
  void run(ThreadPool& pool) const;

 private:
  std::vector<GatedMatmul> gated_;
  std::vector<PackedMatmul> down_;
};

// mlp_forward in training, of an x that may be rounded (as_operand); `saved` is written.
void training_mlp_forward(Context& ctx, const MlpWeights& w, const AnyRows& x, MatView<float> y, const MlpSaved& saved);
// out.dx (T, D); gradients of weights are added to ctx.gradients.
void mlp_backward(Context& ctx, const MlpWeights& w, const MlpSaved& saved, const AnyRows& x, const AnyRows& dy,
                  const InputGradient& out);

// gate_proj and up_proj as one matrix (2 F, D), where the one follows the other in memory, as among the parameters of a
// training run; and their gradients, where neither is frozen. Else an empty one: each has a product of its own then.
Weight gate_and_up(const MlpWeights& w) noexcept;
MatView<float> gate_and_up(const MlpWeights& w, const Gradients& gradients);

// Row by row for training's products: act (T, F); dgate | dup (T, 2 F) from dact (T, F).
void gated_activation(Context& ctx, const MlpSaved& saved, const Operand& act);
void gated_activation_backward(const MlpSaved& saved, int64_t row, const float* dact, const Operand& dboth) noexcept;

// act (rows) = silu(gate) * up, rounded to what ctx keeps; act may be gate.
void gated_activation(Context& ctx, MatView<const float> gate, MatView<const float> up, MatView<float> act);

}  // namespace fathom
