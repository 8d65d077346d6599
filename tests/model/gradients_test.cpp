#include "model/gradients.h"

#include <gtest/gtest.h>

#include "support/training.h"

namespace fathom {
namespace {

using testing::Frozen;
using testing::make_batch;
using testing::make_options;
using testing::RandomModel;
using testing::run_step;
using testing::StepRun;

bool has(const std::string& name, std::string_view part) { return name.find(part) != std::string::npos; }

std::vector<std::pair<std::string, Frozen>> ways_to_freeze() {
  return {{"nothing", [](const std::string&) { return false; }},
          {"everything", [](const std::string&) { return true; }},
          {"norms", [](const std::string& n) { return has(n, "norm"); }},
          {"embedding", [](const std::string& n) { return has(n, "embed_tokens"); }},
          {"head", [](const std::string& n) { return has(n, "lm_head"); }},
          {"routers", [](const std::string& n) { return has(n, ".mlp.gate.weight"); }},
          {"attention", [](const std::string& n) { return has(n, "self_attn"); }},
          {"all but attention", [](const std::string& n) { return !has(n, "self_attn"); }},
          {"some experts", [](const std::string& n) { return has(n, "experts.1.") || has(n, "experts.6.up"); }},
          {"the lower layers", [](const std::string& n) { return !has(n, "layers.2.") && !has(n, "lm_head"); }}};
}

TEST(Gradients, WhatIsFrozenIsNotComputedAndAllElseHasTheSameBits) {
  ModelConfig tied = testing::tiny_llama_config();
  tied.tie_word_embeddings = true;
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config(), tied}) {
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    for (const MatmulPrecision products : {MatmulPrecision::f32, MatmulPrecision::bf16}) {
      const StepRun all = run_step(m, b, make_options(), 1, products);
      for (const auto& [what, frozen] : ways_to_freeze()) {
        const StepRun some = run_step(m, b, make_options(), 2, products, frozen);
        EXPECT_EQ(some.report.loss_sum, all.report.loss_sum);
        ModelWeights tree = m.weights;
        for_each_tensor(tree, c, [&, &what = what, &frozen = frozen](const std::string& name, Weight&, const Shape&) {
          const auto got = gradient_of(m, some, name);
          const std::vector<float> zeros(got.size());
          EXPECT_TRUE(testing::same_bits(got, frozen(name) ? zeros : gradient_of(m, all, name)))
              << what << ": " << name;
        });
      }
    }
  }
}

TEST(Gradients, AWeightIsFoundByItsBytesAndOneWithoutEntryIsAMistake) {
  const RandomModel m(testing::tiny_llama_config());
  Buffer<float> one(m.weights.norm.cols), other(m.weights.lm_head.rows * m.weights.lm_head.cols);
  Gradients gradients;
  gradients.set(m.weights.norm, one.mat(1, one.size()));
  gradients.set(m.weights.lm_head, other.mat(m.weights.lm_head.rows, m.weights.lm_head.cols));
  gradients.set(m.weights.embed_tokens, {});
  EXPECT_EQ(gradients.vector_of(m.weights.norm).data, one.data());
  EXPECT_EQ(gradients.of(m.weights.lm_head).data, other.data());
  EXPECT_TRUE(gradients.of(m.weights.embed_tokens).empty());
  EXPECT_TRUE(gradients.vector_of(m.weights.embed_tokens).empty());
  EXPECT_DEATH(gradients.of(m.weights.layers[0].input_layernorm), "one of the parameters");
}

}  // namespace
}  // namespace fathom
