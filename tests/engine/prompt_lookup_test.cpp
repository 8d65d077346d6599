#include "engine/speculation/prompt_lookup.h"

#include <gtest/gtest.h>

#include "engine/generation.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;

Ids draft(PromptLookup& lookup, const Ids& history, int64_t most = 8) {
  return lookup.kind(history) ? lookup.propose(history, most) : Ids{};
}
Ids draft(const Ids& history, int64_t most = 8) {
  PromptLookup lookup;
  lookup.begin({}, {});
  return draft(lookup, history, most);
}

// The definition, by looking at every place.
std::optional<int64_t> next_by_scan(const Ids& ids) {
  const int64_t size = std::ssize(ids);
  for (const int64_t n : kMatchLengths)
    for (int64_t end = size - 1; end >= n; --end)
      if (std::equal(ids.end() - n, ids.end(), ids.begin() + (end - n))) return end;
  return std::nullopt;
}

TEST(PromptLookup, DraftsWhatFollowedTheLongestThenTheLatestMatch) {
  EXPECT_EQ(draft({1, 2, 3, 4, 5, 1, 2}, 2), (Ids{3, 4}));
  EXPECT_EQ(draft({1, 2, 3, 9, 1, 2, 4, 9, 1, 2}, 2), (Ids{4, 9}));        // both matches of 2: the later one
  EXPECT_EQ(draft({7, 1, 2, 3, 9, 8, 1, 2, 4, 9, 7, 1, 2}, 1), (Ids{3}));  // one of 3 before a later one of 2
  EXPECT_EQ(draft({1, 2, 3, 4}), Ids{});
  EXPECT_EQ(draft({1, 2, 1}), Ids{});  // one id is no match
  EXPECT_EQ(draft({}), Ids{});
}

TEST(PromptLookup, GoesOnPeriodicallyWhereTheMatchReachesTheEnd) {
  EXPECT_EQ(draft({5, 1, 2, 3, 1, 2, 3}, 7), (Ids{1, 2, 3, 1, 2, 3, 1}));
  EXPECT_EQ(draft({4, 4, 4}, 3), (Ids{4, 4, 4}));
}

TEST(PromptLookup, KindIsTheLengthOfTheMatch) {
  PromptLookup lookup;
  for (int kind = 0; kind < lookup.n_kinds(); ++kind) {
    const int64_t n = kMatchLengths[kind];
    Ids history;
    for (int32_t i = 0; i < n; ++i) history.push_back(10 + i);
    history.push_back(1);
    for (int32_t i = 0; i < n; ++i) history.push_back(10 + i);
    lookup.begin({}, {});
    EXPECT_EQ(lookup.kind(history), kind);
  }
}

TEST(PromptLookup, IdByIdItFindsWhatAScanOfTheWholeHistoryFinds) {
  for (const int64_t vocabulary : {2, 4, 30}) {
    PromptLookup lookup;
    lookup.begin({}, {});
    Ids history;
    for (const int32_t id : testing::random_ids(600, vocabulary, 5)) {
      history.push_back(id);
      const Ids got = draft(lookup, history, 1);
      const auto want = next_by_scan(history);
      ASSERT_EQ(got.empty(), !want) << history.size();
      if (want) {
        ASSERT_EQ(got[0], history[static_cast<size_t>(*want)]) << history.size();
      }
    }
  }
}

TEST(PromptLookup, BeginForgets) {
  PromptLookup lookup;
  lookup.begin({}, {});
  EXPECT_FALSE(draft(lookup, {1, 2, 3, 1, 2}).empty());
  lookup.begin({}, {});
  EXPECT_TRUE(draft(lookup, {8, 9, 1, 2}).empty());
}

}  // namespace
}  // namespace fathom
