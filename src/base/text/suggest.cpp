#include "base/text/suggest.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

namespace fathom {

bool equal_in_any_case(std::string_view a, std::string_view b) noexcept {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [&](char x, char y) { return lower(x) == lower(y); });
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = diagonal + (a[i - 1] != b[j - 1] ? 1 : 0);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, change}));
    }
  }
  return row[b.size()];
}

const std::string* nearest(std::string_view word, std::span<const std::string> known) {
  constexpr size_t kLongest = 100;  // a longer word is no misspelling, and the distance costs its length each time
  const std::string* best = nullptr;
  size_t best_distance = 3;
  for (const std::string& name : known) {
    if (word.size() > kLongest) break;
    const size_t distance = edit_distance(word, name);
    if (distance < best_distance) {
      best_distance = distance;
      best = &name;
    }
  }
  return best;
}

std::string did_you_mean(std::string_view word, std::span<const std::string> known) {
  const std::string* best = nearest(word, known);
  return best == nullptr ? "" : " Did you mean " + *best + "?";
}

}  // namespace fathom
