#include "engine/generation.h"

#include <algorithm>
#include <optional>

#include "engine/speculation/speculator.h"

namespace fathom {

FinishReason generate(Engine& engine, SequenceCache& sequence, std::vector<int32_t>& history,
                      std::span<const float> logits, const GenerateRequest& request,
                      const std::function<bool(int32_t)>& on_token) {
  const auto is_stop = [&](int32_t id) {
    return std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end();
  };
  std::optional<Speculation> ahead;
  if (request.speculator != nullptr) ahead.emplace(engine, *request.speculator, sequence, history, request);
  for (int64_t i = 0; i < request.max_tokens; ++i) {
    if (i > 0)
      logits = ahead ? ahead->logits_after(history, request.max_tokens - i)
                     : engine.append(sequence, std::span(history).last(1));
    const int32_t id = sample(logits, request.n_usable_ids, history, std::ssize(history), request.sampling);
    if (is_stop(id)) return FinishReason::stop_token;
    history.push_back(id);
    if (!on_token(id)) return FinishReason::stopped_by_caller;
  }
  return FinishReason::length;
}

}  // namespace fathom
