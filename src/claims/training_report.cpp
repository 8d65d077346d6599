#include <algorithm>

#include "base/error.h"
#include "claims/paper.h"
#include "claims/scaled_shapes.h"
#include "claims/training_claim.h"
#include "measure/measure.h"

namespace fathom {
namespace {

double paper_tokens_per_second(double gpu_hours) { return 1e12 / (gpu_hours * 3600); }

constexpr double kH800Bf16 = 989.5e12;  // dense products of bfloat16 a second

double paper_share(const TrainedShape& s, double gpu_hours) {
  return s.paper_flops.total() * paper_tokens_per_second(gpu_hours) / kH800Bf16;
}

std::string paper_row(const TrainedShape& s, double gpu_hours) {
  return fmt::format("  {:<13}{:>7.1f}K H800 hours for 10^12 tokens = {:.0f} tokens a second and GPU\n", s.name,
                     gpu_hours / 1e3, paper_tokens_per_second(gpu_hours));
}

std::string flops_row(const TrainedShape& s) {
  return fmt::format("  {:<13}{:>7.1f} GFLOP = 3 x ({:.2f} of weights + {:.2f} of attention)\n", s.name,
                     s.paper_flops.total() / 1e9, s.parameter_flops / 1e9,
                     (s.paper_flops.forward - s.parameter_flops) / 1e9);
}

double per_million(const TrainingClaim& c, double seconds) { return 1e6 * seconds / static_cast<double>(c.tokens()); }

double rate(const TrainingClaim& c, const TrainedShape& s) {
  return s.flops.total() * static_cast<double>(c.tokens()) / s.median_seconds();
}

double scaled_flops_reduction(const TrainingClaim& c) {
  return 1 - c.shapes[kTrainedV2].flops.total() / c.shapes[kTrainedDense].flops.total();
}

std::string measured_row(const TrainingClaim& c, const TrainedShape& s) {
  const auto [low, high] = std::minmax_element(s.seconds.begin(), s.seconds.end());
  return fmt::format("{:<14}{:>9.1f} M{:>10.2f} M{:>10.1f} M{:>12.1f}  {:<20}{:>8.0f}{:>9}{:>11.3f}\n", s.name,
                     static_cast<double>(s.parameters) / 1e6, static_cast<double>(s.activated) / 1e6,
                     s.flops.total() / 1e6, per_million(c, s.median_seconds()),
                     fmt::format("({:.1f} to {:.1f})", per_million(c, *low), per_million(c, *high)), rate(c, s) / 1e9,
                     c.peak_flops > 0 ? fmt::format("{:.0f} %", 100 * rate(c, s) / c.peak_flops) : "",
                     median(s.update_seconds));
}

std::string training_differences(const TrainingClaim& c) {
  const TrainedShape &v2 = c.shapes[kTrainedV2], &dense = c.shapes[kTrainedDense];
  return fmt::format(
      "where they differ\n"
      "  in operations: they alone would save {:.1f} %. The paper's hours are {:.0f} % of an H800's {:.1f} TFLOP/s for "
      "V2 "
      "and {:.0f} % for 67B,\n  {:.2f} times 67B's rate; why, it does not say. Here V2 has {:.2f} times 67B's rate: "
      "its "
      "products are smaller, an expert's rows fewer.\n"
      "  in the machine: one, without communication, pipelines, token dropping and recomputing, which the paper's "
      "hours "
      "have.\n"
      "  in the shapes: router, rotary key and key/value heads cannot shrink with the rest; operations here differ by "
      "{:.1f} %. Larger shapes\n  (a smaller --scale) and longer micro-batches (--sequences) come nearer to that.\n",
      100 * c.flops_reduction(), 100 * paper_share(v2, kPaperGpuHours), kH800Bf16 / 1e12,
      100 * paper_share(dense, kPaperDenseGpuHours),
      paper_share(v2, kPaperGpuHours) / paper_share(dense, kPaperDenseGpuHours), rate(c, v2) / rate(c, dense),
      100 * scaled_flops_reduction(c));
}

json::object shape_json(const TrainingClaim& c, const TrainedShape& s) {
  return {{"name", s.name},
          {"flops_per_token", json::object{{"weights", s.parameter_flops},
                                           {"attention", s.paper_flops.forward - s.parameter_flops},
                                           {"total", s.paper_flops.total()}}},
          {"scaled", json::object{{"parameters", s.parameters},
                                  {"activated_parameters", s.activated},
                                  {"flops_per_token", s.flops.total()},
                                  {"seconds", json::array(s.seconds.begin(), s.seconds.end())},
                                  {"update_seconds", json::array(s.update_seconds.begin(), s.update_seconds.end())},
                                  {"seconds_per_million_tokens", per_million(c, s.median_seconds())},
                                  {"flops_per_second", rate(c, s)}}}};
}

}  // namespace

std::string to_table(const TrainingClaim& c) {
  const std::vector<double> reductions = c.reductions();
  const auto [low, high] = std::minmax_element(reductions.begin(), reductions.end());
  std::string out =
      fmt::format("the paper: {:.1f} % cheaper training than DeepSeek 67B\n", 100 * kPaper.training_reduction) +
      paper_row(c.shapes[kTrainedV2], kPaperGpuHours) + paper_row(c.shapes[kTrainedDense], kPaperDenseGpuHours) +
      fmt::format("  1 - {:.1f} / {:.1f} = {:.1f} %\n", kPaperGpuHours / 1e3, kPaperDenseGpuHours / 1e3,
                  100 * (1 - kPaperGpuHours / kPaperDenseGpuHours));
  out += fmt::format("operations a token of {}, forward and backward\n", kPaperLength) +
         flops_row(c.shapes[kTrainedV2]) + flops_row(c.shapes[kTrainedDense]) +
         fmt::format("  1 - {:.1f} / {:.1f} = {:.1f} %\n", c.shapes[kTrainedV2].paper_flops.total() / 1e9,
                     c.shapes[kTrainedDense].paper_flops.total() / 1e9, 100 * c.flops_reduction());
  out += fmt::format(
      "fathom, measured in {} rounds in turns on {} ({} threads)\n  both shapes with {}\n"
      "  micro-batches of {} sequences of {} tokens, products of bfloat16\n"
      "  1 - {:.1f} / {:.1f} seconds for 10^6 tokens = {:.1f} % (rounds: {:.1f} to {:.1f})\n\n",
      c.shapes[0].seconds.size(), c.cpu, c.threads, scaling_rule(c.scale), c.sequences, c.length,
      per_million(c, c.shapes[kTrainedV2].median_seconds()), per_million(c, c.shapes[kTrainedDense].median_seconds()),
      100 * median(reductions), 100 * *low, 100 * *high);
  out += fmt::format("{:<14}{:>11}{:>12}{:>12}{:>12}  {:<20}{:>8}{:>9}{:>11}\n", "", "parameters", "of a token",
                     "FLOP of one", "s for 10^6", "(rounds)", "GFLOP/s", "of peak", "s, update");
  for (const TrainedShape& s : c.shapes) out += measured_row(c, s);
  return out + "\n" + training_differences(c);
}

json::value to_json(const TrainingClaim& c) {
  const std::vector<double> reductions = c.reductions();
  return json::object{{"claim", "training"},
                      {"paper", json::object{{"reduction", kPaper.training_reduction},
                                             {"v2_gpu_hours", kPaperGpuHours},
                                             {"dense_67b_gpu_hours", kPaperDenseGpuHours}}},
                      {"flops_reduction", c.flops_reduction()},
                      {"scaled_flops_reduction", scaled_flops_reduction(c)},
                      {"reduction", median(reductions)},
                      {"reductions", json::array(reductions.begin(), reductions.end())},
                      {"scale", c.scale},
                      {"sequence_length", c.length},
                      {"sequences", c.sequences},
                      {"cpu", c.cpu},
                      {"threads", c.threads},
                      {"peak_flops_per_second", c.peak_flops},
                      {"v2", shape_json(c, c.shapes[kTrainedV2])},
                      {"dense_67b", shape_json(c, c.shapes[kTrainedDense])}};
}

}  // namespace fathom
