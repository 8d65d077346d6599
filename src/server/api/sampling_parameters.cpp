#include "server/api/sampling_parameters.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <random>

#include "base/error.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kSampling = {
    Parameter{"temperature", Type::number, 0, 2, "0 is greedy"},
    Parameter{"top_p", Type::number, 0, 1, "the fewest most likely tokens whose probabilities reach p"},
    Parameter{"top_k", Type::integer, -1, kNoLimit, "the k most likely; 0 or -1: all"},
    Parameter{"min_p", Type::number, 0, 1, "drops tokens below min_p times the largest probability"},
    Parameter{"seed", Type::integer, -kNoLimit, kNoLimit, "the same seed gives the same text"},
    Parameter{"typical_p", Type::number, 0, 1, "the most typical tokens whose probabilities reach p; 1: all"},
    Parameter{"presence_penalty", Type::number, -2, 2, "of tokens that were generated already"},
    Parameter{"frequency_penalty", Type::number, -2, 2, "as often as they were"},
    Parameter{"repeat_penalty", Type::number, 0.01, 100, "of tokens among the last repeat_last_n"},
    Parameter{"repetition_penalty", Type::number, 0.01, 100, "another name of repeat_penalty"},
    Parameter{"repeat_last_n", Type::integer, 0, kNoLimit},
    Parameter{"logit_bias", Type::object, 0, 0, "token ids with what is added to their logits, -100 to 100"},
    Parameter{"dry_multiplier", Type::number, 0, 100, "0: no DRY"},
    Parameter{"dry_base", Type::number, 1, 100},
    Parameter{"dry_allowed_length", Type::integer, 1, 1 << 20},
    Parameter{"dry_penalty_last_n", Type::integer, -1, kNoLimit},
    Parameter{"xtc_probability", Type::number, 0, 1, "0: no XTC"},
    Parameter{"xtc_threshold", Type::number, 0, 1},
};

// {"1234": -100}: keys are ids, as OpenAI has them.
std::vector<std::pair<int32_t, double>> biases_of(const json::object& object, int64_t usable_ids) {
  if (object.size() > 1024) refuse("logit_bias", "logit_bias has {} entries; at most 1024 are taken", object.size());
  std::vector<std::pair<int32_t, double>> biases;
  for (const auto& [key, value] : object) {
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id >= usable_ids)
      refuse("logit_bias", "logit_bias has the key {}; keys are token ids from 0 to {}", quoted_for_message(key, 40),
             usable_ids - 1);
    const double bias = value.is_number() ? value.to_number<double>() : NAN;
    if (!(bias >= -100 && bias <= 100))
      refuse("logit_bias", "logit_bias of {} is {}; needed is a number from -100 to 100", id,
             quoted_for_message(json::serialize(value), 40));
    biases.emplace_back(static_cast<int32_t>(id), bias);
  }
  return biases;
}

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 21 ^ device();  // of 53 bits, so that every client can send it back
}

}  // namespace

std::span<const Parameter> sampling_parameters() { return kSampling; }

SamplingOptions sampling_of(const Parameters& p, const SamplingOptions& defaults, int64_t usable_ids) {
  SamplingOptions o = defaults;
  const auto number = [&](const char* name, double& value) { value = p.number(name).value_or(value); };
  const auto integer = [&](const char* name, int64_t& value) { value = p.integer(name).value_or(value); };
  number("temperature", o.temperature);
  number("top_p", o.top_p);
  integer("top_k", o.top_k);
  o.top_k = std::max<int64_t>(0, o.top_k);
  number("min_p", o.min_p);
  number("typical_p", o.typical_p);
  number("presence_penalty", o.presence_penalty);
  number("frequency_penalty", o.frequency_penalty);
  number("repeat_penalty", o.repeat_penalty);
  number("repetition_penalty", o.repeat_penalty);
  integer("repeat_last_n", o.repeat_window);
  number("dry_multiplier", o.dry_multiplier);
  number("dry_base", o.dry_base);
  integer("dry_allowed_length", o.dry_allowed_length);
  integer("dry_penalty_last_n", o.dry_penalty_last_n);
  number("xtc_probability", o.xtc_probability);
  number("xtc_threshold", o.xtc_threshold);
  if (const json::object* biases = p.object("logit_bias")) o.logit_bias = biases_of(*biases, usable_ids);
  const auto seed = p.integer("seed");
  o.seed = seed ? static_cast<uint64_t>(*seed) : random_seed();
  return o;
}

}  // namespace fathom::server
