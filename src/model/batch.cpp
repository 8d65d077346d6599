#include "model/batch.h"

namespace fathom {

void Batch::add(KvCache& cache, SequenceCache& sequence, std::span<const int32_t> ids, Logits logits, Steps steps) {
  const int64_t first = sequence.length(), n = static_cast<int64_t>(ids.size()),
                step = steps == Steps::per_token ? 1 : n;
  for (int64_t i = 0; i < n; i += step)  // before the cache counts them, so that roll_back() knows of all it counts
    sequences.push_back({.cache = &sequence, .first_row = rows() + i, .n = step, .first_position = first + i});
  cache.extend(sequence, n);
  for (int64_t i = 0; i < n; ++i) {
    if (logits == Logits::all || (logits == Logits::last && i + 1 == n))
      logit_rows.push_back(static_cast<int32_t>(rows()));
    tokens.push_back(ids[static_cast<size_t>(i)]);
    positions.push_back(static_cast<int32_t>(first + i));
  }
}

void Batch::roll_back(KvCache& cache) const noexcept {
  for (auto s = sequences.rbegin(); s != sequences.rend(); ++s)
    if (s->cache != nullptr && s->first_position < s->cache->length()) cache.truncate(*s->cache, s->first_position);
}

void Batch::add_whole(std::span<const int32_t> ids, int64_t first_position) {
  sequences.push_back({.cache = nullptr, .first_row = rows(), .n = std::ssize(ids), .first_position = 0});
  for (size_t i = 0; i < ids.size(); ++i)
    positions.push_back(static_cast<int32_t>(first_position + static_cast<int64_t>(i)));
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

}  // namespace fathom
