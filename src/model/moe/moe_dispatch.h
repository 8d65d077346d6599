// Between tokens and rows sorted by expert.
#pragma once
#include <span>
#include <vector>

#include "model/context.h"
#include "model/saved.h"
#include "model/weights.h"

namespace fathom {

// kept (T K): 0 for pairs that are not computed; empty: all are.
Dispatch sort_by_expert(const Routing& routing, int64_t n_experts, std::span<const uint8_t> kept);

// rows (n_rows, D): row r = x[token[r]].
void gather_rows(Context& ctx, const Dispatch& dispatch, MatView<const float> x, MatView<float> rows);

// The same as a matrix of x's kind, until the caller's arena scope closes.
AnyRows gathered_rows(Context& ctx, const Dispatch& dispatch, const AnyRows& x);

// Its adjoint: y[t] += the rows of the pairs of t, in order of k. y (T, D).
void scatter_add_rows(Context& ctx, const Dispatch& dispatch, MatView<const float> rows, MatView<float> y);

// gate_and_up: mlp.h; where an expert has no such matrix, no weights.
enum class ExpertPart : uint8_t { gate, up, down, gate_and_up };
std::vector<Weight> expert_weights(const MoeWeights& w, ExpertPart part);

}  // namespace fathom
