#include "engine/generation.h"

#include <algorithm>
#include <optional>

#include "base/trace.h"
#include "engine/speculation/speculator.h"
#include "kernels/peak.h"

namespace fathom {
namespace {

// Steps of one sequence that verify drafts. The sequence always holds what plain decoding would have appended, and
// behind it drafts that are not decided yet; the destructor removes these.
class DraftedSteps {
 public:
  DraftedSteps(Engine& engine, SequenceCache& sequence, std::span<const int32_t> history,
               const GenerateRequest& request)
      : engine_(engine),
        sequence_(sequence),
        speculation_(*request.speculator, history, request, engine.config().vocab_size) {}
  ~DraftedSteps() { remove_undecided(); }
  DraftedSteps(const DraftedSteps&) = delete;
  DraftedSteps& operator=(const DraftedSteps&) = delete;

  // Logits after the last id of history, which is the history of the call before with one id appended. n_wanted: tokens
  // that are still to be chosen, at least 1: the rows of a step beyond them would not be read.
  std::span<const float> logits_after(std::span<const int32_t> history, int64_t n_wanted) {
    if (const auto known = speculation_.logits_of_draft(history)) return *known;
    remove_undecided();
    const std::span<const int32_t> ids =
        speculation_.ids_to_verify(history, std::min({n_wanted, engine_.room(sequence_), engine_.chunk_tokens()}));
    const double start = clock_seconds();
    const MatView<const float> logits = engine_.verify(sequence_, ids);
    speculation_.verified(logits, clock_seconds() - start);
    return {logits.data, static_cast<size_t>(logits.cols)};
  }

 private:
  void remove_undecided() { engine_.cache().truncate(sequence_, sequence_.length() - speculation_.n_undecided()); }

  Engine& engine_;
  SequenceCache& sequence_;
  Speculation speculation_;
};

}  // namespace

FinishReason generate(Engine& engine, SequenceCache& sequence, std::vector<int32_t>& history,
                      std::span<const float> logits, const GenerateRequest& request,
                      const std::function<bool(int32_t)>& on_token) {
  const auto is_stop = [&](int32_t id) {
    return std::find(request.stop_ids.begin(), request.stop_ids.end(), id) != request.stop_ids.end();
  };
  std::optional<DraftedSteps> drafted;
  const int64_t n_prompt = std::ssize(history);
  if (request.speculator != nullptr) drafted.emplace(engine, sequence, history, request);
  for (int64_t i = 0; i < request.max_tokens; ++i) {
    if (i > 0)
      logits = drafted ? drafted->logits_after(history, request.max_tokens - i)
                       : engine.append(sequence, std::span(history).last(1));
    std::optional<Zone> zone(std::in_place, "sample");
    const int32_t id =
        sample(logits, request.n_usable_ids, history, std::ssize(history), request.sampling, {}, n_prompt);
    zone.reset();
    if (is_stop(id)) return FinishReason::stop_token;
    history.push_back(id);
    if (!on_token(id)) return FinishReason::stopped_by_caller;
  }
  return FinishReason::length;
}

}  // namespace fathom
