#include "kernels/rows/backward.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <functional>

#include "base/random.h"
#include "kernels/attention/attention_backward.h"
#include "kernels/attention/attention_forward.h"
#include "kernels/dispatch.h"
#include "kernels/ref/attention.h"
#include "kernels/ref/backward.h"
#include "kernels/ref/rmsnorm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/swiglu.h"

namespace fathom {
namespace {

using Vec = std::vector<double>;

Vec normals(int64_t n, uint64_t stream) {
  Vec x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = standard_normal(9, stream, i);
  return x;
}
std::vector<float> to_float(const Vec& x) { return {x.begin(), x.end()}; }
double inner(const Vec& a, const Vec& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The gradient of loss at x, coordinate by coordinate and along 20 random directions, against central differences.
// Rounding is about 1e-16 / h, the cut-off of the difference h^2 times the third derivative.
void expect_gradient(const std::function<double(const Vec&)>& loss, const Vec& x, const Vec& gradient,
                     double tolerance = 1e-6) {
  constexpr double h = 1e-5;
  double norm = 1e-12;
  for (double g : gradient) norm += g * g;
  norm = std::sqrt(norm);
  const auto difference = [&](const Vec& direction) {
    Vec plus = x, minus = x;
    for (size_t i = 0; i < x.size(); ++i) {
      plus[i] += h * direction[i];
      minus[i] -= h * direction[i];
    }
    return (loss(plus) - loss(minus)) / (2 * h);
  };
  for (uint64_t k = 0; k < 20; ++k) {
    const Vec d = normals(static_cast<int64_t>(x.size()), 1000 + k);
    ASSERT_NEAR(inner(gradient, d), difference(d), tolerance * norm * std::sqrt(inner(d, d))) << "direction " << k;
  }
  for (size_t i = 0; i < x.size(); i += 1 + x.size() / 30) {
    Vec unit(x.size());
    unit[i] = 1;
    ASSERT_NEAR(gradient[i], difference(unit), tolerance * norm) << "coordinate " << i;
  }
}

TEST(Backward, RmsnormDefinitionAgreesWithCentralDifferences) {
  for (const int64_t n : {1, 2, 7, 31}) {
    const Vec x = normals(n, 1), w = normals(n, 2), dy = normals(n, 3);
    Vec dx(x.size()), dw(x.size());
    ref::rmsnorm_backward(x.data(), w.data(), 1e-6, dy.data(), n, dx.data(), dw.data());
    const auto loss = [&](const Vec& x_, const Vec& w_) {
      Vec y(x_.size());
      ref::rmsnorm(x_.data(), w_.data(), 1e-6, n, y.data());
      return inner(y, dy);
    };
    expect_gradient([&](const Vec& v) { return loss(v, w); }, x, dx,
                    n == 1 ? 1e-4 : 1e-6);  // n = 1: the output hardly depends on x, dx is all cancellation
    expect_gradient([&](const Vec& v) { return loss(x, v); }, w, dw);
  }
}

TEST(Backward, SwigluDefinitionAgreesWithCentralDifferences) {
  const Vec g = normals(40, 1), u = normals(40, 2), dy = normals(40, 3);
  Vec dg(40), du(40);
  ref::swiglu_backward(g.data(), u.data(), dy.data(), 40, dg.data(), du.data());
  const auto loss = [&](const Vec& g_, const Vec& u_) {
    Vec y(40);
    ref::swiglu(g_.data(), u_.data(), 40, y.data());
    return inner(y, dy);
  };
  expect_gradient([&](const Vec& v) { return loss(v, u); }, g, dg);
  expect_gradient([&](const Vec& v) { return loss(g, v); }, u, du);
}

TEST(Backward, SoftmaxAndCrossEntropyDefinitionsAgreeWithCentralDifferences) {
  for (const int64_t n : {1, 2, 13}) {
    const Vec x = normals(n, 1), dp = normals(n, 2);
    Vec p = x, dx(x.size());
    ref::softmax(p.data(), n);
    ref::softmax_backward(p.data(), dp.data(), n, dx.data());
    expect_gradient(
        [&](const Vec& v) {
          Vec q = v;
          ref::softmax(q.data(), n);
          return inner(q, dp);
        },
        x, dx);
    Vec gradient = x;
    ref::cross_entropy(gradient.data(), n / 2, 0.7, n);
    expect_gradient(
        [&](const Vec& v) {
          Vec logits = v;
          return 0.7 * ref::cross_entropy(logits.data(), n / 2, 0.7, n);
        },
        x, gradient);
  }
}

TEST(Backward, AttentionDefinitionAgreesWithCentralDifferences) {
  using Sizes = std::array<int64_t, 3>;
  for (const Sizes& sizes : {Sizes{1, 3, 2}, Sizes{5, 4, 3}, Sizes{9, 1, 1}}) {
    const int64_t n = sizes[0], d = sizes[1], dv = sizes[2];
    const Vec q = normals(n * d, 1), k = normals(n * d, 2), v = normals(n * dv, 3), d_o = normals(n * dv, 4);
    const auto forward = [&](const Vec& q_, const Vec& k_, const Vec& v_, Vec& o, Vec& lse) {
      o.resize(static_cast<size_t>(n * dv));
      lse.resize(static_cast<size_t>(n));
      ref::attention<double>({q_.data(), n, d}, {k_.data(), n, d}, {v_.data(), n, dv}, 0.6, {o.data(), n, dv},
                             lse.data());
      return inner(o, d_o);
    };
    Vec o, lse, dq(q.size()), dk(k.size()), dval(v.size());
    forward(q, k, v, o, lse);
    ref::attention_backward<double>({q.data(), n, d}, {k.data(), n, d}, {v.data(), n, dv}, 0.6, {o.data(), n, dv},
                                    lse.data(), {d_o.data(), n, dv}, {dq.data(), n, d}, {dk.data(), n, d},
                                    {dval.data(), n, dv});
    Vec o2, lse2;
    expect_gradient([&](const Vec& x) { return forward(x, k, v, o2, lse2); }, q, dq);
    expect_gradient([&](const Vec& x) { return forward(q, x, v, o2, lse2); }, k, dk);
    expect_gradient([&](const Vec& x) { return forward(q, k, x, o2, lse2); }, v, dval);
  }
}

TEST(Backward, RotationByTheOppositeAnglesIsTheAdjoint) {
  const Vec x = normals(24, 1), y = normals(24, 2), angles = normals(12, 3);
  Vec c(12), s(12), minus_s(12);
  for (size_t i = 0; i < 12; ++i) {
    c[i] = 1.3 * std::cos(angles[i]);  // with an amplitude
    s[i] = 1.3 * std::sin(angles[i]);
    minus_s[i] = -s[i];
  }
  for (const auto rope : {ref::rope_interleaved<double>, ref::rope_half_split<double>}) {
    Vec forward = x, back = y;
    rope(forward.data(), c.data(), s.data(), 12);
    rope(back.data(), c.data(), minus_s.data(), 12);
    EXPECT_NEAR(inner(forward, y), inner(x, back), 1e-13);
  }
}

// ---- fast against definition ----

double largest_error(std::span<const float> got, const Vec& want) {
  double error = 0, size = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    error = std::max(error, std::abs(got[i] - want[i]));
    size = std::max(size, std::abs(want[i]));
  }
  return error / size;
}

TEST(Backward, RowOpsAgreeWithTheirDefinitions) {
  constexpr int64_t T = 9, D = 300;
  const Vec x = normals(T * D, 1), w = normals(D, 2), dy = normals(T * D, 3), up = normals(T * D, 4);
  const auto xf = to_float(x), wf = to_float(w), dyf = to_float(dy), upf = to_float(up);
  Vec dx(x.size()), dw(w.size(), 0.5), dg(x.size()), du(x.size());
  for (int64_t t = 0; t < T; ++t) {
    ref::rmsnorm_backward(x.data() + t * D, w.data(), 1e-6, dy.data() + t * D, D, dx.data() + t * D, dw.data());
    ref::swiglu_backward(x.data() + t * D, up.data() + t * D, dy.data() + t * D, D, dg.data() + t * D,
                         du.data() + t * D);
  }
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<float> got(x.size()), got2(x.size()), gw(w.size(), 0.5f);
    rmsnorm_backward(pool, {xf.data(), T, D}, {wf.data(), D}, 1e-6f, {dyf.data(), T, D}, into({got.data(), T, D}),
                     {gw.data(), D});
    EXPECT_LE(largest_error(got, dx), 1e-5);  // a few roundings and sums of 300 terms
    EXPECT_LE(largest_error(gw, dw), 1e-5);
    rmsnorm_backward(pool, {xf.data(), T, D}, {wf.data(), D}, 1e-6f, {dyf.data(), T, D}, added_to({got.data(), T, D}),
                     {gw.data(), D});
    Vec twice = dx;
    for (double& v : twice) v *= 2;
    EXPECT_LE(largest_error(got, twice), 1e-5);
    swiglu_backward(pool, {xf.data(), T, D}, {upf.data(), T, D}, {dyf.data(), T, D}, {got.data(), T, D},
                    {got2.data(), T, D});
    EXPECT_LE(largest_error(got, dg), 2e-6);
    EXPECT_LE(largest_error(got2, du), 2e-6);
  }
}

TEST(Backward, CrossEntropyAgreesAndARowWithoutTargetCountsForNothing) {
  constexpr int64_t T = 4, V = 1000;
  const Vec x = normals(T * V, 1);
  auto logits = to_float(x);
  const std::vector<int32_t> targets = {0, 999, -1, 500};
  std::vector<double> losses(T);
  ThreadPool pool(2);
  cross_entropy_backward(pool, {logits.data(), T, V}, targets, {}, 0.25f, losses);
  for (int64_t t = 0; t < T; ++t) {
    Vec row(x.begin() + t * V, x.begin() + (t + 1) * V);
    if (targets[static_cast<size_t>(t)] < 0) {
      EXPECT_EQ(losses[static_cast<size_t>(t)], 0);
      for (int64_t i = 0; i < V; ++i) EXPECT_EQ(logits[static_cast<size_t>(t * V + i)], 0);
      continue;
    }
    EXPECT_NEAR(ref::cross_entropy(row.data(), targets[static_cast<size_t>(t)], 0.25, V),
                losses[static_cast<size_t>(t)], 1e-5);
    EXPECT_LE(largest_error({logits.data() + t * V, V}, row), 2e-6);
  }
}

TEST(Backward, AWeightOfATokenScalesItsSlopeAndNotItsLoss) {
  constexpr int64_t T = 4, V = 300;
  const auto x = to_float(normals(T * V, 1));
  const std::vector<int32_t> targets = {0, 299, -1, 5};
  const std::vector<float> weights = {0.5f, -3.0f, 2.0f, 0.0f}, ones(T, 1.0f);
  ThreadPool pool(2);
  const auto run = [&](std::span<const float> w, float scale) {
    auto logits = x;
    std::vector<double> losses(T);
    cross_entropy_backward(pool, {logits.data(), T, V}, targets, w, scale, losses);
    return std::pair(logits, losses);
  };
  const auto plain = run({}, 0.25f), weighted = run(weights, 0.25f);
  EXPECT_EQ(run(ones, 0.25f), plain);
  EXPECT_EQ(weighted.second, plain.second);
  for (size_t t = 0; t < T; ++t) {
    const auto alone = run({}, 0.25f * weights[t]);
    for (size_t i = t * V; i < (t + 1) * V; ++i) ASSERT_EQ(weighted.first[i], alone.first[i]) << t;
  }
}

TEST(Backward, AGradientOfTheGainThatIsNotWantedChangesNoOther) {
  constexpr int64_t T = 5, D = 40;
  const auto x = to_float(normals(T * D, 1)), w = to_float(normals(D, 2)), dy = to_float(normals(T * D, 3));
  std::vector<float> with(x.size()), without(x.size()), dw(w.size());
  ThreadPool pool(2);
  rmsnorm_backward(pool, {x.data(), T, D}, {w.data(), D}, 1e-6f, {dy.data(), T, D}, into({with.data(), T, D}),
                   {dw.data(), D});
  rmsnorm_backward(pool, {x.data(), T, D}, {w.data(), D}, 1e-6f, {dy.data(), T, D}, into({without.data(), T, D}), {});
  EXPECT_EQ(with, without);
}

TEST(Backward, AttentionAgreesWithItsDefinitionAcrossBlocks) {
  for (const auto& [n, heads, per_kv, N, R, V] :
       {std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t>{150, 2, 1, 12, 4, 10},
        {64, 4, 2, 8, 0, 8},
        {1, 1, 1, 3, 1, 2},
        {65, 3, 3, 5, 0, 7}}) {
    const int64_t d = N + R, G = heads / per_kv;
    const Vec q = normals(n * heads * d, 1), key = normals(n * G * N, 2), shared = normals(n * R, 3),
              value = normals(n * G * V, 4), d_o = normals(n * heads * V, 5);
    const double scale = 1 / std::sqrt(static_cast<double>(d));
    Vec dq(q.size()), dkey(key.size()), dvalue(value.size()), dshared(static_cast<size_t>(n * heads * R)),
        o(d_o.size());
    std::vector<AttentionState> states(static_cast<size_t>(n * heads));
    for (int64_t h = 0; h < heads; ++h) {
      Vec k(static_cast<size_t>(n * d)), lse(static_cast<size_t>(n)), dk(k.size());
      for (int64_t t = 0; t < n; ++t) {
        for (int64_t i = 0; i < N; ++i)
          k[static_cast<size_t>(t * d + i)] = key[static_cast<size_t>((t * G + h / per_kv) * N + i)];
        for (int64_t i = 0; i < R; ++i) k[static_cast<size_t>(t * d + N + i)] = shared[static_cast<size_t>(t * R + i)];
      }
      const MatView<const double> qh(q.data() + h * d, n, d, heads * d), kh(k.data(), n, d),
          vh(value.data() + h / per_kv * V, n, V, G * V);
      const MatView<double> oh(o.data() + h * V, n, V, heads * V);
      ref::attention<double>(qh, kh, vh, scale, oh, lse.data());
      ref::attention_backward<double>(qh, kh, vh, scale, oh, lse.data(), {d_o.data() + h * V, n, V, heads * V},
                                      {dq.data() + h * d, n, d, heads * d}, {dk.data(), n, d},
                                      {dvalue.data() + h / per_kv * V, n, V, G * V});
      for (int64_t t = 0; t < n; ++t) {
        states[static_cast<size_t>(t * heads + h)] = {.max = static_cast<float>(lse[static_cast<size_t>(t)]), .sum = 1};
        for (int64_t i = 0; i < N; ++i)
          dkey[static_cast<size_t>((t * G + h / per_kv) * N + i)] += dk[static_cast<size_t>(t * d + i)];
        for (int64_t i = 0; i < R; ++i)
          dshared[static_cast<size_t>((t * heads + h) * R + i)] = dk[static_cast<size_t>(t * d + N + i)];
      }
    }
    const auto qf = to_float(q), kf = to_float(key), sf = to_float(shared), vf = to_float(value), of = to_float(o),
               dof = to_float(d_o);
    for (const MatmulPrecision products : {MatmulPrecision::f32, MatmulPrecision::bf16}) {
      std::vector<float> got(of.size());
      std::vector<AttentionState> got_states(states.size());
      ThreadPool two(2);
      Arena scratch;
      const HeadLayout layout = {heads, per_kv, N, N, V, V};
      const AttentionForward forward = {.layout = layout,
                                        .scale = static_cast<float>(scale),
                                        .q = {qf.data(), n, heads * d},
                                        .key = {kf.data(), n, G * N},
                                        .shared_key = {sf.data(), n, R},
                                        .value = {vf.data(), n, G * V},
                                        .o = {got.data(), n, heads * V},
                                        .states = got_states.data()};
      attention_forward(two, scratch, products, {&forward, 1});
      // bfloat16 operands: scores move by about 2^-8 of a few units, probabilities and values by 2^-9 each.
      EXPECT_LE(largest_error(got, o), products == MatmulPrecision::f32 ? 1e-5 : 0.03);
      for (size_t i = 0; i < states.size(); ++i)
        EXPECT_NEAR(got_states[i].max + std::log(got_states[i].sum), states[i].max,
                    products == MatmulPrecision::f32 ? 1e-4 : 0.05);
    }
    std::vector<float> gq(q.size()), gk(key.size()), gv(value.size()), gs(dshared.size());
    ThreadPool pool(2);
    Arena arena;
    const AttentionGradient gradient = {.layout = {heads, per_kv, N, N, V, V},
                                        .scale = static_cast<float>(scale),
                                        .q = {qf.data(), n, heads * d},
                                        .o = {of.data(), n, heads * V},
                                        .d_o = {dof.data(), n, heads * V},
                                        .key = {kf.data(), n, G * N},
                                        .shared_key = {sf.data(), n, R},
                                        .value = {vf.data(), n, G * V},
                                        .states = states.data(),
                                        .dq = {gq.data(), n, heads * d},
                                        .dkey = {gk.data(), n, G * N},
                                        .dvalue = {gv.data(), n, G * V},
                                        .dshared = {gs.data(), n, heads * R}};
    attention_backward(pool, arena, MatmulPrecision::f32, {&gradient, 1});
    EXPECT_LE(largest_error(gv, dvalue), 1e-5);
    if (n == 1) continue;  // one token: its probability is 1 whatever the scores, the other gradients are zero
    EXPECT_LE(largest_error(gq, dq), 1e-5);
    EXPECT_LE(largest_error(gk, dkey), 1e-5);
    if (R > 0) {
      EXPECT_LE(largest_error(gs, dshared), 1e-5);
    }
  }
}

TEST(Backward, EmbeddingAddsRowsInOrder) {
  const auto dy = to_float(normals(5 * 40, 1));
  std::vector<float> table(3 * 40, 1.0f);
  ThreadPool pool(2);
  embedding_backward(pool, std::vector<int32_t>{2, 0, 2, 2, 0}, {dy.data(), 5, 40}, {table.data(), 3, 40});
  for (size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(table[i], (1.0f + dy[40 + i]) + dy[160 + i]);
    EXPECT_EQ(table[40 + i], 1.0f);
    EXPECT_EQ(table[80 + i], ((1.0f + dy[i]) + dy[80 + i]) + dy[120 + i]);
  }
}

}  // namespace
}  // namespace fathom
