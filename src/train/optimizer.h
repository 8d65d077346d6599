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
  explicit AdamW(const Parameters& parameters);

  // |gradient| over all parameters, summed in double over fixed pieces in order: the same for any number of threads.
  static double gradient_norm(ThreadPool& pool, VecView<const float> gradients);

  // One update, number t = 1, 2, ...; writes the master and the bfloat16 copy, and clears the gradients. One pass over
  // memory.
  void update(ThreadPool& pool, Parameters& parameters, const OptimizerConfig& config, double rate, double clip,
              int64_t t);

  VecView<float> first_moment() const noexcept { return m_.vec(); }
  VecView<float> second_moment() const noexcept { return v_.vec(); }

 private:
  Buffer<float> m_, v_;
};

}  // namespace fathom
