// How much each column of each weight matrix counts: the mean square of the activations that it is multiplied with.
//
// Rounding W to W + dW changes a product by dW x. With inputs whose columns are taken as uncorrelated, the mean square
// of that change is  sum over columns of E[x_c^2] dW_c^2:  encode_row_thorough (quant/encode.h) minimises it.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"

namespace fathom {

struct ColumnStatistics {
  int64_t groups = 1, cols = 0;     // the rows of the matrix fall into `groups` equal parts with inputs of their own
  double rows = 0;                  // of activations, that were seen
  std::vector<float> mean_squares;  // (groups, cols)
};

// By Hugging Face names (for_each_tensor, model/weights.h). Immutable; any thread may read.
class Importance {
 public:
  using Tensors = std::map<std::string, ColumnStatistics, std::less<>>;

  Importance() = default;
  explicit Importance(Tensors tensors);

  const Tensors& tensors() const noexcept { return tensors_; }

  // What the encoder of a matrix is given, (groups, cols); cols 0 where nothing is known.
  //
  // An expert that saw few tokens has a noisy mean, one that saw none has none: the mean over the tokens of all experts
  // of its layer counts as kPriorRows rows more of its own. kv_b_proj and v_b_proj, the same columns in two layouts,
  // stand in for each other.
  static constexpr double kPriorRows = 32;
  ColumnStatistics find(std::string_view hf_name) const;

 private:
  Tensors tensors_;
  Tensors layer_means_;  // of experts, by name without their number
};

// What the data is made of, for people.
struct ImportanceReport {
  double tokens = 0;  // that the model saw
  int64_t experts = 0,
          few = 0;  // routed, of layers that there is data of; those chosen for less than kPriorRows tokens
  std::vector<std::string> never;  // chosen for none: "model.layers.3.mlp.experts.5"
};
ImportanceReport report_on(const Importance& importance, const ModelConfig& config);

}  // namespace fathom
