#include "kernels/attention/attention.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/random.h"
#include "kernels/dispatch.h"
#include "kernels/ref/softmax.h"

namespace fathom {
namespace {

constexpr double kEps = 0x1p-24;  // half a unit in the last place of 1

struct Case {
  int64_t n_heads, key_dim, shared_dim, value_dim, n_positions, position, tile;
};

std::vector<float> normals(int64_t n, uint64_t stream) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(standard_normal(3, stream, i));
  return x;
}

// The definition in double, and how far float32 may be from it: an error d in every score changes each probability by
// at most a factor e^(2d), so the output by about 2 d max|v|; the sum of products over n positions adds n eps max|v|.
struct Exact {
  std::vector<double> output;
  double bound;
};

Exact exact_attention(const Case& c, const float* q, const float* key, const float* shared, const float* value,
                      double scale) {
  const int64_t n = std::min(c.n_positions, c.position + 1);
  std::vector<double> p(static_cast<size_t>(n));
  double score_error = 0, largest_value = 0;
  for (int64_t j = 0; j < n; ++j) {
    double magnitude = 0;
    const auto add = [&](double a, double b) {
      p[static_cast<size_t>(j)] += a * b;
      magnitude += std::abs(a * b);
    };
    for (int64_t i = 0; i < c.key_dim; ++i) add(q[i], key[j * c.key_dim + i]);
    for (int64_t i = 0; i < c.shared_dim; ++i) add(q[c.key_dim + i], shared[j * c.shared_dim + i]);
    p[static_cast<size_t>(j)] *= scale;
    const double terms = static_cast<double>(c.key_dim + c.shared_dim + 2);
    score_error =
        std::max(score_error, terms * kEps * magnitude * scale + std::abs(p[static_cast<size_t>(j)]) * 4 * kEps);
  }
  ref::softmax(p.data(), n);
  Exact e{std::vector<double>(static_cast<size_t>(c.value_dim)), 0};
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t i = 0; i < c.value_dim; ++i) {
      e.output[static_cast<size_t>(i)] += p[static_cast<size_t>(j)] * value[j * c.value_dim + i];
      largest_value = std::max(largest_value, std::abs(static_cast<double>(value[j * c.value_dim + i])));
    }
  }
  e.bound = (2 * score_error + static_cast<double>(n + 16) * kEps) * largest_value;
  return e;
}

std::vector<float> tiled_attention(const KernelTable& k, const Case& c, const std::vector<float>& q,
                                   const std::vector<float>& key, const std::vector<float>& shared,
                                   const std::vector<float>& value, float scale) {
  std::vector<AttentionState> states(static_cast<size_t>(c.n_heads));
  std::vector<float> out(static_cast<size_t>(c.n_heads * c.value_dim)), scratch(kAttentionScratch);
  for (int64_t p = 0; p < c.n_positions; p += c.tile) {
    const int64_t n = std::min(c.tile, c.n_positions - p);
    const KeyTile tile{.first_position = p,
                       .key = {key.data() + p * c.key_dim, n, c.key_dim},
                       .shared_key = {shared.data() + p * c.shared_dim, n, c.shared_dim},
                       .value = {value.data() + p * c.value_dim, n, c.value_dim}};
    const QueryBlock block{.queries = {q.data(), c.n_heads, c.key_dim + c.shared_dim},
                           .position = c.position,
                           .states = states.data(),
                           .values = {out.data(), c.n_heads, c.value_dim}};
    attend_tile(k, tile, block, scale, scratch.data());
  }
  finish_attention(k, states.data(), {out.data(), c.n_heads, c.value_dim});
  return out;
}

