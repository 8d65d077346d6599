#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "base/random.h"
#include "kernels/attention/int16_attention.h"
#include "kernels/attention/int16_tile.h"
#include "kernels/dispatch.h"
#include "support/calibration.h"
#include "tensor/buffer.h"
#include "tensor/dtype.h"

namespace fathom {
namespace {

float normal(uint64_t stream, int64_t i) {
  return static_cast<float>(standard_normal(11, stream, static_cast<uint64_t>(i)));
}

Buffer<float> normals(int64_t n, uint64_t stream, float deviation = 1) {
  Buffer<float> x(n);
  for (int64_t i = 0; i < n; ++i) x[i] = deviation * normal(stream, i);
  return x;
}

// ---- Every table has the same bits as the plain one. ----

template <class T>
bool same(const Buffer<T>& a, const Buffer<T>& b) {
  return std::memcmp(a.data(), b.data(), static_cast<size_t>(a.size()) * sizeof(T)) == 0;
}

// A group of a tile: int16 or int8, with room for a word after the last column of a cell and something in it.
struct Group {
  Buffer<std::byte> bytes;
  Buffer<float> scales;
  CodeGroup group;

  // code(i): of the i-th number
  template <class Code>
  Group(int64_t cells, int64_t n, bool narrow, Code&& code)
      : bytes(cells * (4 * n_words(n) + 12)), scales(normals(3 * cells, 3)) {
    group = {.codes = bytes.data(),
             .stride = 4 * n_words(n) + 12,
             .scales = scales.data(),
             .scale_stride = 3,
             .n = n,
             .narrow = narrow};
    for (int64_t i = 0; i < bytes.size(); ++i) bytes[i] = std::byte{0x5A};
    for (int64_t j = 0; j < cells; ++j)
      for (int64_t i = 0; i < n; ++i) {
        const int c = code(j * n + i);
        if (narrow)
          reinterpret_cast<int8_t*>(bytes.data() + j * group.stride)[i] = static_cast<int8_t>(c);
        else
          reinterpret_cast<int16_t*>(bytes.data() + j * group.stride)[i] = static_cast<int16_t>(c);
      }
  }
};

// Numbers from -limit to limit.
auto random_code(uint64_t stream, int limit) {
  return [=](int64_t i) {
    return static_cast<int>(std::nearbyint((2 * uniform01(7, stream, static_cast<uint64_t>(i)) - 1) * limit));
  };
}

// Query tiles of queries against a group of keys twice over, other queries the second time.
template <class Code>
Buffer<float> scores_of(const Int16Kernel& k, const Group& keys, int64_t n, int64_t n_query_tiles, Code&& code) {
  constexpr int64_t kGroups = 2;
  const int64_t words_of_group = query_words(keys.group.n) * kLanes, room = kGroups * words_of_group,
                cells = kTileCells * kLanes;
  const std::vector<CodeGroup> groups(static_cast<size_t>(kGroups), keys.group);
  Buffer<uint32_t> words(n_query_tiles * room);
  Buffer<float> lanes = normals(n_query_tiles * kGroups * kLanes, 4), scores(n_query_tiles * cells),
                out(n_query_tiles * n * kLanes), scratch(kKernelScratch / 4);
  std::vector<ScoreTile> query_tiles;
  for (int64_t p = 0; p < n_query_tiles; ++p) {
    for (int64_t g = 0; g < kGroups; ++g)
      for (int64_t l = 0; l < kLanes; ++l) {
        int16_t codes[kGroup] = {};
        for (int64_t i = 0; i < keys.group.n; ++i)
          codes[i] = static_cast<int16_t>(code(((p * kGroups + g) * kLanes + l) * keys.group.n + i));
        (keys.group.byte_queries ? k.pack_query8 : k.pack_query)(codes, keys.group.n, l,
                                                                 words.data() + p * room + g * words_of_group);
      }
    query_tiles.push_back({words.data() + p * room, lanes.data() + p * kGroups * kLanes, scores.data() + p * cells});
  }
  if (k.begin != nullptr) k.begin();
  Prefetch none;
  k.score(groups.data(), kGroups, n, query_tiles.data(), n_query_tiles, none, scratch.data());
  if (k.end != nullptr) k.end();
  for (int64_t p = 0; p < n_query_tiles; ++p)
    std::copy_n(scores.data() + p * cells, n * kLanes, out.data() + p * n * kLanes);
  return out;
}

// Query tiles of probabilities p(query tile, cell, lane) against a group of values, twice, scaled in between: all
// lanes' sums.
template <class Probability>
Buffer<float> sums_of(const Int16Kernel& k, const Group& values, int64_t n, int64_t n_query_tiles, const float* inverse,
                      const float* factor, Probability&& probability) {
  const int64_t columns = values.group.n, room = sum_columns(columns) * kLanes, cells = kTileCells * kLanes;
  Buffer<float> p(n_query_tiles * cells), sums(n_query_tiles * room), out(n_query_tiles * kLanes * columns),
      scratch(kKernelScratch / 4), rescale = normals(kLanes, 6);
  for (float& x : p.vec()) x = NAN;
  std::vector<ValueTile> query_tiles;
  for (int64_t i = 0; i < n_query_tiles; ++i) {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < kLanes; ++l) p[i * cells + j * kLanes + l] = probability(i, j, l);
    k.pack_probs(p.data() + i * cells, n);
    query_tiles.push_back({p.data() + i * cells, inverse, factor, sums.data() + i * room});
  }
  if (k.begin != nullptr) k.begin();
  Prefetch none;
  for (const bool add : {false, true}) {
    k.add_values(&values.group, 1, n, query_tiles.data(), n_query_tiles, add, none, scratch.data());
    for (const ValueTile& query_tile : query_tiles) k.scale_sums(query_tile.sums, columns, rescale.data());
  }
  if (k.end != nullptr) k.end();
  for (int64_t i = 0; i < n_query_tiles; ++i)
    k.unpack_sums(query_tiles[static_cast<size_t>(i)].sums, columns, out.data() + i * kLanes * columns, columns);
  return out;
}

const Int16Kernel& plain() { return *runnable_int16_kernels()[0]; }

TEST(Int16, ScoresAreTheSameBitsInEveryTable) {
  for (const bool narrow : {false, true})
    for (const int64_t cells : {1, 7, 15, 16, 17, 33, 64})
      for (const int64_t n : {1, 2, 11, 31, 33, 63, 64, 65, 127, 128})
        for (const int64_t query_tiles : {int64_t{1}, int64_t{3}, kMaxQueryTiles}) {
          if (query_tiles == kMaxQueryTiles && cells < 64) continue;
          const Group keys(cells, n, narrow, random_code(1, narrow ? 127 : kMaxCode));
          const auto code = random_code(2, kMaxCode);
          const auto want = scores_of(plain(), keys, cells, query_tiles, code);
          for (const Int16Kernel* k : runnable_int16_kernels())
            ASSERT_TRUE(same(scores_of(*k, keys, cells, query_tiles, code), want))
                << k->name << ' ' << narrow << ' ' << cells << ' ' << n << ' ' << query_tiles;
        }
}

TEST(Int16, SumsOfValuesAreTheSameBitsInEveryTable) {
  const auto factor = normals(kLanes, 8);
  Buffer<float> inverse = normals(kLanes, 9, 900);
  for (const bool narrow : {false, true})
    for (const int64_t cells : {1, 2, 5, 15, 16, 17, 50, 63, 64})
      for (const int64_t n : {1, 11, 15, 16, 17, 31, 33, 64, 100, 127, 128})
        for (const int64_t query_tiles : {int64_t{1}, int64_t{3}, kMaxQueryTiles}) {
          if (query_tiles == kMaxQueryTiles && cells < 64) continue;
          const Group values(cells, n, narrow, random_code(1, narrow ? 127 : kMaxCode));
          const auto probability = [](int64_t i, int64_t j, int64_t l) {
            return static_cast<float>(uniform01(7, 5, static_cast<uint64_t>((i * kTileCells + j) * kLanes + l)));
          };
          const auto want = sums_of(plain(), values, cells, query_tiles, inverse.data(), factor.data(), probability);
          for (const Int16Kernel* k : runnable_int16_kernels())
            ASSERT_TRUE(same(sums_of(*k, values, cells, query_tiles, inverse.data(), factor.data(), probability), want))
                << k->name << ' ' << narrow << ' ' << cells << ' ' << n << ' ' << query_tiles;
        }
}

// Groups whose queries and probabilities have 8 bits too.
TEST(Int16, ProductsOfBytesAreTheSameBitsInEveryTable) {
  const auto factor = normals(kLanes, 8);
  Buffer<float> inverse(kLanes);
  for (float& x : inverse.vec()) x = 255;
  for (const int64_t cells : {1, 2, 3, 5, 15, 16, 50, 63, 64})
    for (const int64_t n : {1, 3, 31, 33, 63, 64, 65, 127, 128})
      for (const int64_t query_tiles : {int64_t{1}, int64_t{3}, kMaxQueryTiles}) {
        if (query_tiles == kMaxQueryTiles && cells < 64) continue;
        for (const int extreme : {0, 127, -127}) {
          const auto any = random_code(1, 127);
          Group group(cells, n, true, [&](int64_t i) { return extreme != 0 ? extreme : any(i); });
          group.group.byte_queries = group.group.byte_probs = true;
          for (float& x : group.scales.vec()) x = 1;
          const auto code = random_code(2, 127);
          const auto query = [&](int64_t i) { return extreme != 0 ? 127 : code(i); };
          const auto probability = [&](int64_t i, int64_t j, int64_t l) {
            return extreme != 0
                       ? 1.0f
                       : static_cast<float>(uniform01(7, 5, static_cast<uint64_t>((i * kTileCells + j) * kLanes + l)));
          };
          const auto scores = scores_of(plain(), group, cells, query_tiles, query);
          const auto sums = sums_of(plain(), group, cells, query_tiles, inverse.data(), factor.data(), probability);
          for (const Int16Kernel* k : runnable_int16_kernels()) {
            SCOPED_TRACE(fmt::format("{}, {} cells of {}, {} tiles", k->name, cells, n, query_tiles));
            ASSERT_TRUE(same(scores_of(*k, group, cells, query_tiles, query), scores));
            ASSERT_TRUE(same(sums_of(*k, group, cells, query_tiles, inverse.data(), factor.data(), probability), sums));
            if (!k->biased_levels) continue;
            Group biased(cells, n, true, [&](int64_t i) { return (extreme != 0 ? extreme : any(i)) + 128; });
            biased.group.byte_queries = biased.group.byte_probs = biased.group.biased = true;
            for (float& x : biased.scales.vec()) x = 1;
            ASSERT_TRUE(same(scores_of(*k, biased, cells, query_tiles, query), scores));
            ASSERT_TRUE(
                same(sums_of(*k, biased, cells, query_tiles, inverse.data(), factor.data(), probability), sums));
          }
        }
      }
}

TEST(Int16, RestsAreCarriedAlikeInEveryTable) {
  for (const int64_t n : {1, 7, 64}) {
    Buffer<float> p(n * kLanes), scales(3 * n), factor = normals(kLanes, 8), inverse(kLanes);
    for (int64_t i = 0; i < p.size(); ++i) p[i] = static_cast<float>(uniform01(7, 9, static_cast<uint64_t>(i)));
    for (int64_t i = 0; i < scales.size(); ++i) scales[i] = std::abs(normal(10, i));
    for (int64_t l = 0; l < kLanes; ++l) inverse[l] = l == 3 ? 0.0f : static_cast<float>(40 * l);
    p[2] = NAN;
    p[p.size() - 1] = INFINITY;
    scales[0] = n > 1 ? 0.0f : 1.0f;
    const auto carried = [&](const Int16Kernel& k) {
      Buffer<float> out(p.size());
      std::copy_n(p.data(), p.size(), out.data());
      k.carry_rests(out.data(), n, scales.data(), 3, factor.data(), inverse.data());
      return out;
    };
    const auto want = carried(plain());
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      const auto got = carried(*k);
      for (int64_t i = 0; i < p.size(); ++i)
        ASSERT_TRUE(std::memcmp(&got[i], &want[i], sizeof(float)) == 0 || (std::isnan(got[i]) && std::isnan(want[i])))
            << k->name << ' ' << i;
    }
  }
}

