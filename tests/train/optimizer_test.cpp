#include "train/optimizer.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"
#include "support/random_model.h"

namespace fathom {
namespace {

// AdamW as its paper writes it, in double.
struct Reference {
  std::vector<double> p, m, v;
  void update(const std::vector<double>& g, const OptimizerConfig& c, double rate, double clip, int64_t t,
              const std::vector<bool>& decays) {
    for (size_t i = 0; i < p.size(); ++i) {
      const double gi = g[i] * clip;
      m[i] = c.beta1 * m[i] + (1 - c.beta1) * gi;
      v[i] = c.beta2 * v[i] + (1 - c.beta2) * gi * gi;
      const double m_hat = m[i] / (1 - std::pow(c.beta1, static_cast<double>(t))),
                   v_hat = v[i] / (1 - std::pow(c.beta2, static_cast<double>(t)));
      if (decays[i]) p[i] *= 1 - rate * c.weight_decay;
      p[i] -= rate * m_hat / (std::sqrt(v_hat) + c.epsilon);
    }
  }
};

TEST(AdamW, AgreesWithItsFormulaInDoubleAndWithAnyNumberOfThreads) {
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    Parameters parameters(testing::tiny_v2_config(), MatmulPrecision::bf16);
    parameters.initialise(pool, 3, 0.1);
    AdamW optimizer(parameters);
    const VecView<float> p = parameters.master(), g = parameters.gradients();
    Reference want{{p.begin(), p.end()},
                   std::vector<double>(static_cast<size_t>(p.size)),
                   std::vector<double>(static_cast<size_t>(p.size))};
    std::vector<bool> decays(static_cast<size_t>(p.size));
    for (const ParameterInfo& info : parameters.list())
      for (int64_t i = 0; i < info.size; ++i) decays[static_cast<size_t>(info.offset + i)] = info.shape.size() > 1;
    const OptimizerConfig config{.max_learning_rate = 1e-2};
    for (int64_t t = 1; t <= 5; ++t) {
      for (int64_t i = 0; i < g.size; ++i)
        g[i] = static_cast<float>(standard_normal(7, static_cast<uint64_t>(t), static_cast<uint64_t>(i)));
      for (const ParameterInfo& info : parameters.list())  // padding has no gradient
        for (int64_t i = info.offset + info.size; i < g.size && i % 16 != 0; ++i) g[i] = 0;
      const std::vector<double> gradient(g.begin(), g.end());
      want.update(gradient, config, 1e-2, 0.5, t, decays);
      optimizer.update(pool, parameters, config, {.rate = 1e-2, .clip = 0.5, .t = t});
      for (int64_t i = 0; i < g.size; ++i) ASSERT_EQ(g[i], 0);
    }
    for (int64_t i = 0; i < p.size; ++i)
      ASSERT_NEAR(p[i], want.p[static_cast<size_t>(i)], 1e-6 * (1 + std::abs(want.p[static_cast<size_t>(i)]))) << i;
    results.emplace_back(p.begin(), p.end());
    // The second copy follows the first.
    const Weight& head = parameters.weights().lm_head;
    EXPECT_EQ(reinterpret_cast<const uint16_t*>(head.data)[5], f32_to_bf16(p[parameters.list().back().offset + 5]));
  }
  EXPECT_TRUE(testing::same_bits(results[0], results[1]));
}

// Gradients that differ from step to step; the padding between tensors has none.
void fill_gradients(Parameters& parameters, uint64_t step) {
  for (const ParameterInfo& info : parameters.list())
    for (int64_t i = info.offset; i < info.offset + info.size; ++i)
      parameters.gradients()[i] = static_cast<float>(standard_normal(7, step, static_cast<uint64_t>(i)));
}

std::vector<float> copy_of(VecView<float> v) { return {v.begin(), v.end()}; }

TEST(AdamW, OptimisersOfTwoRangesAreOneBitForBit) {
  ThreadPool pool(2);
  Parameters whole(testing::tiny_v2_config(), MatmulPrecision::bf16),
      split(testing::tiny_v2_config(), MatmulPrecision::bf16);
  whole.initialise(pool, 3, 0.1);
  split.initialise(pool, 3, 0.1);
  AdamW one(whole);
  const int64_t n = whole.master().size, border = 3 * kSquaresPiece;  // inside of a tensor
  AdamW first(split, {0, border}), second(split, {border, n});
  EXPECT_EQ(first.first_moment().size + second.first_moment().size, n);
  for (int64_t t = 1; t <= 3; ++t) {
    fill_gradients(whole, static_cast<uint64_t>(t));
    fill_gradients(split, static_cast<uint64_t>(t));
    std::vector<double> squares = gradient_squares(pool, split.gradients().sub(0, border));
    const std::vector<double> more = gradient_squares(pool, split.gradients().sub(border, n - border));
    squares.insert(squares.end(), more.begin(), more.end());
    const double norm = gradient_norm(pool, whole.gradients());
    EXPECT_EQ(gradient_norm(squares), norm);
    const AdamW::Step step{.rate = 1e-2, .clip = 1 / norm, .t = t};
    one.update(pool, whole, {}, step);
    second.update(pool, split, {}, step);
    first.update(pool, split, {}, step);
  }
  EXPECT_TRUE(testing::same_bits(copy_of(whole.master()), copy_of(split.master())));
  EXPECT_TRUE(testing::same_bits(copy_of(whole.gradients()), copy_of(split.gradients())));
  std::vector<float> moments = copy_of(first.second_moment());
  moments.insert(moments.end(), second.second_moment().begin(), second.second_moment().end());
  EXPECT_TRUE(testing::same_bits(copy_of(one.second_moment()), moments));
  for (const ParameterInfo& p : whole.list()) {
    const Weight &a = p.weight, &b = split.named(p.name).weight;
    EXPECT_EQ(std::memcmp(a.data, b.data, static_cast<size_t>(a.rows * row_bytes(a.dtype, a.cols))), 0) << p.name;
  }
}

TEST(AdamW, TheGradientNormIsThatOfTheNumbersAndOfNoThreadCount) {
  std::vector<float> g(100003);
  double squares = 0;
  for (size_t i = 0; i < g.size(); ++i) {
    g[i] = static_cast<float>(standard_normal(1, 2, i));
    squares += double{g[i]} * g[i];
  }
  ThreadPool one(1), three(3);
  const double norm = gradient_norm(one, {g.data(), std::ssize(g)});
  EXPECT_NEAR(norm, std::sqrt(squares), 1e-9);
  EXPECT_EQ(norm, gradient_norm(three, {g.data(), std::ssize(g)}));
}

TEST(Parameters, InitialisationDependsOnSeedNameAndIndexAlone) {
  ThreadPool one(1), three(3);
  ModelConfig small = testing::tiny_v2_config(), deeper = small;
  deeper.num_hidden_layers = 5;
  Parameters a(small, MatmulPrecision::f32), b(deeper, MatmulPrecision::bf16);
  a.initialise(one, 5, 0.006);
  b.initialise(three, 5, 0.006);
  double squares = 0;
  int64_t n = 0;
  for (const ParameterInfo& p : a.list()) {
    const auto q =
        std::find_if(b.list().begin(), b.list().end(), [&](const ParameterInfo& x) { return x.name == p.name; });
    ASSERT_NE(q, b.list().end());
    for (int64_t i = 0; i < p.size; ++i) {
      ASSERT_EQ(a.master()[p.offset + i], b.master()[q->offset + i]) << p.name;
      if (!p.decays) {
        ASSERT_EQ(a.master()[p.offset + i], 1.0f);
        continue;
      }
      squares += double{a.master()[p.offset + i]} * a.master()[p.offset + i];
      ++n;
    }
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(n)), 0.006, 0.006 * 5 / std::sqrt(2.0 * static_cast<double>(n)));
}

}  // namespace
}  // namespace fathom
