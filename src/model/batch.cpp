#include "model/batch.h"

namespace fathom {

void Batch::add(KvCache& cache, SequenceCache& sequence, std::span<const int32_t> ids, Logits logits, Steps steps,
                int64_t prompt_tokens) {
  const int64_t first = sequence.length(), n = static_cast<int64_t>(ids.size());
  const auto size_at = [&](int64_t position) -> StepSize {
    return steps == Steps::joined ? StepSize{first, n} : piece_of(position, prompt_tokens);
  };
  for (int64_t i = 0; i < n;) {  // before the cache counts them, so that roll_back() knows of all it counts
    const StepSize size = size_at(first + i);
    const int64_t end = std::min(n, size.n_past + size.n_new - first);
    sequences.push_back(
        {.cache = &sequence, .first_row = rows() + i, .n = end - i, .first_position = first + i, .attends_as = size});
    i = end;
  }
  cache.extend(sequence, n);
  for (int64_t i = 0; i < n; ++i) {
    if (logits == Logits::all || (logits == Logits::last && i + 1 == n))
      logit_rows.push_back(static_cast<int32_t>(rows()));
    tokens.push_back(ids[static_cast<size_t>(i)]);
    positions.push_back(static_cast<int32_t>(first + i));
  }
}

void Batch::add(const Batch& other) {
  const int64_t before = rows();
  for (BatchSequence s : other.sequences) {
    s.first_row += before;
    sequences.push_back(s);
  }
  for (const int32_t row : other.logit_rows) logit_rows.push_back(row + static_cast<int32_t>(before));
  tokens.insert(tokens.end(), other.tokens.begin(), other.tokens.end());
  positions.insert(positions.end(), other.positions.begin(), other.positions.end());
}

std::vector<int64_t> Batch::remove(KvCache& cache, SequenceCache& sequence) {
  Batch rest;
  std::vector<int64_t> kept;
  int64_t length = sequence.length();
  for (BatchSequence s : sequences) {
    if (s.cache == &sequence) {
      length = std::min(length, s.first_position);
      continue;
    }
    for (int64_t row = s.first_row; row < s.first_row + s.n; ++row) {
      if (std::binary_search(logit_rows.begin(), logit_rows.end(), static_cast<int32_t>(row)))
        rest.logit_rows.push_back(static_cast<int32_t>(rest.rows()));
      rest.tokens.push_back(tokens[static_cast<size_t>(row)]);
      rest.positions.push_back(positions[static_cast<size_t>(row)]);
      kept.push_back(row);
    }
    s.first_row = rest.rows() - s.n;
    rest.sequences.push_back(s);
  }
  cache.truncate(sequence, length);
  *this = std::move(rest);
  return kept;
}

void Batch::roll_back(KvCache& cache) const noexcept {
  for (auto s = sequences.rbegin(); s != sequences.rend(); ++s)
    if (s->cache != nullptr && s->first_position < s->cache->length()) cache.truncate(*s->cache, s->first_position);
}

void Batch::add_whole(std::span<const int32_t> ids, int64_t first_position) {
  sequences.push_back({.cache = nullptr,
                       .first_row = rows(),
                       .n = std::ssize(ids),
                       .first_position = 0,
                       .attends_as = {0, std::ssize(ids)}});
  for (size_t i = 0; i < ids.size(); ++i)
    positions.push_back(static_cast<int32_t>(first_position + static_cast<int64_t>(i)));
  tokens.insert(tokens.end(), ids.begin(), ids.end());
}

}  // namespace fathom
