// The parameters of a request that say how tokens are chosen, the same for every API that generates.
#pragma once
#include <array>

#include "engine/sampler.h"
#include "server/api/parameters.h"

namespace fathom::server {

inline constexpr size_t kMostStops = 16;
inline constexpr int64_t kMostChoices = 128;

// OpenAI's names and ranges, and the names that llama.cpp, vLLM and transformers have for the rest.
std::span<const Parameter> sampling_parameters();

// The request's own values over `defaults`. Without a seed it is a random one. ApiError for logit_bias of another form.
SamplingOptions sampling_of(const Parameters& parameters, const SamplingOptions& defaults, int64_t usable_ids);

}  // namespace fathom::server