TEST(Int16, KeysAreRotatedAlikeInEveryTable) {
  for (const int64_t n : {2, 8, 12, 16, 64, 96, 128}) {
    std::vector<int8_t> codes(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) codes[static_cast<size_t>(i)] = static_cast<int8_t>(random_code(1, 127)(i));
    std::vector<double> frequencies;
    for (int64_t i = 0; i < n / 2; ++i) frequencies.push_back(std::pow(1e-4, static_cast<double>(2 * i) / n));
    const KeyRotation rotation(frequencies, 1, 5000);
    for (const int64_t position : {0, 63, 64, 4999}) {
      const float growth = 4095 / (127 * 1.41421356f);
      std::vector<float> exact(codes.begin(), codes.end());
      rotation.rotate(exact.data(), position);
      for (const Int16Kernel* k : runnable_int16_kernels()) {
        std::vector<int16_t> out(static_cast<size_t>(n));
        k->rotate_codes(codes.data(), n, rotation.coarse(position), rotation.fine(position), growth, out.data());
        for (size_t i = 0; i < out.size(); ++i)
          ASSERT_EQ(out[i], static_cast<int16_t>(std::nearbyint(exact[i] * growth))) << k->name << ' ' << i;
      }
    }
  }
}

// The largest operands that are allowed: exact in 64 bits, so no int32 sum has wrapped.
TEST(Int16, TheLargestSumsDoNotOverflow) {
  Buffer<float> ones(3 * kTileCells);
  for (float& x : ones.vec()) x = 1;
  for (const int64_t sign : {1, -1})
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      Group group(kTileCells, kGroup, false, [&](int64_t) { return static_cast<int>(sign * kMaxCode); });
      group.group.scales = ones.data();
      const auto scores = scores_of(*k, group, kTileCells, 1, [](int64_t) { return static_cast<int>(kMaxCode); });
      const auto lanes = normals(2 * kLanes, 4);
      for (int64_t i = 0; i < scores.size(); ++i) {  // two groups
        const auto product = static_cast<float>(sign * kGroup * kMaxCode * kMaxCode);
        ASSERT_EQ(scores[i], std::fma(product, lanes[kLanes + i % kLanes], product * lanes[i % kLanes])) << k->name;
      }
      const auto sums = sums_of(*k, group, kTileCells, 1, ones.data(), ones.data(),
                                [](int64_t, int64_t, int64_t) { return static_cast<float>(kMaxProb); });
      const auto rescale = normals(kLanes, 6);
      for (int64_t l = 0; l < kLanes; ++l)
        for (int64_t i = 0; i < kGroup; ++i) {
          const auto product = static_cast<float>(sign * kTileCells * kMaxCode * kMaxProb);
          ASSERT_EQ(sums[l * kGroup + i], std::fma(product, 1.0f, product * rescale[l]) * rescale[l]) << k->name;
        }
    }
}

