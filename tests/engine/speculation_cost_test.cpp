#include "engine/speculation/speculation_cost.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

void saw_twice(StepTimes& times, int64_t rows, double seconds) {
  times.record(rows, seconds);
  times.record(rows, seconds);
}

// Every draft right (wrong) n times.
Acceptance always_right(int n = 100) {
  Acceptance a;
  for (int i = 0; i < n; ++i) a.record(kMaxDraft, false);
  return a;
}
Acceptance always_wrong(int n = 100) {
  Acceptance a;
  for (int i = 0; i < n; ++i) a.record(0, true);
  return a;
}

TEST(RecentMedian, IsTheLowerMedianOfTheLastSevenInMemory) {
  RecentMedian m;
  EXPECT_FALSE(m.median(0, 0));
  m.record(9, 0);
  EXPECT_FALSE(m.median(0, 2));
  EXPECT_EQ(m.median(0, 1), 9);
  m.record(1, 1);
  EXPECT_EQ(m.median(1, 2), 1);  // the first one was cold
  for (int i = 2; i < 7; ++i) m.record(i, i);
  EXPECT_EQ(m.median(6, 2), 4);  // of 9 1 2 3 4 5 6
  m.record(7, 7);                // takes the place of the 9
  EXPECT_EQ(m.median(7, 2), 4);
  EXPECT_EQ(m.median(kMemory + 5, 1), 6);  // 6 and 7 are left
  EXPECT_FALSE(m.median(kMemory + 7, 1));
}

TEST(StepTimes, LieOnLinesBetweenWhatWasMeasuredAndThroughTheSmallestBeyond) {
  StepTimes times;
  EXPECT_FALSE(times.seconds(1));
  saw_twice(times, 3, 2.0);
  EXPECT_EQ(times.seconds(3), 2.0);
  EXPECT_EQ(times.seconds(9), 2.0);  // flat
  EXPECT_FALSE(times.seconds(2));    // nothing smaller was measured
  saw_twice(times, 1, 1.0);
  EXPECT_EQ(times.seconds(2), 1.5);
  EXPECT_EQ(times.seconds(5), 3.0);
  times.record(5, 9.0);  // once is not measured
  EXPECT_EQ(times.seconds(5), 3.0);
  times.record(5, 2.0);
  EXPECT_EQ(times.seconds(5), 2.0);
  EXPECT_EQ(times.seconds(4), 2.0);
  EXPECT_EQ(times.seconds(9), 3.0);
}

TEST(StepTimes, WidthsAreTriedByDoubling) {
  StepTimes times;
  saw_twice(times, 1, 1.0);
  EXPECT_EQ(times.seconds(9), 1.0);  // flat: worth trying
  EXPECT_EQ(times.most_rows(), 2);
  saw_twice(times, 2, 1.0);
  EXPECT_EQ(times.most_rows(), 4);
  saw_twice(times, 4, 1.0);
  saw_twice(times, 8, 1.0);
  EXPECT_EQ(times.most_rows(), 16);
  saw_twice(times, kMostTimedRows, 1.0);
  EXPECT_EQ(times.most_rows(), kMostTimedRows);
  times.record(kMostTimedRows + 1, 1.0);  // is not kept
  EXPECT_FALSE(times.seconds(kMostTimedRows + 1));
}

TEST(StepTimes, OldOnesAreForgotten) {
  StepTimes times;
  saw_twice(times, 2, 5.0);
  for (int64_t i = 0; i < kMemory; ++i) times.record(1, 1.0);
  EXPECT_EQ(times.seconds(2), 1.0);
}

TEST(Acceptance, IsAnAverageByPositionThatStartsAtThePositionBefore) {
  Acceptance a;
  EXPECT_EQ(a.rate(1), 0.5);
  EXPECT_EQ(a.rate(8), 0.5);
  a.record(1, true);  // the first right, the second wrong, the third not known
  EXPECT_DOUBLE_EQ(a.rate(1), 1.5 / 2);
  EXPECT_DOUBLE_EQ(a.rate(2), 0.75 / 2);
  EXPECT_EQ(a.rate(3), a.rate(2));
  EXPECT_GT(always_right().rate(8), 0.95);
  EXPECT_LT(always_wrong().rate(1), 0.05);
}

TEST(Acceptance, FadesWithoutObservations) {
  Acceptance a = always_wrong();
  for (int i = 0; i < 2000; ++i) a.record(0, false);
  EXPECT_NEAR(a.rate(1), 0.5, 0.01);
}

