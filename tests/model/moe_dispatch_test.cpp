#include "model/moe/moe_dispatch.h"

#include <gtest/gtest.h>

#include "support/random_model.h"

namespace fathom {
namespace {

std::vector<float> normals(int64_t n, uint64_t stream) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(standard_normal(9, stream, i));
  return x;
}

double inner(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * b[i];
  return sum;
}

// 3 different experts of 7 for each of T tokens; expert 5 gets none.
std::vector<int32_t> some_experts(int64_t T) {
  std::vector<int32_t> experts;
  for (int64_t t = 0; t < T; ++t)
    for (int64_t k = 0; k < 3; ++k) {
      const auto e = static_cast<int32_t>((t * t + (t % 2 + 1) * k) % 6);
      experts.push_back(e == 5 ? 6 : e);
    }
  return experts;
}

TEST(MoeDispatch, ScatteringIsTheAdjointOfGatheringAndDroppedPairsHaveNoPart) {
  constexpr int64_t T = 23, K = 3, D = 17;
  std::vector<int32_t> experts = some_experts(T);
  std::vector<float> gates(T * K);
  std::vector<uint8_t> kept(T * K, 1), none;
  for (size_t i = 0; i < kept.size(); i += 4) kept[i] = 0;
  for (const std::vector<uint8_t>& mask : {none, kept}) {
    const Dispatch d = sort_by_expert({{experts.data(), T, K}, {gates.data(), T, K}}, 7, mask);
    const int64_t n = d.offsets.back();
    EXPECT_EQ(n, mask.empty() ? T * K : T * K - (T * K + 3) / 4);
    EXPECT_EQ(d.offsets[5], d.offsets[6]);
    for (int threads : {1, 3}) {
      ThreadPool pool(threads);
      Arena arena;
      Context ctx{pool, arena};
      const std::vector<float> x = normals(T * D, 1), r = normals(n * D, 2);
      std::vector<float> gathered(r.size()), scattered(x.size());
      gather_rows(ctx, d, {x.data(), T, D}, {gathered.data(), n, D});
      scatter_add_rows(ctx, d, {r.data(), n, D}, {scattered.data(), T, D});
      EXPECT_NEAR(inner(gathered, r), inner(x, scattered), 1e-5 * std::sqrt(inner(gathered, gathered) * inner(r, r)));
    }
  }
}

TEST(MoeDispatch, EveryKeptPairHasOneRowAmongThoseOfItsExpertInOrderOfTokens) {
  constexpr int64_t T = 23, K = 3;
  std::vector<int32_t> experts = some_experts(T);
  std::vector<float> gates(T * K);
  const Dispatch d = sort_by_expert({{experts.data(), T, K}, {gates.data(), T, K}}, 7, {});
  std::vector<int> seen(T * K);
  for (int64_t t = 0; t < T; ++t)
    for (int64_t k = 0; k < K; ++k) {
      const int32_t r = d.row[static_cast<size_t>(t * K + k)];
      const auto e = static_cast<size_t>(experts[static_cast<size_t>(t * K + k)]);
      EXPECT_EQ(d.token[static_cast<size_t>(r)], t);
      EXPECT_TRUE(r >= d.offsets[e] && r < d.offsets[e + 1]);
      EXPECT_TRUE(r == d.offsets[e] || t > d.token[static_cast<size_t>(r) - 1]);
      ++seen[static_cast<size_t>(r)];
    }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), T * K);
}

}  // namespace
}  // namespace fathom