// Codes of every value meet queries and weights with bytes of every value.
TEST(Int16, EveryCodeIsMultipliedExactly) {
  const auto every = [](int64_t i) { return static_cast<int>(i % (2 * kMaxCode + 1) - kMaxCode); };
  const Group group(kTileCells, kGroup, false, every);
  const auto query = [](int64_t i) { return static_cast<int>(i * 37 % (2 * kMaxCode + 1) - kMaxCode); };
  const auto weight = [](int64_t, int64_t j, int64_t l) { return static_cast<float>((j * kLanes + l) * 8); };
  Buffer<float> ones(kLanes);
  for (float& x : ones.vec()) x = 1;
  for (const Int16Kernel* k : runnable_int16_kernels()) {
    EXPECT_TRUE(same(scores_of(*k, group, kTileCells, 4, query), scores_of(plain(), group, kTileCells, 4, query)));
    EXPECT_TRUE(same(sums_of(*k, group, kTileCells, 1, ones.data(), ones.data(), weight),
                     sums_of(plain(), group, kTileCells, 1, ones.data(), ones.data(), weight)))
        << k->name;
  }
}

// Scales and factors that are NaN or infinite, and probabilities that are NaN: weights of zero.
TEST(Int16, WhatIsNoNumberGivesTheSameInEveryTable) {
  for (const float special : {NAN, INFINITY}) {
    Group group(40, 24, false, random_code(1, kMaxCode));
    group.scales[3 * 7] = special;
    Buffer<float> inverse = normals(kLanes, 9, 900), factor = normals(kLanes, 8);
    factor[3] = special;
    inverse[3] = 0;
    const auto p = [&](int64_t, int64_t j, int64_t l) { return j == 5 && l == 2 ? special : j == 7 ? 0.0f : 0.5f; };
    const auto code = random_code(2, kMaxCode);
    const auto want_scores = scores_of(plain(), group, 40, 2, code);
    const auto want_sums = sums_of(plain(), group, 40, 1, inverse.data(), factor.data(), p);
    const auto same_numbers = [](const Buffer<float>& a, const Buffer<float>& b) {
      return std::equal(a.data(), a.data() + a.size(), b.data(), b.data() + b.size(),
                        [](float x, float y) { return x == y || (std::isnan(x) && std::isnan(y)); });
    };
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      EXPECT_TRUE(same_numbers(scores_of(*k, group, 40, 2, code), want_scores)) << k->name;
      EXPECT_TRUE(same_numbers(sums_of(*k, group, 40, 1, inverse.data(), factor.data(), p), want_sums)) << k->name;
    }
  }
}

