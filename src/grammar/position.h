// Where a text stands in a grammar: the set of all ways in which the network can have read it.
//
// A way is a thread: a state, and the frame of the call that the state belongs to. A frame says where its rule returns
// to when it ends; calls of one rule at one place of the text share a frame with several returns (a graph-structured
// stack), so that ambiguity costs sums, not products. A call that is the last thing of its rule takes over the returns
// of its caller: lists written by recursion do not grow the stack. Frames and positions are immutable, and known by
// digests of what they hold, so that equal stacks are equal however they came about.
//
// Method: Scott and Johnstone, "GLL parsing" (2010), without its sets of pops: no rule calls itself before it has read
// a byte (network.h), so rules called at one place can be taken in the order of their ranks, each when all its callers
// are known; a rule that matches the empty text is stepped over where it is called.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "grammar/digest.h"
#include "grammar/network.h"

namespace fathom::grammar {

struct Frame;
using FramePtr = std::shared_ptr<const Frame>;

inline constexpr uint32_t kTextEnd = UINT32_MAX;  // in place of a state to return to: the text may end

struct Return {
  uint32_t state;
  FramePtr below;
};

struct Frame {
  Digest digest;
  uint32_t depth = 0;           // at most kMaxStackDepth: freeing a frame frees those below it, one in another
  std::vector<Return> returns;  // sorted, distinct
};

struct Thread {
  uint32_t state;  // has edges that read
  FramePtr frame;
};

struct Position {
  std::vector<Thread> threads;  // sorted, distinct
  bool may_end = false;         // the text so far is complete
  Digest digest;
};

// Moves positions over bytes. Keeps scratch memory only: one for each thread of execution.
class Stepper {
 public:
  explicit Stepper(const Network& network) : network_(&network) {}

  // Looked at: threads, returns and edges. A function that would look at more than is left gives a position without
  // threads, and exhausted() from then on.
  void set_budget(int64_t n) noexcept { budget_ = n; }
  bool exhausted() const noexcept { return budget_ < 0; }
  void spend(int64_t n) noexcept { budget_ -= n; }

  Position start();
  Position step(const Position& from, uint8_t byte);
  // The position of threads whose states need not read, in any order.
  Position closed(std::vector<Thread> threads);

 private:
  struct Key {
    uint32_t state;
    Digest frame;
    bool operator==(const Key&) const = default;
  };

  bool first_visit(uint32_t state, const Digest& frame);
  void visit(bool returns);
  void return_from(const Thread& thread);
  void note_calls(const Thread& thread);
  void enter_called_rules();
  FramePtr make_frame(std::vector<Return> returns) const;
  Position finished();

  const Network* network_;
  int64_t budget_ = 0;
  std::vector<Thread> work_;
  std::map<uint32_t, std::vector<Return>> callers_;  // of rules not yet entered, by rank
  Position out_;
  std::vector<Key> seen_;
  std::vector<uint32_t> seen_table_;  // index in seen_ + 1, for more than a few
  std::vector<uint64_t> words_;
};

}  // namespace fathom::grammar
