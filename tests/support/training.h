// Steps of small models in memory: the fast network's, and the choices it made, for the reference network.
#pragma once
#include <functional>

#include "model/attention/gqa.h"
#include "model/attention/mla.h"
#include "model/moe/balance.h"
#include "model/moe/mlp.h"
#include "model/training/training_step.h"
#include "support/random_model.h"
#include "support/reference_network.h"

namespace fathom::testing {

// Two training sequences of 13 rows, the first of two documents; two rows have no target.
inline TrainingBatch make_batch(const ModelConfig& c, uint64_t seed) {
  TrainingBatch b;
  for (const int64_t n : {7, 6, 13})
    b.batch.add_whole(random_ids(n, c.vocab_size, seed + static_cast<uint64_t>(n)), n == 6 ? 7 : 0);
  b.targets = random_ids(26, c.vocab_size, seed + 99);
  b.targets[6] = b.targets[25] = -1;
  b.sequences = {{.first = 0, .n = 13, .id = 11}, {.first = 13, .n = 13, .id = 12}};
  return b;
}

inline StepOptions make_options() {
  StepOptions o;
  o.balance = {.expert_alpha = 0.3, .device_alpha = 0.5, .communication_alpha = 0.2, .n_devices = 4, .max_devices = 2};
  o.token_weight = 1.0 / 24;
  o.sequence_weight = 0.5;
  o.loss_chunk = 10;
  return o;
}

struct StepRun {
  StepReport report;
  Buffer<float> gradients;