TEST(Int16, SoftmaxIsTheSameBitsInEveryTable) {
  for (const Int16Kernel* k : runnable_int16_kernels())
    for (const int64_t n : {1, 2, 7, 63, 64}) {
      Buffer<float> want = normals(n * kLanes, 1, 6), got = normals(n * kLanes, 1, 6);
      want[0] = got[0] = NAN;
      LaneState want_state, got_state;
      int32_t visible[kLanes];
      for (int64_t l = 0; l < kLanes; ++l) {
        visible[l] = static_cast<int32_t>((l * 5) % (n + 1));
        want_state.shift[l] = l % 3 == 0 ? -INFINITY : normal(2, l) * 9;
        want_state.sum[l] = l % 3 == 0 ? 0 : 1.5f;
      }
      visible[0] = static_cast<int32_t>(n);
      got_state = want_state;
      EXPECT_EQ(k->softmax(got.data(), n, visible, 0.7f, got_state),
                plain().softmax(want.data(), n, visible, 0.7f, want_state));
      ASSERT_TRUE(same(got, want)) << k->name << ' ' << n;
      ASSERT_EQ(std::memcmp(&got_state, &want_state, sizeof got_state), 0) << k->name << ' ' << n;
    }
}

TEST(Int16, CodesAreTheSameBitsInEveryTable) {
  for (const Int16Kernel* k : runnable_int16_kernels())
    for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 31, 100, 128}) {
      auto x = normals(n, static_cast<uint64_t>(n));
      Buffer<uint16_t> half(n);
      for (const float special : {0.0f, 3e-31f, INFINITY, NAN}) {
        x[n / 2] = special;
        if (special == 3e-31f)
          for (float& v : x.vec()) v = special;
        for (int64_t i = 0; i < n; ++i) half[i] = f32_to_bf16(x[i]);
        Buffer<int16_t> want(n), got(n);
        for (const int limit : {kCode8, kCode16}) {
          const auto check_same = [&](float got_scale, float want_scale) {
            EXPECT_EQ(std::bit_cast<uint32_t>(got_scale), std::bit_cast<uint32_t>(want_scale)) << k->name << n;
            EXPECT_TRUE(same(got, want)) << k->name << ' ' << n << ' ' << special;
          };
          const float want_scale = plain().quantize(x.data(), n, limit, want.data());
          check_same(k->quantize(x.data(), n, limit, got.data()), want_scale);
          const float want_half = plain().quantize_bf16(half.data(), n, limit, want.data());
          check_same(k->quantize_bf16(half.data(), n, limit, got.data()), want_half);
        }
      }
    }
}

