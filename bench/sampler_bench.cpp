// Choosing one token from a row of 102400 logits (DeepSeek-V2's vocabulary), a thread.
//
//     build/release/sampler_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only=true
//
// `spoken` rows look as a language model's do: most ids far below a few likely ones. `flat` rows are the hardest that a
// model makes: standard normal, so that thousands of ids share the probability. Rows are used in turn, together larger
// than the second cache.
#include <benchmark/benchmark.h>

#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "engine/sampler.h"

namespace fathom::bench {
namespace {

constexpr size_t kVocabulary = 102400, kRows = 32;

std::vector<float> row(uint64_t seed, bool is_flat) {
  std::vector<float> logits(kVocabulary);
  for (size_t i = 0; i < kVocabulary; ++i)
    logits[i] = static_cast<float>((is_flat ? 1 : 2.5) * standard_normal(seed, 0, i));
  for (uint64_t i = 0; !is_flat && i < 30; ++i)
    logits[philox(seed, 1, i)[0] % kVocabulary] = static_cast<float>(18 - 0.5 * static_cast<double>(i));
  return logits;
}

const std::vector<std::vector<float>>& rows(bool is_flat) {
  static const auto make = [](bool flat) {
    std::vector<std::vector<float>> all;
    for (uint64_t seed = 0; seed < kRows; ++seed) all.push_back(row(seed, flat));
    return all;
  };
  static const std::vector<std::vector<float>> spoken = make(false), flat = make(true);
  return is_flat ? flat : spoken;
}

SamplingOptions options(double temperature, double top_p, int64_t top_k = 0) {
  SamplingOptions o;
  o.temperature = temperature;
  o.top_p = top_p;
  o.top_k = top_k;
  return o;
}

SamplingOptions everything() {
  SamplingOptions o = options(1, 0.95, 1000);
  o.min_p = 0.001;
  o.typical_p = 0.98;
  o.repeat_penalty = 1.1;
  o.presence_penalty = o.frequency_penalty = 0.2;
  o.dry_multiplier = 0.8;
  o.xtc_probability = 1;
  for (int32_t id = 0; id < 100; ++id) o.logit_bias.emplace_back(id * 1000, -1.0);
  return o;
}

// 4096 tokens of a text, of which few are different.
const std::vector<int32_t>& history() {
  static const std::vector<int32_t> ids = [] {
    std::vector<int32_t> made(4096);
    for (size_t i = 0; i < made.size(); ++i) made[i] = static_cast<int32_t>(philox(9, 9, i)[0] % 700 * 100);
    return made;
  }();
  return ids;
}

using Call = std::function<void(std::span<const float> logits, int64_t position)>;

void measure(benchmark::State& state, const Call& call, bool is_flat) {
  const auto& all = rows(is_flat);
  int64_t position = 0;
  for (auto _ : state) {
    call(all[static_cast<size_t>(position) % kRows], position);
    ++position;
  }
}

Call sampled(const SamplingOptions& o, std::vector<uint64_t> allowed = {}) {
  return [o, allowed = std::move(allowed)](std::span<const float> logits, int64_t position) {
    benchmark::DoNotOptimize(sample(logits, std::ssize(logits), history(), position, o, allowed, 1024));
  };
}

std::vector<std::pair<std::string, Call>> calls() {
  return {
      {"greedy", sampled(options(0, 1))},
      {"T:0.3/top_p:0.95", sampled(options(0.3, 0.95))},
      {"T:1/top_p:0.95", sampled(options(1, 0.95))},
      {"T:1", sampled(options(1, 1))},
      {"T:1/top_k:40", sampled(options(1, 1, 40))},
      {"T:0.3/top_p:0.95/half_allowed",
       sampled(options(0.3, 0.95), std::vector<uint64_t>(kVocabulary / 64, 0x5555'5555'5555'5555))},
      {"everything", sampled(everything())},
      {"log_sum_exp", [](std::span<const float> logits, int64_t) { benchmark::DoNotOptimize(log_sum_exp(logits)); }},
      {"token_logprobs/k:20", [](std::span<const float> logits, int64_t) {
         benchmark::DoNotOptimize(token_logprobs(logits, std::ssize(logits), 7, 20));
       }}};
}

}  // namespace
}  // namespace fathom::bench

int main(int argc, char** argv) {
  using namespace fathom;
  for (const bool is_flat : {false, true})
    for (const auto& [name, call] : bench::calls())
      benchmark::RegisterBenchmark(((is_flat ? "flat/" : "spoken/") + name).c_str(), bench::measure, call, is_flat)
          ->Unit(benchmark::kMillisecond);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
