#include "engine/speculation/prompt_lookup.h"

#include <algorithm>

namespace fathom {
namespace {

uint64_t hash_of(std::span<const int32_t> ids) {
  constexpr uint64_t kOdd = 0x9E3779B97F4A7C15u;
  uint64_t h = ids.size() * kOdd;
  for (const int32_t id : ids) {
    h = (h ^ (h >> 32) ^ static_cast<uint32_t>(id)) * kOdd;
    h ^= h >> 29;
  }
  return h;
}

std::span<const int32_t> run_before(std::span<const int32_t> ids, int64_t end, int64_t n) {
  return ids.subspan(static_cast<size_t>(end - n), static_cast<size_t>(n));
}

}  // namespace

void PromptLookup::begin(std::span<const int32_t>, const GenerateRequest&) {
  last_end_.clear();
  n_indexed_ = 0;
}

std::optional<int> PromptLookup::kind(std::span<const int32_t> history) {
  const int64_t size = std::ssize(history);
  for (; n_indexed_ < size; ++n_indexed_)  // the runs that end the history itself have no id after them yet
    for (const int64_t n : kMatchLengths)
      if (n <= n_indexed_) last_end_[hash_of(run_before(history, n_indexed_, n))] = n_indexed_;
  for (int kind = 0; kind < n_kinds(); ++kind) {
    const int64_t n = kMatchLengths[kind];
    if (n > size) continue;
    const auto now = run_before(history, size, n);
    const auto found = last_end_.find(hash_of(now));
    if (found == last_end_.end() || found->second < n) continue;
    if (!std::ranges::equal(now, run_before(history, found->second, n))) continue;
    next_ = found->second;
    return kind;
  }
  return std::nullopt;
}

std::vector<int32_t> PromptLookup::propose(std::span<const int32_t> history, int64_t most) {
  std::vector<int32_t> ids;
  for (int64_t i = next_; std::ssize(ids) < most; ++i)
    ids.push_back(i < std::ssize(history) ? history[static_cast<size_t>(i)]
                                          : ids[static_cast<size_t>(i - std::ssize(history))]);
  return ids;
}

}  // namespace fathom
