// The time between two tokens of a sequence while long prompts are read beside it, counted in work: here a clock runs
// by what a layer costs, and not by the machine.
#include "engine/scheduler/pace.h"

#include <gtest/gtest.h>

#include <random>

namespace fathom {
namespace {

// An engine of which a layer costs `layer` seconds with the sequences that decode, and `row` more for each row of a
// passage that takes part.
struct CountedEngine {
  CountedEngine(int64_t n_layers, double stretch, double layer_seconds, double row_seconds)
      : layers(n_layers), layer(layer_seconds), row(row_seconds), pace(n_layers, stretch, [this] { return now; }) {}

  // Runs one step; passage_layer: where the passage stands, which goes on from there. Returns the step's seconds.
  double step(int64_t n_decoding, int64_t rows, int64_t& passage_layer) {
    const double start = now;
    pace.begin(n_decoding, std::max(n_decoding, n_running), rows);
    for (int64_t l = 0; l < layers; ++l) {
      const bool takes_part = rows > 0 && passage_layer == l && pace.allows(l);
      passage_layer += takes_part ? 1 : 0;
      now += (n_decoding > 0 ? layer : 0) + (takes_part ? row * static_cast<double>(rows) : 0);
    }
    pace.finish();
    return now - start;
  }
  // Steps until a passage of so many rows has gone through all layers; the longest step.
  std::pair<int64_t, double> read(int64_t n_decoding, int64_t rows) {
    double longest = 0;
    int64_t n = 0;
    for (int64_t at = 0; at < layers; ++n) longest = std::max(longest, step(n_decoding, rows, at));
    return {n, longest};
  }

  double now = 100;
  int64_t n_running = 0;  // with those that only read; 0: as many as decode
  int64_t layers;
  double layer, row;
  PassagePace pace;
};

TEST(PassagePace, TokensBesideALongPromptKeepTheirTime) {
  std::mt19937 random(1);
  for (int round = 0; round < 200; ++round) {
    const int64_t layers = 2 + static_cast<int64_t>(random() % 60), n = 1 + static_cast<int64_t>(random() % 32);
    const double stretch = 1.25 + random() % 8 * 0.25, layer = 1e-4 * static_cast<double>(1 + random() % 100);
    const double room = (stretch - 1) * static_cast<double>(layers) * layer;  // for a passage within a step
    CountedEngine e(layers, stretch, layer, room / static_cast<double>(40 + random() % 1000));
    int64_t none = 0;
    for (int i = 0; i < 20; ++i) e.step(n, 0, none);
    e.read(n, e.pace.passage_rows(n, n, 2048));  // what a row costs is not known before
    const double most = stretch * static_cast<double>(layers) * layer;
    for (int64_t left = 100'000; left > 0;) {
      const int64_t rows = e.pace.passage_rows(n, n, std::min<int64_t>(left, 2048));
      ASSERT_GE(rows, std::min<int64_t>(left, 32));
      const auto [steps, longest] = e.read(n, rows);
      ASSERT_LE(longest, most * (1 + 1e-9)) << layers << " layers, stretch " << stretch << ", " << rows << " rows";
      ASSERT_LE(steps, layers) << "a step takes the passage a layer further";
      left -= rows;
    }
  }
}

// Before a row's cost is known, a passage is small and goes one layer a step.
TEST(PassagePace, WhatIsNotKnownYetIsTriedInSmall) {
  CountedEngine e(27, 2, 1e-3, 1e-5);
  int64_t none = 0;
  e.step(4, 0, none);
  const int64_t rows = e.pace.passage_rows(4, 4, 2048);
  EXPECT_EQ(rows, 128);
  const auto [steps, longest] = e.read(4, rows);
  EXPECT_LE(longest, 2 * 27 * 1e-3);
  EXPECT_LE(steps, 27);
}

// Sequences that still read count as if they decoded: the step that is to be, not the one that is, bounds the time.
TEST(PassagePace, ReadersHaveTheTimeOfAStepOfAll) {
  CountedEngine e(27, 2, 1e-3, 1e-5);
  int64_t none = 0;
  for (int i = 0; i < 20; ++i) e.step(8, 0, none);
  e.layer = 0.25e-3;
  for (int i = 0; i < 20; ++i) e.step(2, 0, none);
  e.read(2, 64);
  const int64_t of_two = e.pace.passage_rows(2, 2, 100'000), of_all = e.pace.passage_rows(2, 8, 100'000);
  EXPECT_NEAR(static_cast<double>(of_two), 27 * 0.25e-3 / 1e-5, 1);
  EXPECT_NEAR(static_cast<double>(of_all), 27 * (2 * 1e-3 - 0.25e-3) / 1e-5, 1);
  e.n_running = 8;
  EXPECT_LE(e.read(2, of_all).second, 2 * 27 * 1e-3 * (1 + 1e-9));
  EXPECT_GT(e.pace.passage_rows(2, 32, 100'000), of_all);  // what is not known is taken to be larger
}

// A machine that becomes slower: the next steps are within the bound again.
TEST(PassagePace, FollowsAMachineThatBecomesSlower) {
  CountedEngine e(27, 2, 1e-3, 1e-5);
  int64_t none = 0;
  for (int i = 0; i < 10; ++i) e.step(4, 0, none);
  for (int i = 0; i < 3; ++i) e.read(4, e.pace.passage_rows(4, 4, 2048));
  e.row *= 20;
  for (int i = 0; i < 6; ++i) e.read(4, e.pace.passage_rows(4, 4, 2048));
  EXPECT_LE(e.read(4, e.pace.passage_rows(4, 4, 2048)).second, 2 * 27 * 1e-3 * 1.1);
}

TEST(PassagePace, NobodyDecodesNobodyWaits) {
  CountedEngine e(27, 2, 1e-3, 1e-5);
  EXPECT_EQ(e.pace.passage_rows(0, 0, 2048), 2048);
  EXPECT_EQ(e.read(0, 2048).first, 1);
}

}  // namespace
}  // namespace fathom
