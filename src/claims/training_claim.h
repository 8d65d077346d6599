// "Saves 42.5 % of training costs": operations a token of both shapes, and the time that a token of training takes of
// both shapes scaled down (scaled_shapes.h), measured in turns on this machine.
//
// What is timed is a micro-batch: forward pass, loss and gradients (Update::accumulate) of whole sequences of random
// tokens in bfloat16 products. The update of the weights is timed beside it and left out of the cost of a token: the
// paper makes one for 37.7 million tokens (67B: 18.9 million).
#pragma once
#include <array>
#include <functional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "config/config.h"
#include "train/plan/flops.h"

namespace fathom {

struct TrainingClaimOptions {
  int64_t scale = 16;
  int64_t sequences = 8;  // of a micro-batch, each of scaled_length(kPaperLength, scale) tokens
  int rounds = 3;
  int threads = 0;  // 0: the CPUs of this process
  std::function<void(size_t done, size_t total)> progress = {};
};

struct TrainedShape {
  std::string name;
  TokenFlops paper_flops;      // a token of 4096, of the shape itself
  double parameter_flops = 0;  // of paper_flops.forward, the part of products with weights
  ModelConfig scaled;
  int64_t parameters = 0, activated = 0;  // of the scaled shape
  TokenFlops flops;                       // of it, a token of its length
  std::vector<double> seconds;            // of each round, a micro-batch
  std::vector<double> update_seconds;     // of each round

  double median_seconds() const;
};

enum TrainingShape : uint8_t { kTrainedV2, kTrainedDense };

struct TrainingClaim {
  int64_t scale = 0, length = 0, sequences = 0;
  int threads = 0;
  double peak_flops = 0;  // of products of bfloat16 here; 0: not known
  std::string cpu;
  std::array<TrainedShape, 2> shapes;  // by TrainingShape

  int64_t tokens() const noexcept { return length * sequences; }
  // 1 - V2 / 67B, of each round; and of operations.
  std::vector<double> reductions() const;
  double flops_reduction() const noexcept {
    return 1 - shapes[kTrainedV2].paper_flops.total() / shapes[kTrainedDense].paper_flops.total();
  }
};

// resource Error when both do not fit the free memory.
TrainingClaim claim_training(const TrainingClaimOptions& options);

std::string to_table(const TrainingClaim& claim);
json::value to_json(const TrainingClaim& claim);

}  // namespace fathom
