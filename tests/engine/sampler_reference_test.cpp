// sample() against its definition (tests/support/sample_reference.h), id for id.
#include "support/sample_reference.h"

#include <gtest/gtest.h>

#include "engine/sampling/top_scores.h"

namespace fathom {
namespace {

// Numbers of one stream, in order.
class Dice {
 public:
  explicit Dice(uint64_t seed) : seed_(seed) {}
  double uniform() { return uniform01(seed_, 77, next_++); }
  double normal() { return standard_normal(seed_, 78, next_++); }
  int64_t below(int64_t n) { return std::min(n - 1, static_cast<int64_t>(uniform() * static_cast<double>(n))); }
  bool coin() { return below(2) == 1; }
  template <class T>
  T one_of(std::initializer_list<T> values) {
    return values.begin()[below(static_cast<int64_t>(values.size()))];
  }

 private:
  uint64_t seed_, next_ = 0;
};

// Peaked, flat, with ties, with -infinity, with huge numbers.
std::vector<float> random_logits(Dice& dice, size_t n) {
  const int64_t shape = dice.below(7);
  const double deviation = dice.one_of({0.01, 1.0, 3.0, 10.0});
  std::vector<float> logits(n);
  for (float& l : logits) {
    const double z = dice.normal() * deviation;
    switch (shape) {
      case 0:
        l = 0.5f;
        break;  // all equal
      case 1:
        l = static_cast<float>(std::round(z));
        break;  // many ties
      case 2:
        l = dice.below(3) == 0 ? -INFINITY : static_cast<float>(z);
        break;
      case 3:
        l = static_cast<float>(z * 5e36);
        break;
      case 4:
        l = dice.coin() ? 0.0f : -0.0f;
        break;
      default:
        l = static_cast<float>(z);
        break;
    }
  }
  if (shape == 5) logits[static_cast<size_t>(dice.below(static_cast<int64_t>(n)))] += 20;
  if (shape == 6) std::sort(logits.begin(), logits.end());
  logits[static_cast<size_t>(dice.below(static_cast<int64_t>(n)))] = 1;  // one is always finite
  return logits;
}

SamplingOptions random_options(Dice& dice, int64_t n) {
  SamplingOptions o;
  o.seed = static_cast<uint64_t>(dice.below(1000));
  o.temperature = dice.one_of({0.0, 1e-300, 0.05, 0.3, 1.0, 1.0, 2.0, 100.0});
  o.top_k = dice.one_of<int64_t>({0, 0, 1, 2, 40, n - 1, n, n + 1});
  o.top_p = dice.one_of({0.0, 0.1, 0.5, 0.95, 1.0, 1.0, 1.0});
  o.typical_p = dice.one_of({0.0, 0.2, 0.9, 1.0, 1.0, 1.0});
  o.min_p = dice.one_of({0.0, 0.0, 1e-12, 0.05, 0.5, 1.0});
  o.xtc_probability = dice.one_of({0.0, 0.0, 0.5, 1.0});
  o.xtc_threshold = dice.one_of({0.0, 0.001, 0.1, 0.4, 0.6, 1.0});
  o.repeat_penalty = dice.one_of({1.0, 1.0, 1.3, 0.5, 100.0, 0.01});
  o.repeat_window = dice.one_of<int64_t>({0, 3, 64, 1'000'000});
  o.presence_penalty = dice.one_of({0.0, 0.0, 1.5, -2.0});
  o.frequency_penalty = dice.one_of({0.0, 0.0, 0.3, -0.7});
  o.dry_multiplier = dice.one_of({0.0, 0.8, 100.0});
  o.dry_base = dice.one_of({1.0, 1.75, 100.0});
  o.dry_allowed_length = dice.one_of<int64_t>({1, 2, 5});
  o.dry_penalty_last_n = dice.one_of<int64_t>({-1, 0, 1, 10, 1000});
  if (dice.coin()) o.dry_breakers = {0, 2, 7};
  for (int64_t i = dice.below(4); i > 0; --i)
    o.logit_bias.emplace_back(static_cast<int32_t>(dice.below(n + 2)), dice.one_of({-100.0, -1.0, 2.5, 100.0}));
  validate(o);
  return o;
}

// Few different tokens, so that they repeat; some that are no usable ids.
std::vector<int32_t> random_history(Dice& dice, int64_t n) {
  const int64_t kinds = dice.one_of<int64_t>({1, 2, 4, n + 5});
  std::vector<int32_t> history(static_cast<size_t>(dice.below(60)));
  for (int32_t& id : history) id = static_cast<int32_t>(dice.below(kinds));
  return history;
}

std::vector<uint64_t> random_mask(Dice& dice, const std::vector<float>& logits, int64_t n) {
  if (dice.coin()) return {};
  std::vector<uint64_t> mask(static_cast<size_t>((n + 63) / 64));
  const double share = dice.one_of({0.0, 0.02, 0.5, 1.0});
  for (int64_t i = 0; i < n; ++i)
    if (dice.uniform() < share) mask[static_cast<size_t>(i / 64)] |= uint64_t{1} << i % 64;
  for (int64_t i = 0; i < n; ++i)  // one that can be chosen
    if (logits[static_cast<size_t>(i)] > -INFINITY) {
      mask[static_cast<size_t>(i / 64)] |= uint64_t{1} << i % 64;
      mask.resize(static_cast<size_t>(i / 64 + 1 + dice.below(std::ssize(mask) - i / 64)));
      break;
    }
  return mask;
}

void hold_against_reference(uint64_t seed, size_t n) {
  Dice dice(seed);
  const std::vector<float> logits = random_logits(dice, n);
  int64_t n_usable = static_cast<int64_t>(n) - dice.below(std::min<int64_t>(static_cast<int64_t>(n), 3));
  while (std::all_of(logits.begin(), logits.begin() + n_usable, [](float l) { return l == -INFINITY; })) ++n_usable;
  const SamplingOptions o = random_options(dice, n_usable);
  const std::vector<int32_t> history = random_history(dice, n_usable);
  const std::vector<uint64_t> allowed = random_mask(dice, logits, n_usable);
  const int64_t n_prompt = dice.below(std::ssize(history) + 1);
  for (int64_t position = 0; position < 3; ++position)
    ASSERT_EQ(sample(logits, n_usable, history, position, o, allowed, n_prompt),
              test::sample_reference(logits, n_usable, history, position, o, allowed, n_prompt))
        << "case " << seed << ", n " << n << ", T " << o.temperature << ", top-k " << o.top_k << ", top-p " << o.top_p
        << ", typical " << o.typical_p << ", min-p " << o.min_p << ", XTC " << o.xtc_probability << " "
        << o.xtc_threshold;
}

TEST(SamplerReference, EqualIdForIdOverRandomRowsAndOptions) {
  constexpr size_t kSizes[] = {1, 2, 5, 31, 32, 33, 64, 65, 200, 1000};
  for (uint64_t seed = 0; seed < 20000; ++seed) {
    hold_against_reference(seed, kSizes[seed % std::size(kSizes)]);
    if (HasFatalFailure()) return;
  }
}

TEST(SamplerReference, EqualIdForIdAtTheSizeOfARealVocabulary) {
  for (uint64_t seed = 0; seed < 25; ++seed) {
    hold_against_reference(1'000'000 + seed, 102400);
    if (HasFatalFailure()) return;
  }
}

TEST(SamplerReference, WeightsAreTheExponentialRounded) {
  EXPECT_EQ(weight_at(0), kLargestWeight);
  EXPECT_EQ(weight_at(-0.0f), kLargestWeight);
  EXPECT_EQ(weight_at(INFINITY), 0u);
  EXPECT_EQ(weight_at(std::nextafter(kFarthest, 100.0f)), 0u);
  EXPECT_EQ(weight_at(kFarthest), 1u);
  EXPECT_EQ(exp_minus(std::numeric_limits<float>::max()), 0.0f);
  for (int i = 0; i <= 2'000'000; ++i) {
    const float d = kFarthest * static_cast<float>(i) / 2e6f;
    const double want = std::exp(-static_cast<double>(d));
    ASSERT_NEAR(exp_minus(d), want, want * 0x1p-21) << d;
    ASSERT_NEAR(static_cast<double>(weight_at(d)) * 0x1p-42, want, want * 0x1p-21 + 0x1p-43) << d;
  }
}

TEST(SamplerReference, TopKeysAreTheFrontOfASort) {
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Dice dice(seed);
    const std::vector<float> logits = random_logits(dice, static_cast<size_t>(1 + dice.below(3000)));
    const int64_t n = std::ssize(logits), k = dice.one_of<int64_t>({0, 1, 2, 20, 500, n - 1, n, n + 7});
    std::vector<int32_t> order(logits.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int32_t>(i);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    order.resize(static_cast<size_t>(std::min(k, n)));
    std::vector<uint64_t> keys = top_keys(logits, k);
    std::sort(keys.begin(), keys.end());
    std::vector<int32_t> ids;
    for (const uint64_t key : keys) ids.push_back(id_of_key(key));
    ASSERT_EQ(ids, order) << seed;
  }
}

}  // namespace
}  // namespace fathom
