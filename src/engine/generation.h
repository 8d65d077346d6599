// One sequence, token by token: choose, append, stop.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"

namespace fathom {

enum class FinishReason : uint8_t { length, stop_token, stopped_by_caller };

// Chooses tokens one by one after `history` (all ids of the sequence so far, whose last logits are `logits`), and
// appends each to the sequence. on_token returns false to end there. Chosen ids are appended to history; the stop id is
// not. The last token chosen is not run, so the sequence may be one token behind history:
// append(history.subspan(sequence.length())) catches up. With request.speculator, on_token calls neither this engine
// nor that of a draft model, and what the sequence holds of drafts meanwhile is its own affair.
FinishReason generate(Engine& engine, SequenceCache& sequence, std::vector<int32_t>& history,
                      std::span<const float> logits, const GenerateRequest& request,
                      const std::function<bool(int32_t)>& on_token);

}  // namespace fathom
