// What a caller asks of one generation.
#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/sampler.h"

namespace fathom {

class Speculator;

struct GenerateRequest {
  int64_t max_tokens = 0;
  SamplingOptions sampling = {};
  std::vector<int32_t> stop_ids = {};  // generation ends before any of these
  int64_t n_usable_ids = 0;  // ids from here on are never chosen (the tokenizer's size; rows beyond are padding)
  // Drafts tokens, to take fewer steps; the result is the same. It serves one request at a time.
  std::shared_ptr<Speculator> speculator = {};
};

}  // namespace fathom
