#include "train/run/step_report.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/progress.h"

namespace fathom {
namespace {

// The largest share of any expert times their number: 1 is perfect balance.
double max_over_mean(const std::vector<double>& load) {
  return *std::max_element(load.begin(), load.end()) * static_cast<double>(load.size());
}

int64_t dead_experts(const std::vector<double>& load) { return std::count(load.begin(), load.end(), 0.0); }

// "512", "37.5k", "8.10T": three digits and a power of 1000.
std::string short_count(double n) {
  constexpr std::array<const char*, 6> kUnits = {"", "k", "M", "G", "T", "P"};
  size_t u = 0;
  for (; n >= 999.5 && u + 1 < kUnits.size(); ++u) n /= 1000;
  if (u == 0 || n >= 99.95) return fmt::format("{:.0f}{}", n, kUnits[u]);  // three digits before the point
  return fmt::format("{:#.3g}{}", n, kUnits[u]);
}

// Fields two spaces apart; one that would pass the width begins the next line.
class Lines {
 public:
  void add(const std::string& field) {
    if (column_ + field.size() > kWidth) next();
    if (column_ > 0) text_ += "  ";
    text_ += field;
    column_ += field.size() + 2;
  }
  void next() {
    text_ += '\n';
    text_.append(kIndent, ' ');
    column_ = kIndent + 2;
  }
  std::string take() { return text_ + "\n"; }

 private:
  static constexpr size_t kWidth = 80, kIndent = 11;  // with the two spaces: under the second field
  std::string text_;
  size_t column_ = 0;  // where the next field begins, two spaces included
};

std::string load_text(const StepResult& r) {
  double worst = 0;
  int64_t dead = 0;
  for (const auto& load : r.expert_load) {
    worst = std::max(worst, max_over_mean(load));
    dead += dead_experts(load);
  }
  return fmt::format("load {:.2f}x{}", worst, dead > 0 ? fmt::format(" ({} dead)", dead) : "");
}

}  // namespace

StepSpeed speed_of(const StepResult& r, double flops_per_token, double peak_flops) {
  StepSpeed s;
  s.tokens_per_second = static_cast<double>(r.step_tokens) / r.seconds;
  s.flops_per_second = s.tokens_per_second * flops_per_token;
  if (peak_flops > 0) s.percent_of_peak = 100 * s.flops_per_second / peak_flops;
  return s;
}

MetricsRecord record_of(const StepResult& r, const StepSpeed& speed) {
  MetricsRecord m{.step = r.step, .tokens = r.tokens, .scalars = {}, .arrays = {}};
  m.scalars = {{"loss", r.loss},
               {"balance/expert", r.balance.expert},
               {"balance/device", r.balance.device},
               {"balance/communication", r.balance.communication},
               {"gradient_norm", r.gradient_norm},
               {"learning_rate", r.learning_rate},
               {"sequences", static_cast<double>(r.sequences)},
               {"dropped_pairs", static_cast<double>(r.n_dropped)},
               {"skipped", r.skipped ? 1.0 : 0.0},
               {"tokens_per_second", speed.tokens_per_second},
               {"gflops", speed.flops_per_second * 1e-9},
               {"percent_of_peak", speed.percent_of_peak}};
  for (size_t l = 0; l < r.expert_load.size(); ++l) {
    m.scalars.emplace_back(fmt::format("load/layer_{}_max_over_mean", l), max_over_mean(r.expert_load[l]));
    m.scalars.emplace_back(fmt::format("load/layer_{}_dead_experts", l),
                           static_cast<double>(dead_experts(r.expert_load[l])));
    m.arrays.emplace_back(fmt::format("load/layer_{}", l), r.expert_load[l]);
  }
  return m;
}

void Pace::add(const StepResult& r) {
  constexpr double kLeastWeight = 0.05;
  const double weight = std::max(1.0 / static_cast<double>(++n_steps_), kLeastWeight);
  seconds_per_token_ += weight * (r.seconds / static_cast<double>(r.step_tokens) - seconds_per_token_);
}

std::string step_text(const StepResult& r, const StepSpeed& speed, double seconds_left) {
  Lines lines;
  lines.add(fmt::format("step {:>6}", r.step));
  lines.add(fmt::format("tokens {:>5}", short_count(r.tokens)));
  lines.add(fmt::format("loss {:.4f}", r.loss));
  lines.add(fmt::format("|g| {:.4g}", r.gradient_norm));
  lines.add(fmt::format("lr {:.3e}", r.learning_rate));
  lines.add(fmt::format("{} left", human_seconds(seconds_left)));
  if (r.skipped) lines.add("SKIPPED: not finite");
  lines.next();
  lines.add(fmt::format("{} tokens/s", short_count(speed.tokens_per_second)));
  if (std::isfinite(speed.percent_of_peak)) lines.add(fmt::format("{:.1f} % of peak", speed.percent_of_peak));
  if (!r.expert_load.empty()) lines.add(load_text(r));
  if (r.balance.total() > 0) lines.add(fmt::format("balance {:.4f}", r.balance.total()));
  return lines.take();
}

}  // namespace fathom
