// What a caller asks of the scheduler, and what it is told: token ids alone, no text.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/error.h"
#include "config/config.h"
#include "engine/request.h"
#include "grammar/matcher.h"
#include "tensor/view.h"

namespace fathom {

using RequestId = uint64_t;

// ln(probability) of a token among all usable ids, by the model alone: temperature 1, no penalty, no constraint.
struct TokenScore {
  int32_t id = 0;
  double logprob = 0;
  std::vector<std::pair<int32_t, double>> top = {};  // the most likely ids, as many as were asked for
};

// What a request ends with when memory runs out. Needs none itself.
const Error& no_memory() noexcept;

enum class EndReason : uint8_t { length, stop_token, stopped_by_caller, cancelled, deadline, error };

struct RequestTimes {  // of clock_seconds(); 0: it never came to that
  double submitted = 0, admitted = 0, first_token = 0, ended = 0;
};

struct Ended {
  EndReason reason = EndReason::length;
  std::optional<Error> error = {};
  int64_t n_prompt = 0, n_cached = 0;  // tokens of the prompt; of these found in the cache
  int64_t n_generated = 0, n_preempted = 0;
  RequestTimes times = {};
};

// Called on the thread of Scheduler::step(), which they may call cancel() of, and nothing else. What one throws (memory
// that runs out) ends its request with an error, and no other.
struct RequestEvents {
  std::function<void(int64_t n_done, int64_t n_prompt)> on_prompt = {};        // as the prompt is read
  std::function<void(int64_t index, const TokenScore&)> on_prompt_token = {};  // index 1 .. n_prompt - 1, in order
  // The logits after ids logits_from .. n_prompt - 1 of the prompt, in order; they are valid during the call.
  std::function<void(int64_t index, VecView<const float> logits)> on_prompt_logits = {};
  // The mean of the prompt's hidden states after the last norm (hidden_size numbers), before on_end.
  std::function<void(std::span<const double> state)> on_mean_state = {};
  std::function<bool(const TokenScore&)> on_token = {};  // false: it ends after this one
  std::function<void(const Ended&)> on_end = {};         // once, the last call
};

struct ScheduledRequest {
  std::vector<int32_t> prompt = {};  // at least one id, each below vocab_size
  GenerateRequest generate = {};     // max_tokens 0: the prompt is read (and scored), nothing is generated
  int64_t logprobs = -1;             // the chosen tokens' scores with so many of the most likely ids; -1: no scores
  int64_t prompt_logprobs = -1;      // the same of the prompt, which is then read in full
  int64_t logits_from = 0;           // for on_prompt_logits
  std::shared_ptr<Matcher> constraint = {};  // what may be generated; nullptr: anything
  uint64_t salt = 0;                         // requests share prefixes with those of equal salt alone
  uint64_t owner = 0;                        // who gets a share of the machine
  int32_t priority = 0;                      // higher ones are admitted first
  double deadline = 0;                       // in clock_seconds(); 0: none
  RequestEvents events = {};
};

// bad_input Error for a prompt that can never run: empty, ids that are none, longer than the context or the cache.
void check_prompt(std::span<const int32_t> prompt, const ModelConfig& config, int64_t context_tokens,
                  int64_t cache_tokens);

}  // namespace fathom