// ---- Attention over tiles, against the definition in double. ----

// Rows of one query tile that see positions 0 .. position of a cache; keys are whole rows, values their first body()
// columns. Of a latent type: keys and values are u (kvcache/latent_row.h), as attention in latent space sees them.
struct Case {
  CacheRow row;
  int64_t n_positions, n_rows;
  std::vector<int64_t> positions;  // of each row
  float scale;
};

struct Inputs {
  std::optional<LatentCoder> coder;  // of a latent type
  KeyRotation rotation;
  Buffer<std::byte> stored;
  Buffer<float> rows, q;     // what is stored, read back; queries
  std::vector<float> gains;  // of the rows of a latent type
  std::byte* tile(const Case& c, int64_t position) const {
    return stored.data() + position / kTileCells * kTileCells * c.row.bytes();
  }
  explicit Inputs(const Case& c)
      : stored(rounded_up(c.n_positions, kTileCells) * c.row.bytes()),
        rows(c.n_positions * c.row.width),
        q(normals(c.n_rows * c.row.width, 2)) {
    const auto x = normals(c.n_positions * c.row.width, 1);
    if (c.row.latent()) store_latents(c, x);
    for (int64_t p = 0; p < c.n_positions && !c.row.latent(); ++p) {
      store_row(c.row, x.data() + p * c.row.width, tile(c, p), p % kTileCells);
      load_row(c.row, tile(c, p), p % kTileCells, rows.data() + p * c.row.width);
    }
  }

 private:
  void store_latents(const Case& c, const Buffer<float>& x) {
    const LatentFormat& format = *latent_format(c.row.type);
    const LayerCalibration calibration = testing::random_calibration(c.row.body(), 1);
    coder.emplace(LatentRow(format, c.row.body(), c.row.tail), format.calibrated ? &calibration : nullptr);
    std::vector<double> frequencies;
    for (int64_t i = 0; i < c.row.tail / 2; ++i) frequencies.push_back(std::pow(0.1, static_cast<double>(i)));
    rotation = KeyRotation(frequencies, 1.25, c.n_positions);
    for (int64_t p = 0; p < c.n_positions; ++p) {
      float* row = rows.data() + p * c.row.width;
      float* tail = row + c.row.body();
      coder->store(x.data() + p * c.row.width, tile(c, p), p % kTileCells);
      coder->load_normalised(tile(c, p), p % kTileCells, row, tail);
      rotation.rotate(tail, p);
      for (int64_t i = 0; i < c.row.tail; ++i) tail[i] *= rotation.amplitude();
      gains.push_back(coder->codes(tile(c, p), p % kTileCells).gain);
    }
  }
};

// The scale of the codes of a group of the values of cell j.
double value_scale(const Case& c, const Inputs& in, int64_t j, int64_t g) {
  if (in.coder) return in.gains[static_cast<size_t>(j)];
  double m = 0;
  for (int64_t i = g; i < std::min(g + kGroup, c.row.body()); ++i)
    m = std::max(m, std::abs(static_cast<double>(in.rows[j * c.row.width + i])));
  return m / (c.row.type == CacheType::q8 ? kCode8 : kCode16);  // a q8 group's largest code is 127
}