  std::span<const float> all() const { return {gradients.data(), static_cast<size_t>(gradients.size())}; }
};

// Every tensor's gradient at its place among the parameters; of those whose names `frozen` is true for, none.
using Frozen = std::function<bool(const std::string&)>;
inline Gradients gradients_in(const RandomModel& m, VecView<float> buffer, const Frozen& frozen = nullptr) {
  Gradients gradients;
  ModelWeights tree = m.weights;
  for_each_tensor(tree, m.config, [&](const std::string& name, const Weight& w, const Shape&) {
    const int64_t at = reinterpret_cast<const float*>(w.data) - m.parameters().data;
    const bool is_frozen = frozen != nullptr && frozen(name);
    gradients.set(w, is_frozen ? MatView<float>() : MatView<float>(buffer.data + at, w.rows, w.cols));
  });
  return gradients;
}

// Adds the gradients of `b` to those of `r`, and the loss sums to its report.
inline void add_step(const RandomModel& m, const TrainingBatch& b, const StepOptions& o, StepRun& r, int threads = 1,
                     MatmulPrecision products = MatmulPrecision::f32, const Frozen& frozen = nullptr) {
  ThreadPool pool(threads);
  Arena arena;
  const Gradients gradients = gradients_in(m, r.gradients.vec(), frozen);
  const Context ctx{.pool = pool, .arena = arena, .numerics = Numerics::training(products), .gradients = &gradients};
  r.report += forward_and_backward(ctx, m.network, b, o);
}

inline StepRun run_step(const RandomModel& m, const TrainingBatch& b, const StepOptions& o, int threads = 1,
                        MatmulPrecision products = MatmulPrecision::f32, const Frozen& frozen = nullptr) {
  StepRun r{{}, Buffer<float>(m.parameters().size)};
  add_step(m, b, o, r, threads, products, frozen);
  return r;
}

// The gradient of one tensor of a step.
std::span<const float> gradient_of(const RandomModel& m, StepRun&& r,
                                   const std::string& tensor) = delete;  // it would dangle
inline std::span<const float> gradient_of(const RandomModel& m, const StepRun& r, const std::string& tensor) {
  ModelWeights tree = m.weights;
  std::span<const float> found;
  size_t at = 0;
  for_each_tensor(tree, m.config, [&](const std::string& name, Weight& w, const Shape&) {
    const auto n = static_cast<size_t>(w.rows * w.cols);
    if (name == tensor) found = r.all().subspan(at, n);
    at += n;
  });
  check(!found.empty(), "a tensor of the model");
  return found;
}

// The fast network's choices, read by running its layers with room to save.
inline std::vector<ReferenceNetwork::Choice> choices_of(const RandomModel& m, const TrainingBatch& b,
                                                        const StepOptions& o) {
  std::vector<ReferenceNetwork::Choice> all;
  ThreadPool pool(1);
  Arena arena;
  Context ctx{pool, arena};
  const Step step{ctx, m.network, b.batch, rotary_rows(ctx, m.network, b.batch)};
  const int64_t T = b.batch.rows(), D = m.config.hidden_size, K = m.config.num_experts_per_tok;
  auto x = scratch(ctx, T, D);
  for (int64_t t = 0; t < T; ++t)
    std::copy_n(reinterpret_cast<const float*>(m.weights.embed_tokens.row(b.batch.tokens[static_cast<size_t>(t)])), D,
                x.row(t));
  const MoeTraining training{&o.balance, b.sequences, 0};
  for (int64_t i = 0; i < m.config.num_hidden_layers; ++i) {
    LayerSaved s;
    s.x_mid = scratch(ctx, T, D);
    s.attention = m.config.uses_mla() ? allocate_mla_saved(ctx, m.config, T) : allocate_gqa_saved(ctx, m.config, T);
    if (m.config.layer_is_moe(i)) {
      allocate_routing(ctx, m.config, T, s.moe);
      allocate_moe_saved(ctx, m.config, T, s.moe);
    } else {
      s.mlp = allocate_mlp_saved(ctx, T, m.config.intermediate_size);
    }
    const LayerTraining layer{s, training};
    layer_forward(step, i, x, &layer);
    if (!m.config.layer_is_moe(i)) continue;
    ReferenceNetwork::Choice c;
    for (int64_t t = 0; t < T; ++t)
      for (int64_t k = 0; k < K; ++k) {
        c.experts.push_back(s.moe.routing.experts(t, k));
        c.kept.push_back(s.moe.dispatch.row[static_cast<size_t>(t * K + k)] >= 0);
      }
    all.push_back(c);
  }
  return all;
}

// The gradient of every tensor along a random direction, against the central difference of the reference objective in
// double. The difference is exact to about 1e-8 of the objective's curvature; the gradient is float32, summed over a
// few hundred terms. Relative to the norms of gradient and direction. `loss` must be what o.loss says.
inline void expect_gradients(const std::string& name, const RandomModel& m, const TrainingBatch& b,
                             const StepOptions& o, double tolerance, const ReferenceNetwork::RowLoss& loss = nullptr) {
  const StepRun fast = run_step(m, b, o);
  const auto choices = choices_of(m, b, o);
  const VecView<float> p = m.parameters();
  const Vec at(p.begin(), p.end());
  double whole = 0;
  for (float g : fast.gradients.vec()) whole += double{g} * g;
  ModelWeights tree = m.weights;
  size_t offset = 0;
  for_each_tensor(tree, m.config, [&](const std::string& tensor, Weight& w, const Shape&) {
    const auto n = static_cast<size_t>(w.rows * w.cols);
    double slope = 0, norm = 0;
    Vec plus = at, minus = at;
    constexpr double h = 1e-5;
    for (size_t i = 0; i < n; ++i) {
      const double d = standard_normal(42, offset, i) / std::sqrt(static_cast<double>(n)),
                   g = fast.gradients[static_cast<int64_t>(offset + i)];
      plus[offset + i] += h * d;
      minus[offset + i] -= h * d;
      slope += g * d;
      norm += g * g;
    }
    const double want = (ReferenceNetwork(m.config, tree, plus).objective(b, o, choices, loss) -
                         ReferenceNetwork(m.config, tree, minus).objective(b, o, choices, loss)) /
                        (2 * h);
    // An expert that nobody chose has no gradient at all.
    EXPECT_NEAR(slope, want, tolerance * (std::sqrt(norm) + 1e-3 * std::sqrt(whole))) << name << ": " << tensor;
    offset += n;
  });
}

}  // namespace fathom::testing
