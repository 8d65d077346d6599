#include <algorithm>

#include "base/error.h"
#include "base/progress.h"
#include "claims/kv_claim.h"
#include "claims/paper.h"
#include "claims/scaled_shapes.h"
#include "claims/throughput_claim.h"
#include "measure/measure.h"

namespace fathom {
namespace {

std::string_view shape_name(ThroughputShape shape) {
  return shape == ThroughputShape::v2 ? "V2" : shape == ThroughputShape::dense ? "67B" : "67B with MLA";
}

double paper_dense_tokens() { return kPaperTokensPerSecond / kPaper.throughput_ratio; }

std::string variant_name(const ThroughputVariant& v) {
  return fmt::format("{}, {}, {}", shape_name(v.shape), name(v.weights), kCacheTypeNames[static_cast<size_t>(v.cache)]);
}

std::string node_row(const char* shape, const char* types, const Roofline& r, double paper) {
  return fmt::format(
      "  {:<4} {:<28}{:>6} sequences, {:>6.1f} ms a step ({}): {:>7.0f} tokens a second; the paper's {:.0f} "
      "are {:.0f} %\n",
      shape, types, r.sequences, 1e3 * r.seconds, r.by_memory ? "memory" : "operations", r.tokens_per_second(), paper,
      100 * paper / r.tokens_per_second());
}

// What part of this machine's roofline was reached.
double reached(const MeasuredVariant& v) { return v.median_tokens_per_second() / v.here.tokens_per_second(); }

double extrapolated(const ThroughputClaim& c) {
  return c.node[0].tokens_per_second() / c.node[1].tokens_per_second() * reached(c.variants[kDeployedV2]) /
         reached(c.variants[kDeployedDense]);
}

std::string throughput_row(const MeasuredVariant& v) {
  const auto [low, high] = std::minmax_element(v.seconds.begin(), v.seconds.end());
  const auto n = static_cast<double>(v.sequences);
  return fmt::format("{:<28}{:>10}{:>9.0f}{:>8}{:>10.0f}  {:<18}{:>10}{:>10.0f}{:>8.0f} %  {}\n", variant_name(v.what),
                     human_bytes(v.weight_bytes), v.cache_bytes_per_token, v.sequences, v.median_tokens_per_second(),
                     fmt::format("({:.0f} to {:.0f})", n / *high, n / *low),
                     v.attention_share > 0 ? fmt::format("{:.0f} %", 100 * v.attention_share) : "-",
                     v.here.tokens_per_second(), 100 * reached(v), v.here.by_memory ? "memory" : "operations");
}

struct Comparison {
  size_t a, b;
  const char* what;
};
constexpr std::array kComparisons = std::to_array<Comparison>({
    {kDeployedV2, kDeployedDense, "all, as deployed"},
    {kV2Bytes, kDeployedDense, "all but the bits of the cache"},
    {kV2Bf16, kDeployedDense, "MLA and sparsity, all in bf16"},
    {kDenseLatent, kDeployedDense, "MLA alone: 67B with V2's attention"},
    {kV2Bf16, kDenseLatent, "sparsity (and V2's depth and width), given MLA"},
    {kV2Bytes, kV2Bf16, "8 bits of weights"},
    {kDeployedV2, kV2Bytes, "6 bits of cache"},
    {kV2Bytes, kDenseBytes, "MLA and sparsity, 8 bits of weights each"},
});

std::string ratio_text(const std::vector<double>& ratios) {
  const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
  return fmt::format("{:.2f} (rounds: {:.2f} to {:.2f})", median(ratios), *low, *high);
}

std::string comparisons_text(const ThroughputClaim& c) {
  std::string out = "what gives what, times the tokens a second\n";
  for (const Comparison& s : kComparisons)
    if (std::max(s.a, s.b) < c.variants.size())
      out +=
          fmt::format("  {:<48}{:<30}{}\n", s.what, ratio_text(c.ratios(s.a, s.b)),
                      fmt::format("{} / {}", variant_name(c.variants[s.a].what), variant_name(c.variants[s.b].what)));
  return out;
}

std::string throughput_differences(const ThroughputClaim& c) {
  const NodeLimits& l = c.limits;
  const auto balance = [](const NodeLimits& n) { return n.bf16_ops / n.bytes_per_second; };
  return fmt::format(
      "where they differ\n"
      "  in the machine: this one does {:.1f} operations in bfloat16 ({:.1f} with bytes) while it reads a byte, an "
      "H800 {:.0f} "
      "({:.0f}).\n  There more sequences cost little until operations bound a step; here they bound it long before "
      "memory is "
      "full, so 67B loses\n  less by having room for few.\n"
      "  in lengths: the paper's are those of its service, unpublished; 67B reads {} tokens at most.\n"
      "  in the shapes: heads are {} wide here, which suits neither shape; fewer wide ones would make V2's attention "
      "{} times "
      "too cheap.\n"
      "  in bits: q8_0 (8.5 bits) stands for FP8. In time: prompts are not timed, the paper tells their speed apart.\n"
      "  carried over: where each reaches the part of its roofline that it reached here, 8 x H800 give {:.2f} times.\n",
      balance(l), l.byte_ops / l.bytes_per_second, balance(kEightH800),
      kEightH800.byte_ops / kEightH800.bytes_per_second, kPaperLength, 128 / c.scale, c.scale, extrapolated(c));
}

json::object roofline_json(const Roofline& r) {
  return {{"sequences", r.sequences},
          {"seconds", r.seconds},
          {"bound_by", r.by_memory ? "memory" : "operations"},
          {"tokens_per_second", r.tokens_per_second()}};
}

json::object limits_json(const NodeLimits& l) {
  return {{"memory_bytes", l.memory},
          {"read_bytes_per_second", l.bytes_per_second},
          {"byte_operations_per_second", l.byte_ops},
          {"bf16_operations_per_second", l.bf16_ops}};
}

json::object variant_json(const MeasuredVariant& v) {
  return {{"shape", shape_name(v.what.shape)},
          {"weights", name(v.what.weights)},
          {"cache", kCacheTypeNames[static_cast<size_t>(v.what.cache)]},
          {"weight_bytes", v.weight_bytes},
          {"cache_bytes_per_token", v.cache_bytes_per_token},
          {"sequences", v.sequences},
          {"seconds", json::array(v.seconds.begin(), v.seconds.end())},
          {"tokens_per_second", v.median_tokens_per_second()},
          {"attention_share", v.attention_share},
          {"roofline", roofline_json(v.here)}};
}

}  // namespace

std::string to_table(const ThroughputClaim& c) {
  std::string out = fmt::format(
      "the paper: {:.2f} times the largest generation throughput of DeepSeek 67B, on a node of 8 H800\n"
      "  more than {:.0f} tokens a second, so 67B {:.0f} (FP8 weights and 6 bits of cache; batches and lengths "
      "unpublished)\n"
      "roofline of 8 x H800 (640 GB, 8 x 3.35 TB/s, 8 x 989.5 TFLOP/s in bfloat16 and 1979 in FP8), prompts of {} and "
      "{} "
      "generated tokens,\n  memory full of weights and cache, nothing for communication, activations and waiting\n",
      kPaper.throughput_ratio, kPaperTokensPerSecond, paper_dense_tokens(), c.prompt, c.generated);
  out += node_row("V2", "FP8 weights, 6 bits of cache", c.node[0], kPaperTokensPerSecond) +
         node_row("67B", "bfloat16 weights and cache", c.node[1], paper_dense_tokens()) +
         fmt::format("  {:.2f} times\n", c.node[0].tokens_per_second() / c.node[1].tokens_per_second());
  out += fmt::format(
      "fathom, measured in {} round{} in turns on {} ({} threads), random weights\n"
      "  shapes with {}\n  {} of memory for weights and cache of each; sequences of up to {} tokens, {} of them "
      "stored\n"
      "  {} / {} = {:.2f} times (rounds: {:.2f} to {:.2f})\n\n",
      c.variants[0].seconds.size(), c.variants[0].seconds.size() == 1 ? "" : "s", c.cpu, c.threads,
      scaling_rule(c.scale, c.fewer_layers, ScaledHeads::narrower), human_bytes(c.memory), c.room, c.depth,
      variant_name(c.variants[kDeployedV2].what), variant_name(c.variants[kDeployedDense].what),
      median(c.ratios(kDeployedV2, kDeployedDense)), std::ranges::min(c.ratios(kDeployedV2, kDeployedDense)),
      std::ranges::max(c.ratios(kDeployedV2, kDeployedDense)));
  out += fmt::format("{:<28}{:>10}{:>9}{:>8}{:>10}  {:<18}{:>10}{:>10}{:>10}  {}\n", "shape, weights, cache", "weights",
                     "cache, B", "seqs", "tokens/s", "(rounds)", "attention", "roofline", "reached", "bound by");
  for (const MeasuredVariant& v : c.variants) out += throughput_row(v);
  return out + "\n" + comparisons_text(c) + "\n" + throughput_differences(c);
}

json::value to_json(const ThroughputClaim& c) {
  json::array variants, comparisons;
  for (const MeasuredVariant& v : c.variants) variants.push_back(variant_json(v));
  for (const Comparison& s : kComparisons) {
    if (std::max(s.a, s.b) >= c.variants.size()) continue;
    const std::vector<double> ratios = c.ratios(s.a, s.b);
    comparisons.push_back(json::object{{"what", s.what},
                                       {"of", variant_name(c.variants[s.a].what)},
                                       {"to", variant_name(c.variants[s.b].what)},
                                       {"ratio", median(ratios)},
                                       {"ratios", json::array(ratios.begin(), ratios.end())}});
  }
  return json::object{
      {"claim", "throughput"},
      {"paper", json::object{{"ratio", kPaper.throughput_ratio}, {"v2_tokens_per_second", kPaperTokensPerSecond}}},
      {"ratio", median(c.ratios(kDeployedV2, kDeployedDense))},
      {"scale", c.scale},
      {"fewer_layers", c.fewer_layers},
      {"prompt", c.prompt},
      {"generated", c.generated},
      {"depth", c.depth},
      {"room", c.room},
      {"cpu", c.cpu},
      {"threads", c.threads},
      {"limits", limits_json(c.limits)},
      {"variants", std::move(variants)},
      {"comparisons", std::move(comparisons)},
      {"eight_h800", json::object{{"limits", limits_json(kEightH800)},
                                  {"v2", roofline_json(c.node[0])},
                                  {"dense_67b", roofline_json(c.node[1])},
                                  {"ratio", c.node[0].tokens_per_second() / c.node[1].tokens_per_second()},
                                  {"extrapolated_ratio", extrapolated(c)}}}};
}

}  // namespace fathom