TEST(Attention, EveryInstructionSetAndTilingStaysWithinTheBoundOfTheDefinition) {
  for (const Case& c :
       {Case{1, 8, 0, 8, 1, 0, 64}, Case{8, 12, 8, 10, 300, 299, 64}, Case{5, 128, 64, 128, 513, 400, 256},
        Case{8, 576, 0, 512, 130, 129, 64}, Case{3, 7, 3, 5, 100, 41, 16}, Case{1, 33, 0, 1, 65, 64, 1}}) {
    const auto q = normals(c.n_heads * (c.key_dim + c.shared_dim), 1), key = normals(c.n_positions * c.key_dim, 2);
    const auto shared = normals(c.n_positions * c.shared_dim, 3), value = normals(c.n_positions * c.value_dim, 4);
    const auto scale = static_cast<float>(1.5 / std::sqrt(static_cast<double>(c.key_dim + c.shared_dim)));
    for (const KernelTable* k : runnable_kernels()) {
      const auto got = tiled_attention(*k, c, q, key, shared, value, scale);
      for (int64_t h = 0; h < c.n_heads; ++h) {
        const Exact want = exact_attention(c, q.data() + h * (c.key_dim + c.shared_dim), key.data(), shared.data(),
                                           value.data(), scale);
        for (int64_t i = 0; i < c.value_dim; ++i)
          ASSERT_NEAR(got[static_cast<size_t>(h * c.value_dim + i)], want.output[static_cast<size_t>(i)], want.bound)
              << name(k->isa) << ' ' << c.key_dim;
      }
    }
  }
}

TEST(Attention, AHeadIsTheSameBitsAloneAndTogether) {
  const Case all{8, 20, 8, 12, 100, 77, 64};
  const auto q = normals(8 * 28, 1), key = normals(100 * 20, 2), shared = normals(100 * 8, 3),
             value = normals(100 * 12, 4);
  for (const KernelTable* k : runnable_kernels()) {
    const auto together = tiled_attention(*k, all, q, key, shared, value, 0.2f);
    for (int64_t h = 0; h < 8; ++h) {
      Case one = all;
      one.n_heads = 1;
      const auto alone =
          tiled_attention(*k, one, {q.begin() + h * 28, q.begin() + (h + 1) * 28}, key, shared, value, 0.2f);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + h * 12)) << name(k->isa) << ' ' << h;
    }
  }
}

TEST(Attention, ATokenIsTheSameBitsAloneAndInABlockOfTokens) {
  const int64_t n = 100, first = 60, rows = 16;
  const auto q = normals(rows * 28, 1), key = normals(n * 20, 2), shared = normals(n * 8, 3),
             value = normals(n * 12, 4);
  const KeyTile tile{.first_position = 0,
                     .key = {key.data(), n, 20},
                     .shared_key = {shared.data(), n, 8},
                     .value = {value.data(), n, 12}};
  for (const KernelTable* k : runnable_kernels()) {
    std::vector<float> scratch(kAttentionScratch), together(rows * 12), alone(12);
    std::vector<AttentionState> states(rows);
    attend_tile(*k, tile,
                {.queries = {q.data(), rows, 28},
                 .position = first,
                 .step = 1,
                 .states = states.data(),
                 .values = {together.data(), rows, 12}},
                0.2f, scratch.data());
    for (int64_t i = 0; i < rows; ++i) {
      AttentionState state;
      std::fill(alone.begin(), alone.end(), 0.0f);
      attend_tile(*k, tile,
                  {.queries = {q.data() + i * 28, 1, 28},
                   .position = first + i,
                   .states = &state,
                   .values = {alone.data(), 1, 12}},
                  0.2f, scratch.data());
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + i * 12)) << name(k->isa) << ' ' << i;
      EXPECT_EQ(state.sum, states[static_cast<size_t>(i)].sum);
    }
  }
}

TEST(Attention, LaterKeysAreNeverRead) {
  // Keys and values after the position are NaN: nothing of them may reach the result.
  const Case c{2, 8, 0, 8, 128, 64, 64};
  auto q = normals(16, 1), key = normals(128 * 8, 2), value = normals(128 * 8, 3);
  std::fill(key.begin() + 65 * 8, key.end(), NAN);
  std::fill(value.begin() + 65 * 8, value.end(), NAN);
  for (const KernelTable* k : runnable_kernels())
    for (float v : tiled_attention(*k, c, q, key, {}, value, 1.0f)) EXPECT_TRUE(std::isfinite(v));
}

}  // namespace
}  // namespace fathom
