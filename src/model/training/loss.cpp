#include "model/training/loss.h"

#include "kernels/rows/backward.h"

namespace fathom {
namespace {

class CrossEntropy : public LogitLoss {
 public:
  void operator()(ThreadPool& pool, float scale, const LogitRows& rows) const override {
    const auto first = static_cast<size_t>(rows.first), n = static_cast<size_t>(rows.logits.rows);
    const std::span<const float> weights = rows.batch.weights;
    cross_entropy_backward(pool, rows.logits, std::span(rows.batch.targets).subspan(first, n),
                           weights.empty() ? weights : weights.subspan(first, n), scale, rows.losses);
  }
};

}  // namespace

double target_weight(const TrainingBatch& b) {
  double sum = 0;
  for (size_t t = 0; t < b.targets.size(); ++t)
    if (b.targets[t] >= 0) sum += double{b.weight(static_cast<int64_t>(t))};
  return sum;
}

const LogitLoss& cross_entropy() {
  static const CrossEntropy loss;
  return loss;
}

}  // namespace fathom
