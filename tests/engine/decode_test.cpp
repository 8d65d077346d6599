#include <gtest/gtest.h>

#include "base/error.h"
#include "engine/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using testing::model_of;
using testing::random_ids;

testing::RandomModel quantised_model() {
  testing::RandomModel model(testing::panel_v2_config(), 3);
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
    const Arithmetic arithmetic = packed ? Arithmetic::fast : Arithmetic::exact;
    const Model model = model_of(random);
    for (const int threads : {1, 3}) {
      Engine together(model,
                      {.threads = threads, .context_tokens = 256, .cache_tokens = 4096, .arithmetic = arithmetic});
      Engine alone(model, {.threads = 1, .context_tokens = 256, .arithmetic = arithmetic});
      std::vector<SequenceCache> sequences(kDepths.size());
      std::vector<std::vector<int32_t>> prompts, ids;
      std::vector<StepInput> inputs;
      for (size_t i = 0; i < kDepths.size(); ++i) {
        prompts.push_back(random_ids(kDepths[i], 97, i));
        ids.push_back(random_ids(kNew[i], 97, 100 + i));
        if (kDepths[i] > 0) together.feed(sequences[i], prompts[i]);
      }
      for (size_t i = 0; i < kDepths.size(); ++i) inputs.push_back({&sequences[i], ids[i]});
      for (int step = 0; step < 3; ++step) {
        const MatView<const float> logits = together.decode(inputs);
        ASSERT_EQ(logits.rows, std::ssize(kDepths));
        std::vector<float> got(logits.data, logits.data + logits.rows * logits.cols);
        for (size_t i = 0; i < kDepths.size(); ++i) {
          SequenceCache own;
          if (kDepths[i] > 0) alone.feed(own, prompts[i]);
          std::vector<float> want;
          for (int s = 0; s <= step; ++s) want = copy(alone.feed(own, ids[i]));
          alone.cache().truncate(own, 0);
          ASSERT_EQ(together.packed_bytes() > 0, packed);
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
  Engine engine(model, {.threads = 2, .context_tokens = 256, .cache_tokens = 1024});
  const std::vector<int32_t> prompt = random_ids(40, 97, 1), id = random_ids(1, 97, 2);
  SequenceCache a, b, c;
  engine.feed(a, prompt);
  engine.feed(c, prompt);
  const std::vector<float> want = copy(engine.feed(c, id));
  const StepInput inputs[] = {{&a, id}, {&b, prompt}};
  const MatView<const float> logits = engine.decode(inputs);
  EXPECT_TRUE(testing::same_bits({logits.row(0), 97}, want));
  EXPECT_EQ(a.length, 41);
  EXPECT_EQ(b.length, 40);
}

TEST(EngineDecode, SequencesThatDoNotFitAreRefusedBeforeAnyHasChanged) {
  const testing::RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  Engine engine(model, {.threads = 1, .context_tokens = 128, .cache_tokens = 192});
  const std::vector<int32_t> ids = random_ids(65, 97, 1);
  SequenceCache a, b;
  const StepInput inputs[] = {{&a, ids}, {&b, ids}};  // four blocks of the three there are
  EXPECT_THROW(engine.decode(inputs), Error);
  EXPECT_EQ(a.length, 0);
  EXPECT_EQ(b.length, 0);
  EXPECT_EQ(engine.cache().free_tokens(), 192);
  const std::vector<int32_t> too_long = random_ids(129, 97, 1);
  const StepInput one[] = {{&a, too_long}};  // beyond the context of a sequence
  EXPECT_THROW(engine.decode(one), Error);
}

}  // namespace
}  // namespace fathom
