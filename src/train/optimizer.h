// AdamW over the flat parameters (arXiv:1711.05101):
//     g = gradient * clip,  clip = min(1, grad_clip / |gradient|)
//     m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) g^2
//     p = p (1 - rate * weight_decay) - rate * (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
// Gains of norms do not decay; every matrix does, embedding and head too (the paper says nothing of exclusions).
#pragma once
#include "train/config/train_config.h"
#include "train/parameters.h"

namespace fathom {

class AdamW {
 public:
  // Of all parameters.
  explicit AdamW(const Parameters& parameters) : AdamW(parameters, parameters.all()) {}
  // Of some: it keeps the moments of no others and updates no others. Optimisers of ranges that cover the parameters
  // have together the bits of one.
  AdamW(const Parameters& parameters, const ParameterRange& range);

  struct Step {
    double rate = 0, clip = 1;
    int64_t t = 1;  // number of the update, from 1
  };
  // Writes the master and the bfloat16 copy, and clears the gradients, of its range. One pass over memory.
  void update(ThreadPool& pool, Parameters& parameters, const OptimizerConfig& config, const Step& step);

  const ParameterRange& range() const noexcept { return range_; }
  VecView<float> first_moment() const noexcept { return m_.vec(); }  // of the range
  VecView<float> second_moment() const noexcept { return v_.vec(); }

 private:
  ParameterRange range_;
  Buffer<float> m_, v_;
};

// |gradient| over all parameters, summed in double over fixed pieces in order: the same for any number of threads. From
// gradients that lie in several places: the squares of each, whose first piece must begin at a multiple of
// kSquaresPiece among the parameters, one after the other.
inline constexpr int64_t kSquaresPiece = 4096;
std::vector<double> gradient_squares(ThreadPool& pool, VecView<const float> gradients);
double gradient_norm(std::span<const double> squares);
double gradient_norm(ThreadPool& pool, VecView<const float> gradients);

}  // namespace fathom
