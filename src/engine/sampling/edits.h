// What penalties and biases make of the scores: new scores for the few ids that they touch.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "engine/sampler.h"

namespace fathom {

struct ScoreEdit {
  int32_t id;
  float score;
};

// Steps 2 to 5 of sampler.h for ids below logits.size(), in no particular order, an id at most once. Time is linear in
// the part of the history that the options look at.
std::vector<ScoreEdit> edited_scores(std::span<const float> logits, std::span<const int32_t> history, int64_t n_prompt,
                                     const SamplingOptions& options);

}  // namespace fathom