// n_rows rows of queries from first_row on, query tile by query tile, tiles in order: o (n_rows, body).
std::vector<float> query_tile_attention(const Int16Kernel& k, const Case& c, const Inputs& in, int64_t first_row = 0) {
  const int64_t body = c.row.body(), tail = c.row.tail;
  QueryShape shape;
  shape.add_part(body);
  shape.add_part(tail);
  const int64_t n_query_tiles = (c.n_rows + kLanes - 1) / kLanes;
  Buffer<uint32_t> words(n_query_tiles * shape.words * kLanes);
  Buffer<float> scales(n_query_tiles * shape.groups * kLanes), z(n_query_tiles * sum_columns(body) * kLanes),
      scratch(kTileScratch), folded(n_query_tiles * body * kLanes), residual_sums(n_query_tiles * body * kLanes);
  const bool residuals = in.coder && in.coder->row().outliers > 0;
  std::vector<LaneState> states(static_cast<size_t>(n_query_tiles));
  std::vector<int32_t> visible(static_cast<size_t>(n_query_tiles * kLanes));
  std::vector<QueryTile> query_tiles;
  for (int64_t p = 0; p < n_query_tiles; ++p)
    query_tiles.push_back({words.data() + p * shape.words * kLanes, scales.data() + p * shape.groups * kLanes,
                           visible.data() + p * kLanes, &states[static_cast<size_t>(p)],
                           z.data() + p * sum_columns(body) * kLanes,
                           residuals ? folded.data() + p * body * kLanes : nullptr,
                           residuals ? residual_sums.data() + p * body * kLanes : nullptr});
  for (int64_t r = 0; r < n_query_tiles * kLanes; ++r) {
    QueryTile& query_tile = query_tiles[static_cast<size_t>(r / kLanes)];
    if (r >= c.n_rows) {
      clear_lane(shape, r % kLanes, query_tile);
      continue;
    }
    const float* q = in.q.data() + (first_row + r) * c.row.width;
    pack_lane(k, {q, body}, {.lane = r % kLanes, .largest = has_byte_keys(c.row) ? kMaxCode8 : kMaxCode}, query_tile);
    for (int64_t i = 0; i < body; ++i) folded[(r / kLanes * body + i) * kLanes + r % kLanes] = q[i];
    pack_lane(k, {q + body, tail}, {.lane = r % kLanes, .first_word = query_words(body), .first_group = n_groups(body)},
              query_tile);
  }
  CachedTile cached(c.row, in.coder ? &*in.coder : nullptr, &in.rotation);
  Buffer<float> rounded(cached.scratch_floats());
  for (int64_t first = 0; first < c.n_positions; first += kTileCells) {
    const int64_t n = std::min(kTileCells, c.n_positions - first);
    const KvTile tile = cached.load(k, in.tile(c, first), first, n, rounded.data());
    for (int64_t r = 0; r < c.n_rows; ++r)
      visible[static_cast<size_t>(r)] =
          static_cast<int32_t>(std::clamp<int64_t>(c.positions[static_cast<size_t>(r)] - first + 1, 0, n));
    for (size_t p = 0; p < query_tiles.size(); p += kMaxQueryTiles)
      attend_tile(k, tile, c.scale, first == 0,
                  std::span(query_tiles).subspan(p, std::min<size_t>(kMaxQueryTiles, query_tiles.size() - p)),
                  scratch.data());
  }
  std::vector<float> o(static_cast<size_t>(c.n_rows * body));
  Buffer<float> rows(kLanes * body);
  for (int64_t r = 0; r < c.n_rows; ++r) {
    const QueryTile& query_tile = query_tiles[static_cast<size_t>(r / kLanes)];
    if (r % kLanes == 0) k.unpack_sums(query_tile.z, body, rows.data(), body);
    for (int64_t i = 0; i < body; ++i) {
      const float residual = residuals ? query_tile.residual_sums[i * kLanes + r % kLanes] : 0.0f;
      o[static_cast<size_t>(r * body + i)] =
          (rows[r % kLanes * body + i] + residual) / query_tile.state->sum[r % kLanes];
    }
  }
  return o;
}

double largest_of(const float* x, int64_t n) {
  double m = 0;
  for (int64_t i = 0; i < n; ++i) m = std::max(m, std::abs(static_cast<double>(x[i])));
  return m;
}

constexpr double kRound = 1 + 0x1p-10;  // for the float32 roundings of scales and inverses

// Of a score: rounding q, and k where the cache does not hold codes; products and sums in float32 beside it.
double score_error(const Case& c, const float* q, const float* k) {
  double error = 0, magnitude = 0;
  const auto add_part = [&](int64_t begin, int64_t n) {
    for (int64_t first = begin; first < begin + n; first += kGroup) {
      const int64_t count = std::min(kGroup, begin + n - first);
      const bool levels = c.row.latent() && begin == 0, bytes = has_byte_keys(c.row) && begin == 0;
      // A rotated key of a latent type is rounded to codes whose scale is made for pairs sqrt(2) times as long.
      const double dq = largest_of(q + first, count) / static_cast<double>(2 * (bytes ? kMaxCode8 : kMaxCode)) * kRound,
                   dk = c.row.coded() || levels ? 0
                        : c.row.latent()        ? largest_of(k + first, count) / kMaxCode * kRound
                                                : largest_of(k + first, count) / (2 * kMaxCode) * kRound;
      for (int64_t i = first; i < first + count; ++i) {
        error += dq * std::abs(k[i]) + dk * std::abs(q[i]) + dq * dk;
        magnitude += std::abs(static_cast<double>(q[i]) * k[i]);
      }
    }
  };
  add_part(0, c.row.body());
  add_part(c.row.body(), c.row.tail);
  return c.scale * (error + 16 * 0x1p-24 * magnitude);
}

// One row in double, and how far from it int16_attention.h allows a result to be.
struct Exact {
  std::vector<double> output, bound;
};

