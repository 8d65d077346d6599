// A source of drafts: proposes the next tokens of a sequence, for a step to verify (speculator.h).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace fathom {

struct GenerateRequest;

// One thread calls it, for one sequence at a time: begin, then kind and, where it said one, at most once propose for
// every step. A rejected draft costs time and nothing else.
class Proposer {
 public:
  virtual ~Proposer() = default;

  // Drafts of one kind are accepted about equally often.
  virtual int n_kinds() const noexcept = 0;
  // A draft costs next to nothing, so that it is made and watched where none is verified too.
  virtual bool is_free() const noexcept = 0;

  // A generation begins after history, which need not be what a generation before ended with.
  virtual void begin(std::span<const int32_t> history, const GenerateRequest& request) = 0;
  // The kind, below n_kinds(), of the draft there is after history: that of the call before with ids appended. nullopt:
  // there is none.
  virtual std::optional<int> kind(std::span<const int32_t> history) = 0;
  // Up to `most` (at least 1) ids that may follow history, the argument of kind.
  virtual std::vector<int32_t> propose(std::span<const int32_t> history, int64_t most) = 0;
};

}  // namespace fathom
