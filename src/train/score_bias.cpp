#include "train/score_bias.h"

#include <numeric>

namespace fathom {

void update_score_bias(Parameters& parameters, const std::vector<std::vector<int64_t>>& counts, double speed) {
  size_t layer = 0;
  for (const ParameterInfo& p : parameters.list()) {
    if (p.learned) continue;
    check(layer < counts.size() && std::ssize(counts[layer]) == p.size, "a load for every expert of every bias");
    const std::vector<int64_t>& load = counts[layer++];
    if (p.frozen) continue;
    const int64_t total = std::accumulate(load.begin(), load.end(), int64_t{0});
    float* bias = parameters.master().data + p.offset;
    for (int64_t e = 0; e < p.size; ++e) {
      const int64_t missing = total - load[static_cast<size_t>(e)] * p.size;
      bias[e] += static_cast<float>(missing > 0 ? speed : missing < 0 ? -speed : 0);
    }
  }
  check(layer == counts.size(), "a bias for every MoE layer");
}

}  // namespace fathom