Exact exact_attention(const Case& c, const Inputs& in, int64_t r) {
  const int64_t n = c.positions[static_cast<size_t>(r)] + 1, W = c.row.width, body = c.row.body();
  const float* q = in.q.data() + r * W;
  std::vector<double> p(static_cast<size_t>(n));
  double error = 0, largest = -INFINITY, sum = 0;
  for (int64_t j = 0; j < n; ++j) {
    double s = 0;
    for (int64_t i = 0; i < W; ++i) s += static_cast<double>(q[i]) * in.rows[j * W + i];
    p[static_cast<size_t>(j)] = s * c.scale;
    largest = std::max(largest, s * c.scale);
    error = std::max(error, score_error(c, q, in.rows.data() + j * W));
  }
  for (double& v : p) sum += v = std::exp(v - largest);
  Exact e{std::vector<double>(static_cast<size_t>(body)), std::vector<double>(static_cast<size_t>(body))};
  const double factor = std::exp(2 * error);  // of a probability over the sum
  for (int64_t first = 0; first < n; first += kTileCells) {
    const int64_t end = std::min(n, first + kTileCells);
    double top_prob = 0;
    for (int64_t j = first; j < end; ++j) top_prob = std::max(top_prob, p[static_cast<size_t>(j)] / sum * factor);
    for (int64_t g = 0; g < body; g += kGroup) {
      double scale = 0, dv = 0;
      for (int64_t j = first; j < end; ++j) {
        scale = std::max(scale, value_scale(c, in, j, g) * kRound);
        dv = std::max(dv, c.row.coded() || in.coder ? 0 : value_scale(c, in, j, g) / 2 * kRound);
      }
      // Levels: half a step of its own cell, and half a step of the cell before.
      const double weight = top_prob * scale / static_cast<double>(in.coder ? kMaxProb8 : 2 * kMaxProb) * kRound;
      for (int64_t i = g; i < std::min(g + kGroup, body); ++i)
        for (int64_t j = first; j < end; ++j) {
          const double v = in.rows[j * W + i], share = p[static_cast<size_t>(j)] / sum;
          e.output[static_cast<size_t>(i)] += share * v;
          const double cell_scale = value_scale(c, in, j, g);
          const double code = cell_scale > 0 ? std::abs(v) / cell_scale + 0.5 : 0;
          e.bound[static_cast<size_t>(i)] +=
              share * ((factor - 1) * std::abs(v) + factor * dv) + weight * code + 64 * 0x1p-24 * std::abs(v) * share;
        }
    }
  }
  return e;
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const CacheType type : {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8, CacheType::fp8}) {
    all.push_back({{type, 576, 64}, 300, 16, std::vector<int64_t>(16, 299), 0.07f});
    all.push_back({{type, 56, 8}, 130, 3, {129, 77, 5}, 0.3f});
    all.push_back({{type, 158, 11}, 65, 20, {}, 0.15f});
    for (int64_t r = 0; r < 20; ++r) all.back().positions.push_back(45 + r);
    all.push_back({{type, 1, 0}, 2, 1, {0}, 1.0f});
  }
  for (const CacheType type : {CacheType::q6, CacheType::q4, CacheType::v2_6bit, CacheType::nuq4, CacheType::nuq3}) {
    all.push_back({{type, 576, 64}, 300, 16, std::vector<int64_t>(16, 299), 0.07f});
    all.push_back({{type, 56, 8}, 130, 3, {129, 77, 5}, 0.3f});
    all.push_back({{type, 158, 10}, 65, 20, {}, 0.15f});
    for (int64_t r = 0; r < 20; ++r) all.back().positions.push_back(45 + r);
  }
  return all;
}

TEST(Int16Attention, EveryTableStaysWithinTheBoundOfTheDefinition) {
  for (const Case& c : cases()) {
    const Inputs in(c);
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      const auto got = query_tile_attention(*k, c, in);
      for (int64_t r = 0; r < c.n_rows; r += 4) {
        const Exact want = exact_attention(c, in, r);
        for (int64_t i = 0; i < c.row.body(); ++i)
          ASSERT_NEAR(got[static_cast<size_t>(r * c.row.body() + i)], want.output[static_cast<size_t>(i)],
                      want.bound[static_cast<size_t>(i)])
              << k->name << ' ' << c.row.width << ' ' << static_cast<int>(c.row.type) << ' ' << r << ' ' << i;
      }
    }
  }
}

// Whole groups that kernels take together, more of them than at once; one query tile, some, and the most.
TEST(Int16Attention, EveryTableGivesTheSameBits) {
  std::vector<Case> all = cases();
  for (const CacheType type : {CacheType::q16, CacheType::q8})
    for (const int64_t rows : {int64_t{3}, 2 * kLanes, 5 * kLanes + 1, kMaxQueryTiles * kLanes}) {
      const int64_t positions = rows > 5 * kLanes + 1 ? 65 : 150;
      for (const auto& [width, tail] : {std::pair<int64_t, int64_t>{6 * kGroup + 64, 64}, {2 * kGroup + 30, 10}}) {
        all.push_back({{type, width, tail}, positions, rows, {}, 0.05f});
        for (int64_t r = 0; r < rows; ++r) all.back().positions.push_back(positions - 1 - r % 40);
      }
    }
  for (const Case& c : all) {
    const Inputs in(c);
    const auto want = query_tile_attention(plain(), c, in);
    for (const Int16Kernel* k : runnable_int16_kernels())
      ASSERT_TRUE(std::ranges::equal(query_tile_attention(*k, c, in), want))
          << k->name << ' ' << c.row.width << ' ' << static_cast<int>(c.row.type) << ' ' << c.n_rows;
  }
}

