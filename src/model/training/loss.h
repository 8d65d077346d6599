// What a micro-batch is trained on, and the loss of its rows.
//     objective = token_weight * sum over rows with a target of weight * loss  +  the balance losses (training_step.h)
#pragma once
#include <span>
#include <vector>

#include "base/machine/threads.h"
#include "model/batch.h"
#include "model/moe/balance.h"
#include "tensor/view.h"

namespace fathom {

struct TrainingBatch {
  Batch batch;                          // whole sequences (documents); rows in order
  std::vector<int32_t> targets;         // one a row; negative: no loss there
  std::vector<float> weights = {};      // one a row, of its loss; may be 0 or negative. Empty: all 1
  std::vector<SequenceRows> sequences;  // training sequences: the unit of the balance losses

  float weight(int64_t row) const noexcept { return weights.empty() ? 1.0f : weights[static_cast<size_t>(row)]; }
};

// The sum of the weights of rows with a target. Where none is negative, the weighted mean of losses is
// sum(weight * loss) / sum(weight), both over all micro-batches of a step.
double target_weight(const TrainingBatch& batch);

// The logits (rows, vocab_size) of rows [first, first + logits.rows) of a batch, and where the losses of these rows go.
struct LogitRows {
  const TrainingBatch& batch;
  int64_t first;
  MatView<float> logits;
  std::span<double> losses;
};

// A loss that is a sum over rows. It is called with a chunk of rows at a time, in order, and writes
//     losses[i]    the loss of row first + i, without weight and scale; 0 where the row has no part
//     logits[i]    scale * weight * d loss / d logits, in place of what was there
// A loss over whole sequences (preferences, rewards) is cross-entropy with weights: evaluate() gives the
// log-probabilities, from which its slope for each row's log-probability follows.
class LogitLoss {
 public:
  virtual ~LogitLoss() = default;
  virtual void operator()(ThreadPool& pool, float scale, const LogitRows& rows) const = 0;
};

// -log p(target), natural logarithm; rows without a target have no part.
const LogitLoss& cross_entropy();

}  // namespace fathom