TEST(BestCount, NothingBeforePlainStepsAreMeasured) { EXPECT_EQ(best_count({}, always_right(), 0, 8).n, 0); }

TEST(BestCount, RowsThatCostNothingAreUsedAsFarAsGuessesAreRight) {
  StepTimes times;
  for (int64_t rows = 1; rows <= 9; ++rows) saw_twice(times, rows, 1.0 + 0.01 * static_cast<double>(rows));
  EXPECT_EQ(best_count(times, always_right(), 0, 8).n, 8);
  EXPECT_EQ(best_count(times, always_right(), 0, 3).n, 3);
  EXPECT_EQ(best_count(times, always_right(), 0, 0).n, 0);
  EXPECT_EQ(best_count(times, always_wrong(), 0, 8).n, 0);
  Acceptance two;  // the third is always wrong
  for (int i = 0; i < 100; ++i) two.record(2, true);
  StepTimes steeper;
  for (int64_t rows = 1; rows <= 9; ++rows) saw_twice(steeper, rows, 1.0 + 0.1 * static_cast<double>(rows));
  EXPECT_EQ(best_count(steeper, two, 0, 8).n, 2);
}

TEST(BestCount, RowsThatCostAsMuchAsStepsAreNotUsed) {
  StepTimes times;
  for (int64_t rows = 1; rows <= 9; ++rows) saw_twice(times, rows, static_cast<double>(rows));
  EXPECT_EQ(best_count(times, always_right(), 0, 8).n, 0);
}

TEST(BestCount, TheFormulaByHand) {
  StepTimes times;
  saw_twice(times, 1, 1.0);
  saw_twice(times, 2, 1.2);
  saw_twice(times, 3, 2.0);
  Acceptance a;  // 3 of 4 with the prior's half: (0.5 + sums) / (1 + sums)
  a.record(1, true);
  const double a1 = a.rate(1), a2 = a.rate(2);
  const DraftLength best = best_count(times, a, 0.1, 2);
  EXPECT_EQ(best.n, 1);
  EXPECT_DOUBLE_EQ(best.tokens_per_second, (1 + a1) / 1.3);
  EXPECT_GT(best.tokens_per_second, (1 + a1 + a1 * a2) / 2.2);
  EXPECT_EQ(best_count(times, a, 0.6, 2).n, 0);  // 1.75 / 1.8
}

// What a generation costs beside plain decoding when nothing is to be gained: drafts half right, each row a step.
TEST(BestCount, ExplorationThatGainsNothingCostsLittle) {
  StepTimes times;
  Acceptance a;
  double seconds = 0, tokens = 0;
  int64_t verified = 0;
  for (int step = 0; tokens < 1000; ++step) {
    const int64_t n = best_count(times, a, 0, 8).n, right = n > 0 && step % 2 == 0 ? 1 : 0;
    const double cost = 1 + 0.9 * static_cast<double>(n);
    times.record(1 + n, cost);
    a.record(step % 2 == 0 ? 1 : 0, step % 2 != 0);
    verified += n;
    seconds += cost;
    tokens += static_cast<double>(1 + right);
  }
  EXPECT_LT(seconds / tokens, 1.02);
  EXPECT_LE(verified, 20);
}

// A model with experts: the second row costs 80 % of a step, later ones less. Text that repeats makes it pay, text that
// does not stops it, and what is learned changes with the text.
TEST(BestCount, FollowsTheText) {
  StepTimes times;
  Acceptance a;
  const auto cost = [](int64_t rows) { return rows == 1 ? 1.0 : 1.6 + 0.2 * static_cast<double>(rows - 1); };
  const auto run = [&](int n_steps, int64_t n_accepted) {
    int64_t last = 0;
    for (int i = 0; i < n_steps; ++i) {
      last = best_count(times, a, 0, 8).n;
      times.record(1 + last, cost(1 + last));
      // One more than was verified is watched.
      const int64_t watched = std::min(kMaxDraft, last + 1), right = std::min(n_accepted, watched);
      a.record(right, right < watched);
    }
    return last;
  };
  EXPECT_EQ(run(40, 0), 0);
  EXPECT_GE(run(200, 8), 6);
  EXPECT_EQ(run(60, 0), 0);
}

}  // namespace
}  // namespace fathom