TEST(Int16, LevelsAreUnpackedAlikeInEveryTable) {
  int8_t levels[64];
  for (int i = 0; i < 64; ++i) levels[i] = static_cast<int8_t>(4 * i - 127);
  std::vector<std::byte> low(512), high(512);
  for (size_t i = 0; i < low.size(); ++i) {
    low[i] = static_cast<std::byte>(uniform01(5, 1, i) * 256);
    high[i] = static_cast<std::byte>(uniform01(5, 2, i) * 256);
  }
  for (const auto& [low_bits, high_bits] : {std::pair{2, 0}, {2, 1}, {4, 0}, {4, 1}, {4, 2}})
    for (const int64_t n : {64, 192, 512}) {
      const CodePlanes planes{low.data(), high.data(), low_bits, high_bits};
      std::vector<int8_t> want(static_cast<size_t>(n)), got(static_cast<size_t>(n));
      plain().unpack_levels(planes, n, levels, want.data());
      for (const Int16Kernel* k : runnable_int16_kernels()) {
        std::ranges::fill(got, 0);
        k->unpack_levels(planes, n, levels, got.data());
        EXPECT_EQ(got, want) << k->name << ' ' << low_bits << ' ' << high_bits << ' ' << n;
      }
    }
}

TEST(Int16, ScalesOfWeightsAreTheSameBitsInEveryTable) {
  Buffer<float> largest(kTileCells + 1), top_prob(kLanes);
  for (int64_t j = 0; j < largest.size(); ++j) largest[j] = static_cast<float>(j) * 1e-3f;
  largest[63] = INFINITY;
  largest[64] = NAN;
  for (int64_t l = 0; l < kLanes; ++l) top_prob[l] = std::ldexp(1.0f, static_cast<int>(-12 * l));
  top_prob[1] = 0;
  top_prob[2] = NAN;
  top_prob[3] = INFINITY;
  for (const int32_t shift : {0, 1, 40, 48, 60, 64}) {
    int32_t visible[kLanes];
    for (int32_t l = 0; l < kLanes; ++l) visible[l] = std::min<int32_t>(l + shift, kTileCells);
    Buffer<float> want(2 * kLanes);
    plain().prob_scales(top_prob.data(), visible, largest.data(), static_cast<float>(kMaxProb), want.data(),
                        want.data() + kLanes);
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      Buffer<float> got(2 * kLanes);
      k->prob_scales(top_prob.data(), visible, largest.data(), static_cast<float>(kMaxProb), got.data(),
                     got.data() + kLanes);
      for (int64_t i = 0; i < got.size(); ++i)
        EXPECT_TRUE(got[i] == want[i] || (std::isnan(got[i]) && std::isnan(want[i]))) << k->name << i;
    }
  }
}

TEST(Int16Attention, ARowIsTheSameBitsWhateverStandsBesideOrAfterIt) {
  for (const Case& c : cases()) {
    const Inputs in(c);
    for (const Int16Kernel* k : runnable_int16_kernels()) {
      const auto together = query_tile_attention(*k, c, in);
      for (int64_t r = 0; r < c.n_rows; r += 5) {
        Case one = c;
        one.n_rows = 1;
        one.positions = {c.positions[static_cast<size_t>(r)]};
        one.n_positions = one.positions[0] + 1;  // nothing after it
        const auto got = query_tile_attention(*k, one, in, r);
        EXPECT_TRUE(std::equal(got.begin(), got.end(), together.begin() + r * c.row.body())) << k->name << ' ' << r;
      }
    }
  }
}

TEST(Int16Attention, NaNReachesTheRowsThatSeeItAndNoOther) {
  const Case c{{CacheType::q16, 24, 8}, 100, 2, {99, 50}, 0.2f};
  Inputs in(c);
  std::vector<float> bad(24, 1.0f);
  bad[3] = NAN;
  store_row(c.row, bad.data(), in.tile(c, 70), 70 % kTileCells);
  for (const Int16Kernel* k : runnable_int16_kernels()) {
    const auto o = query_tile_attention(*k, c, in);
    for (int64_t i = 0; i < 16; ++i) {
      EXPECT_TRUE(std::isnan(o[static_cast<size_t>(i)])) << k->name;
      EXPECT_TRUE(std::isfinite(o[static_cast<size_t>(16 + i)])) << k->name;
    }
  }
}

TEST(Int16Attention, MergedPartsAreTheWhole) {
  const KernelTable& k = kernels();
  const PartialSoftmax a{.shift = 2, .sum = 3}, b{.shift = 4, .sum = 1}, none{.shift = -INFINITY, .sum = 0};
  const float za[] = {1, 2}, zb[] = {-3, 5};
  PartialSoftmax p = a;
  float z[] = {1, 2};
  merge_partial(k, none, {zb, 2}, p, {z, 2});
  EXPECT_EQ(p.shift, 2);
  EXPECT_EQ(z[0], 1);
  merge_partial(k, b, {zb, 2}, p, {z, 2});
  EXPECT_EQ(p.shift, 4);
  const double rescale = std::exp(-2.0);
  EXPECT_NEAR(p.sum, 3 * rescale + 1, 1e-6);
  EXPECT_NEAR(z[0], za[0] * rescale - 3, 1e-6);
  EXPECT_NEAR(z[1], za[1] * rescale + 5, 1e-6);
}

}  // namespace
}  // namespace fathom
