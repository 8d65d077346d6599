// Linear operations and the ones that carry gradients back through them: <J x, y> = <x, J'y>, to rounding. No finite
// differences; catches a transposed or shifted packing at any size.
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "base/random.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/training_matmul.h"
#include "kernels/product_check.h"

namespace fathom {
namespace {

double inner(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}
double norm(std::span<const float> a) { return std::sqrt(inner(a, a)); }

// Bfloat16 numbers, so that MatmulPrecision::bf16 rounds no operand and the products are those of the real numbers.
std::vector<float> exact(int64_t n, uint64_t seed) {
  auto x = random_floats(n, seed);
  for (float& v : x) v = bf16_to_f32(f32_to_bf16(v));
  return x;
}

Weight weight_of(const std::vector<float>& w, int64_t rows, int64_t cols) {
  return {.dtype = DType::f32, .rows = rows, .cols = cols, .data = reinterpret_cast<const std::byte*>(w.data())};
}

TEST(Adjoint, RotationByTheOppositeAngles) {
  for (const auto rotate : {kernels().rope_interleaved, kernels().rope_half_split})
    for (const int64_t pairs : {1, 4, 7, 32}) {
      std::vector<float> c(static_cast<size_t>(pairs)), s(c), back(c);
      for (size_t i = 0; i < c.size(); ++i) {
        const double angle = standard_normal(1, 2, i);
        c[i] = static_cast<float>(1.3 * std::cos(angle));  // with an amplitude, as YaRN may have
        s[i] = static_cast<float>(1.3 * std::sin(angle));
        back[i] = -s[i];
      }
      const auto x = random_floats(2 * pairs, 3), y = random_floats(2 * pairs, 4);
      auto turned = x, returned = y;
      rotate(turned.data(), c.data(), s.data(), pairs);
      rotate(returned.data(), c.data(), back.data(), pairs);
      EXPECT_NE(turned, x);
      EXPECT_NEAR(inner(turned, y), inner(x, returned), 1e-6 * norm(x) * norm(y)) << pairs;
    }
}

// y = x W^T and its two gradients: <y, v> = <x, v W> = <W, v^T x>.
TEST(Adjoint, LinearItsInputAndItsWeightGradient) {
  ThreadPool pool(2);
  for (const MatmulPrecision p : kProducts)
    for (const auto& [T, N, K] : {std::array<int64_t, 3>{1, 1, 1}, {3, 17, 33}, {47, 133, 290}, {65, 31, 600}}) {
      SCOPED_TRACE(std::string(name(p)) + " T " + std::to_string(T));
      const auto x = exact(T * K, 1), v = exact(T * N, 2), values = exact(N * K, 3);
      const Weight w = weight_of(values, N, K);
      std::vector<float> y(v.size()), dx(x.size()), dw(values.size());
      linear(pool, p, mat(x, T, K), w, mat(y, T, N));
      linear_dinput(pool, p, mat(v, T, N), w, into(mat(dx, T, K)));
      linear_dweight(pool, p, mat(v, T, N), mat(x, T, K), mat(dw, N, K));
      const double want = inner(y, v), bound = 1e-5 * norm(y) * norm(v);
      EXPECT_NEAR(inner(x, dx), want, bound);
      EXPECT_NEAR(inner(values, dw), want, bound);
    }
}

TEST(Adjoint, GroupedLinearItsInputAndItsWeightGradients) {
  ThreadPool pool(2);
  const int64_t N = 48, K = 65;
  const std::vector<int64_t> offsets = {0, 3, 3, 41, 42, 80};
  const size_t E = offsets.size() - 1;
  const int64_t T = offsets.back(), size = N * K;
  for (const MatmulPrecision p : kProducts) {
    SCOPED_TRACE(name(p));
    const auto x = exact(T * K, 1), v = exact(T * N, 2), values = exact(std::ssize(offsets) * size, 3);
    std::vector<float> y(v.size()), dx(x.size()), dw(values.size());
    std::vector<Weight> weights;
    std::vector<MatView<float>> gradients;
    for (size_t e = 0; e < E; ++e) {
      const int64_t at = static_cast<int64_t>(e) * size;
      weights.push_back(
          {.dtype = DType::f32, .rows = N, .cols = K, .data = reinterpret_cast<const std::byte*>(values.data() + at)});
      gradients.emplace_back(dw.data() + at, N, K);
    }
    grouped_linear(pool, p, mat(x, T, K), offsets, weights, mat(y, T, N));
    grouped_linear_dinput(pool, p, mat(v, T, N), offsets, weights, into(mat(dx, T, K)));
    grouped_linear_dweight(pool, p, mat(v, T, N), mat(x, T, K), offsets, gradients);
    const double want = inner(y, v), bound = 1e-5 * norm(y) * norm(v);
    EXPECT_NEAR(inner(x, dx), want, bound);
    EXPECT_NEAR(inner(values, dw), want, bound);
  }
}

}  // namespace
}  // namespace fathom
