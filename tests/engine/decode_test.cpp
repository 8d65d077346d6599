#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "base/error.h"
#include "support/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using testing::model_of;
using testing::random_ids;

testing::RandomModel quantised_model() {
  testing::RandomModel model(testing::packable_v2_config(), 3);
  model.quantise(DType::q8_0);
  return model;
}

std::vector<float> copy(std::span<const float> x) { return {x.begin(), x.end()}; }

// Sequences of different depths, some in their first block, some past it; steps of one id and of a few.
const std::vector<int64_t> kDepths = {0, 1, 63, 64, 130, 5, 64, 17};
const std::vector<int64_t> kNew = {1, 3, 1, 1, 2, 1, 1, 5};

TEST(EngineDecode, LogitsOfEverySequenceAreThoseOfItAlone) {
  for (const bool packed : {false, true}) {
    const testing::RandomModel random = packed ? quantised_model() : testing::RandomModel(testing::tiny_v2_config(), 3);
    const Numerics numerics = packed ? Numerics::quantised() : Numerics::exact();
    const Model model = model_of(random);
    for (const int threads : {1, 3}) {
      testing::TestEngine together_parts(
          model, {.threads = threads, .context_tokens = 256, .cache_tokens = 4096, .numerics = numerics});
      Engine& together = together_parts.engine;
      testing::TestEngine alone_parts(model, {.threads = 1, .context_tokens = 256, .numerics = numerics});
      Engine& alone = alone_parts.engine;
      std::vector<SequenceCache> sequences(kDepths.size());
      std::vector<std::vector<int32_t>> prompts, ids;
      std::vector<StepInput> inputs;
      for (size_t i = 0; i < kDepths.size(); ++i) {
        prompts.push_back(random_ids(kDepths[i], 97, i));
        ids.push_back(random_ids(kNew[i], 97, 100 + i));
        if (kDepths[i] > 0) together.append(sequences[i], prompts[i]);
      }
      for (size_t i = 0; i < kDepths.size(); ++i) inputs.push_back({&sequences[i], ids[i]});
      for (int step = 0; step < 3; ++step) {
        const MatView<const float> logits = together.step(inputs);
        ASSERT_EQ(logits.rows, std::ssize(kDepths));
        std::vector<float> got(logits.data, logits.data + logits.rows * logits.cols);
        for (size_t i = 0; i < kDepths.size(); ++i) {
          SequenceCache own;
          if (kDepths[i] > 0) alone.append(own, prompts[i]);
          std::vector<float> want;
          for (int s = 0; s <= step; ++s) want = copy(alone.append(own, ids[i]));
          alone.cache().truncate(own, 0);
          ASSERT_EQ(together_parts.weights.packed_bytes() > 0, packed);
          EXPECT_TRUE(testing::same_bits(std::span(got).subspan(i * 97, 97), want))
              << "sequence " << i << ", step " << step << ", " << threads << " threads";
        }
      }
    }
  }
}

TEST(EngineDecode, GqaSequencesToo) {
  const testing::RandomModel random(testing::tiny_llama_config());
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model, {.threads = 2, .context_tokens = 256, .cache_tokens = 1024});
  Engine& engine = engine_parts.engine;
  const std::vector<int32_t> prompt = random_ids(40, 97, 1), id = random_ids(1, 97, 2);
  SequenceCache a, b, c;
  engine.append(a, prompt);
  engine.append(c, prompt);
  const std::vector<float> want = copy(engine.append(c, id));
  const StepInput inputs[] = {{&a, id}, {&b, prompt}};
  const MatView<const float> logits = engine.step(inputs);
  EXPECT_TRUE(testing::same_bits({logits.row(0), 97}, want));
  EXPECT_EQ(a.length(), 41);
  EXPECT_EQ(b.length(), 40);
}

TEST(EngineDecode, SequencesThatDoNotFitAreRefusedBeforeAnyHasChanged) {
  const testing::RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 128, .cache_tokens = 192});
  Engine& engine = engine_parts.engine;
  const std::vector<int32_t> ids = random_ids(65, 97, 1);
  SequenceCache a, b;
  const StepInput inputs[] = {{&a, ids}, {&b, ids}};  // four blocks of the three there are
  EXPECT_THROW(engine.step(inputs), Error);
  EXPECT_EQ(a.length(), 0);
  EXPECT_EQ(b.length(), 0);
  EXPECT_EQ(engine.cache().free_tokens(), 192);
  const std::vector<int32_t> too_long = random_ids(129, 97, 1);
  const StepInput one[] = {{&a, too_long}};  // beyond the context of a sequence
  EXPECT_THROW(engine.step(one), Error);
}

TEST(EngineDecode, AStepThatFailsLeavesEverySequenceAsItWas) {
  const testing::RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  testing::TestEngine engine_parts(model,
                                   {.threads = 2, .context_tokens = 512, .cache_tokens = 512, .chunk_tokens = 32});
  Engine& engine = engine_parts.engine;
  SequenceCache a, b;
  engine.append(a, random_ids(63, 97, 1));
  const int64_t free_before = engine.cache().free_tokens();
  const std::vector<int32_t> good = random_ids(5, 97, 2), bad = {1, 97};  // there is no id 97
  const StepInput inputs[] = {{&a, good}, {&b, bad}};
  EXPECT_THROW(engine.step(inputs), Error);
  EXPECT_EQ(a.length(), 63);
  EXPECT_EQ(b.length(), 0);
  EXPECT_EQ(engine.cache().free_tokens(), free_before);

  std::vector<int32_t> late = random_ids(70, 97, 3);
  late.back() = 97;
  SequenceCache c;
  EXPECT_THROW(engine.append(c, late), Error);
  EXPECT_EQ(c.length(), 64);
  const auto stop = [](int64_t) { throw_bad_input("enough"); };
  EXPECT_THROW(engine.append(a, random_ids(20, 97, 4), stop), Error);
  EXPECT_EQ(a.length(), 63);

  const std::vector<float> want = copy(engine.append(a, good));
  SequenceCache alone;
  engine.append(alone, random_ids(63, 97, 1));
  EXPECT_TRUE(testing::same_bits(engine.append(alone, good), want));
}

TEST(EngineDecode, ASequenceThatIsDroppedGivesItsBlocksBack) {
  const testing::RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  std::optional<SequenceCache> last;
  testing::TestEngine engine_parts(model, {.threads = 1, .context_tokens = 128, .cache_tokens = 256});
  Engine& engine = engine_parts.engine;
  for (int i = 0; i < 10; ++i) {
    SequenceCache dropped;
    engine.append(dropped, random_ids(100, 97, 1));
    last = std::move(dropped);
  }
  EXPECT_EQ(engine.cache().free_tokens(), 128);
  last.reset();
  EXPECT_EQ(engine.cache().free_tokens(), 256);
}

}  // namespace
}  // namespace fathom
