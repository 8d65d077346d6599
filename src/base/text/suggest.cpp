#include "base/text/suggest.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace fathom {

namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), lower);
  return out;
}

bool equal_in_any_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1] ? 1 : 0)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], before_last[j - 2] + 1);
    }
  }
  return row[b.size()];
}

const std::string* nearest(std::string_view word, std::span<const std::string> known) {
  constexpr size_t kLongest = 100;  // a longer word is no misspelling, and the distance costs its length each time
  constexpr size_t kFurthest = 2;
  const std::string* best = nullptr;
  size_t best_distance = kFurthest + 1;
  for (const std::string& name : known) {
    if (word.size() > kLongest) break;
    const size_t distance = edit_distance(word, name);
    if (distance < best_distance && 2 * distance < std::max(word.size(), name.size())) {
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
