// What a word meant that is spelt a little otherwise.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace fathom {

// Letters A to Z are those of a to z; others are as they are.
std::string lower_case(std::string_view text);
bool equal_in_any_case(std::string_view a, std::string_view b) noexcept;

// Edits from a to b: a character inserted, deleted or changed, or two neighbours exchanged (optimal string alignment).
size_t edit_distance(std::string_view a, std::string_view b);

// The first of `known` with the fewest edits from the word; null when none is within two, and within less than half of
// the longer word: of two letters, both changed, nothing is left to recognise.
const std::string* nearest(std::string_view word, std::span<const std::string> known);

// " Did you mean X?" with the nearest of `known`; empty when there is none.
std::string did_you_mean(std::string_view word, std::span<const std::string> known);

}  // namespace fathom
