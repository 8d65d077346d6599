#include "train/plan/flops.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "train/schedule.h"

namespace fathom {
namespace {

const std::filesystem::path kConfigs = std::filesystem::path(FATHOM_GOLDEN_DIR) / ".." / ".." / "configs";

TEST(Flops, OfADenseModelCountedByHand) {
  const TokenFlops f = flops_per_token(read_train_config(kConfigs / "variants" / "dense-gqa.toml"));
  // Of a layer: q and o 64 x 64, k and v 64 x 32, three of 64 x 176, two gains; then the last gain and the head.
  const double used = 3 * (2 * 64 * 64 + 2 * 64 * 32 + 3 * 64 * 176 + 2 * 64) + 64 + 64 * 512;
  const double attention = 3 * 4 * (16 + 16) * 64.0;  // 64: half of 128 positions
  EXPECT_EQ(f.forward, 2 * (used + attention));
  EXPECT_EQ(f.backward, 2 * f.forward);
  EXPECT_EQ(f.total(), 3 * f.forward);
}

TEST(Flops, StepsAreThoseOfTheRampOneByOne) {
  TrainConfig c = read_train_config(kConfigs / "tiny.toml");
  for (const double ramp : {0.0, 50e3, 77777.0, 1e6}) {
    for (const double tokens : {1.0, 50e3, 600e3, 2e6}) {
      c.batch.start_sequences = 4;
      c.batch.micro_batch = 2;
      c.batch.ramp_tokens = ramp;
      c.schedule.tokens = tokens;
      int64_t steps = 0;
      for (double at = 0; at < tokens; ++steps)
        at += static_cast<double>(batch_sequences(c.batch, at) * c.data.sequence_length);
      EXPECT_EQ(expected_steps(c), steps) << ramp << ' ' << tokens;
    }
  }
}

}  // namespace
}  // namespace fathom
