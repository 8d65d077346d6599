// An engine over several memory nodes, pretended on the CPUs that there are: threads are bound and weights placed as on
// a machine that has them, and nothing shows in the results.
#include <gtest/gtest.h>

#include "base/machine/stripes.h"
#include "support/engine.h"
#include "support/files.h"
#include "support/model_file.h"

namespace fathom {
namespace {

// A head of 4.5 MB, and some other weights: every node has stripes.
ModelConfig wide_config() {
  ModelConfig c = testing::packable_v2_config();
  c.hidden_size = 256;
  c.vocab_size = 16384;
  return c;
}

NumaTopology pretended(int n_nodes) { return choose_numa(std::to_string(n_nodes), usable_cpus()); }

class NumaEngine : public ::testing::Test {
 protected:
  NumaEngine() : random_(wide_config(), 3) {
    random_.quantise(DType::q8_0);
    model_ = testing::model_in_file(random_, folder_ / "model.gguf");
  }
  testing::TestEngineOptions options(int threads, int n_nodes) const {
    return {.threads = threads, .context_tokens = 64, .numerics = Numerics::quantised(), .numa = pretended(n_nodes)};
  }
  // Of a prompt and of two steps after it.
  std::vector<float> logits(const testing::TestEngineOptions& options) {
    testing::TestEngine engine_parts(model_, options);
    Engine& engine = engine_parts.engine;
    EXPECT_GT(engine_parts.weights.packed_bytes(), int64_t{kHugeBlock});
    EXPECT_EQ(engine_parts.weights.packed_file() != nullptr, options.weights == WeightPlace::cached);
    SequenceCache sequence;
    std::vector<float> all;
    for (const auto& ids : {testing::random_ids(20, 97, 4), {5}, {96}}) {
      const auto row = engine.append(sequence, ids);
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  }

  test::TempFolder folder_;
  testing::RandomModel random_;
  Model model_;
};

TEST_F(NumaEngine, LogitsHaveTheSameBitsForAnyNodesAndThreads) {
  const std::vector<float> want = logits(options(1, 1));
  for (const auto& [threads, n_nodes] : {std::pair{2, 1}, {1, 2}, {2, 2}, {3, 2}, {7, 2}, {3, 3}, {5, 4}, {2, 4}})
    EXPECT_TRUE(testing::same_bits(logits(options(threads, n_nodes)), want)) << threads << " on " << n_nodes;
  testing::TestEngineOptions cached = options(3, 2);
  cached.weights = WeightPlace::cached;
  cached.cache_folder = folder_ / "cache";
  for (int i = 0; i < 2; ++i) EXPECT_TRUE(testing::same_bits(logits(cached), want)) << "a mapped file";
}

TEST_F(NumaEngine, TwoEnginesHaveAllCpusAndGiveThemBack) {
  const std::vector<int> usable = usable_cpus();
  {
    const testing::TestEngineOptions all = options(0, static_cast<int>(usable.size()));
    const testing::TestEngine one_parts(model_, all), two_parts(model_, all);
    const Engine& two = two_parts.engine;
    const Engine& one = one_parts.engine;
    EXPECT_EQ(one.threads(), std::ssize(usable));
    EXPECT_EQ(two.threads(), std::ssize(usable));
  }
  EXPECT_EQ(usable_cpus(), usable);
}

}  // namespace
}  // namespace fathom
