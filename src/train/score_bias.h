// Balance without a loss: each expert's score bias (model/moe/router.h, noaux_tc) moves by a fixed step against its
// load.
//     b_i += speed * sign(mean load - load_i),   load_i: tokens of the whole step that chose expert i, before dropping
// Source: arXiv:2408.15664, algorithm 1; arXiv:2412.19437 section 2.1.2.
#pragma once
#include <vector>

#include "train/parameters.h"

namespace fathom {

// counts: of each MoE layer, in order, the load of each expert. Writes the biases among the parameters. Loads are whole
// numbers, so the signs are exact. The model must have a score bias (check()).
void update_score_bias(Parameters& parameters, const std::vector<std::vector<int64_t>>& counts, double speed);

}  // namespace fathom
