// What a step reports: a record for the logs of the run, and two lines for a person.
#pragma once
#include <algorithm>
#include <limits>
#include <string>

#include "train/run/run_log.h"
#include "train/trainer.h"

namespace fathom {

// Rates of one step, and what they are of this machine's peak.
struct StepSpeed {
  double tokens_per_second = 0, flops_per_second = 0;
  double percent_of_peak = std::numeric_limits<double>::quiet_NaN();  // not known for the reference kernels
};
StepSpeed speed_of(const StepResult& result, double flops_per_token, double peak_flops);

MetricsRecord record_of(const StepResult& result, const StepSpeed& speed);

// How fast the steps so far were: the mean of the first twenty, then one in which recent steps count more, so that the
// time left does not jump with every step.
class Pace {
 public:
  void add(const StepResult& result);
  double seconds_for(double tokens) const noexcept { return std::max(0.0, tokens) * seconds_per_token_; }

 private:
  double seconds_per_token_ = 0;
  int64_t n_steps_ = 0;
};

// Lines of at most 80 columns: how it learns, and how long the rest will take; then how fast, and how balanced.
std::string step_text(const StepResult& result, const StepSpeed& speed, double seconds_left);

}  // namespace fathom
