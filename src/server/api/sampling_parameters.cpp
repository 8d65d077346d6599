#include "server/api/sampling_parameters.h"

#include <charconv>
#include <random>

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kParameters = {
    Parameter{"temperature", Type::number, 0, 2, "0 is greedy"},
    Parameter{"top_p", Type::number, 0, 1, "the fewest most likely tokens whose probabilities reach p"},
    Parameter{"top_k", Type::integer, -1, kNoLimit, "the k most likely; 0 or -1: all"},
    Parameter{"min_p", Type::number, 0, 1, "drops tokens below min_p times the largest probability"},
    Parameter{"seed", Type::integer, -kNoLimit, kNoLimit, "the same seed gives the same text"},
    Parameter{"repeat_penalty", Type::number, 0.01, 100, "of tokens among the last 64"},
    Parameter{"repetition_penalty", Type::number, 0.01, 100, "another name of repeat_penalty"},
};

uint64_t random_seed() {
  std::random_device device;
  return uint64_t{device()} << 21 ^ device();  // of 53 bits, so that every client can send it back
}

}  // namespace

std::span<const Parameter> sampling_parameters() { return kParameters; }

SamplingOptions sampling_of(const Parameters& p, const SamplingOptions& defaults, int64_t) {
  SamplingOptions o = defaults;
  if (const auto v = p.number("temperature")) o.temperature = *v;
  if (const auto v = p.number("top_p")) o.top_p = *v;
  if (const auto v = p.integer("top_k")) o.top_k = std::max<int64_t>(0, *v);
  if (const auto v = p.number("min_p")) o.min_p = *v;
  if (const auto v = p.number("repeat_penalty")) o.repeat_penalty = *v;
  if (const auto v = p.number("repetition_penalty")) o.repeat_penalty = *v;
  const auto seed = p.integer("seed");
  o.seed = seed ? static_cast<uint64_t>(*seed) : random_seed() & ((uint64_t{1} << 53) - 1);
  return o;
}

}  // namespace fathom::server
