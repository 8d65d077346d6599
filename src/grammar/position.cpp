#include "grammar/position.h"

#include <algorithm>

#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

constexpr size_t kScan = 12;  // visited threads that are looked through one by one
constexpr uint64_t kFrameSeed = 1, kPositionSeed = 2;

bool before(const Return& a, const Return& b) {
  return a.state != b.state ? a.state < b.state : a.below->digest < b.below->digest;
}
bool same(const Return& a, const Return& b) { return a.state == b.state && a.below->digest == b.below->digest; }

uint64_t slot_hash(uint32_t state, const Digest& frame) {
  return (frame.low ^ (state + 1) * 0x9E3779B97F4A7C15ull) * 0xD6E8FEB86659FD93ull >> 20;
}

}  // namespace

FramePtr Stepper::make_frame(std::vector<Return> returns) const {
  std::sort(returns.begin(), returns.end(), before);
  returns.erase(std::unique(returns.begin(), returns.end(), same), returns.end());
  auto frame = std::make_shared<Frame>();
  std::vector<uint64_t> words;
  words.reserve(3 * returns.size());
  for (const Return& r : returns) {
    words.insert(words.end(), {r.state, r.below->digest.low, r.below->digest.high});
    frame->depth = std::max(frame->depth, r.below->depth + 1);
  }
  frame->digest = digest_of(words, kFrameSeed);
  frame->returns = std::move(returns);
  return frame;
}

bool Stepper::first_visit(uint32_t state, const Digest& frame) {
  const Key key{state, frame};
  if (seen_.size() < kScan) {
    if (std::find(seen_.begin(), seen_.end(), key) != seen_.end()) return false;
    seen_.push_back(key);
    return true;
  }
  if (seen_table_.size() < 2 * seen_.size() + 2) {
    seen_table_.assign(8 * seen_.size(), 0);
    for (uint32_t i = 0; i < seen_.size(); ++i) {
      size_t slot = slot_hash(seen_[i].state, seen_[i].frame) % seen_table_.size();
      while (seen_table_[slot] != 0) slot = (slot + 1) % seen_table_.size();
      seen_table_[slot] = i + 1;
    }
  }
  size_t slot = slot_hash(state, frame) % seen_table_.size();
  for (; seen_table_[slot] != 0; slot = (slot + 1) % seen_table_.size())
    if (seen_[seen_table_[slot] - 1] == key) return false;
  seen_.push_back(key);
  seen_table_[slot] = static_cast<uint32_t>(seen_.size());
  return true;
}

void Stepper::note_calls(const Thread& thread) {
  for (const CallEdge& call : network_->calls(thread.state)) {
    --budget_;
    const Network::Rule& rule = network_->rule(call.rule);
    std::vector<Return>& callers = callers_[rule.rank];
    if (network_->is_end(call.back)) {
      budget_ -= static_cast<int64_t>(thread.frame->returns.size());
      callers.insert(callers.end(), thread.frame->returns.begin(), thread.frame->returns.end());
    } else if (thread.frame->depth < kMaxStackDepth) {
      callers.push_back({call.back, thread.frame});
    }
    if (rule.nullable) work_.push_back({call.back, thread.frame});
  }
}

void Stepper::return_from(const Thread& thread) {
  budget_ -= static_cast<int64_t>(thread.frame->returns.size());
  for (const Return& r : thread.frame->returns) {
    if (r.state == kTextEnd)
      out_.may_end = true;
    else
      work_.push_back({r.state, r.below});
  }
}

// Follows everything that reads no byte. `returns` is false for rules entered at this place: that they match the empty
// text has been dealt with where they were called.
void Stepper::visit(bool returns) {
  while (!work_.empty() && budget_ >= 0) {
    const Thread thread = std::move(work_.back());
    work_.pop_back();
    --budget_;
    if (!first_visit(thread.state, thread.frame->digest)) continue;
    if (network_->is_end(thread.state)) {
      if (returns) return_from(thread);
      continue;
    }
    for (const uint32_t to : network_->jumps(thread.state)) work_.push_back({to, thread.frame});
    note_calls(thread);
    if (!network_->bytes(thread.state).empty()) out_.threads.push_back(thread);
  }
}

void Stepper::enter_called_rules() {
  while (!callers_.empty() && budget_ >= 0) {
    const auto next = callers_.extract(callers_.begin());
    if (next.mapped().empty()) continue;  // beyond the depth of the stack
    const uint32_t rule = network_->rule_of_rank(next.key());
    work_.push_back({network_->rule(rule).start, make_frame(std::move(next.mapped()))});
    visit(/*returns=*/false);
  }
}

Position Stepper::finished() {
  Position done = std::move(out_);
  out_ = {};
  if (budget_ < 0) done = {};
  std::sort(done.threads.begin(), done.threads.end(), [](const Thread& a, const Thread& b) {
    return a.state != b.state ? a.state < b.state : a.frame->digest < b.frame->digest;
  });
  words_.assign(1, done.may_end);
  for (const Thread& t : done.threads)
    words_.insert(words_.end(), {t.state, t.frame->digest.low, t.frame->digest.high});
  done.digest = digest_of(words_, kPositionSeed);
  return done;
}

Position Stepper::closed(std::vector<Thread> threads) {
  seen_.clear();
  seen_table_.clear();
  callers_.clear();
  work_ = std::move(threads);
  visit(/*returns=*/true);
  enter_called_rules();
  work_.clear();
  return finished();
}

Position Stepper::start() {
  auto bottom = std::make_shared<Frame>();
  FramePtr frame = make_frame({{kTextEnd, std::move(bottom)}});
  return closed({{network_->rule(network_->start_rule()).start, std::move(frame)}});
}

Position Stepper::step(const Position& from, uint8_t byte) {
  std::vector<Thread> moved;
  for (const Thread& thread : from.threads) {
    const auto edges = network_->bytes(thread.state);
    budget_ -= static_cast<int64_t>(edges.size());
    for (const ByteEdge& e : edges)
      if (e.first <= byte && byte <= e.last) moved.push_back({e.to, thread.frame});
  }
  return closed(std::move(moved));
}

}  // namespace fathom::grammar
