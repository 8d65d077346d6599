#include "kernels/attention/int16_attention.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "kernels/ref/exp.h"

namespace fathom {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

constexpr int64_t kFactors = kMaxQueryTiles * kTogether * kLanes;

// The parts of one thread's scratch.
struct TileScratch {
  float *scores, *factor, *inverse;  // (kMaxQueryTiles, kTileCells, kLanes), (kMaxQueryTiles, kTogether, kLanes) twice
  float* kernel;

  explicit TileScratch(float* at) noexcept
      : scores(at),
        factor(scores + kMaxQueryTiles * kTileCells * kLanes),
        inverse(factor + kFactors),
        kernel(inverse + kFactors) {}
  float* scores_of(size_t query_tile) const noexcept {
    return scores + static_cast<int64_t>(query_tile) * kTileCells * kLanes;
  }
};

void start(LaneState& state) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    state.shift[l] = -kInfinity;
    state.sum[l] = 0;
  }
}

bool sees_nothing(const QueryTile& p) noexcept {
  return std::all_of(p.visible, p.visible + kLanes, [](int32_t cells) { return cells == 0; });
}

void score(const Int16Kernel& k, const KvTile& tile, std::span<QueryTile> query_tiles, Prefetch& ahead,
           const TileScratch& s) noexcept {
  ScoreTile room[kMaxQueryTiles];
  for (size_t p = 0; p < query_tiles.size(); ++p)
    room[p] = {query_tiles[p].words, query_tiles[p].scales, s.scores_of(p)};
  k.score(tile.keys.data(), std::ssize(tile.keys), tile.n, room, std::ssize(query_tiles), ahead, s.kernel);
}

float most_prob(const KvTile& tile) noexcept { return static_cast<float>(tile.levels ? kMaxProb8 : kMaxProb); }

// largest[j]: of the scales of the first j cells. They are not negative, and so ordered as integers, NaN above all.
void largest_scales(const CodeGroup& group, int64_t n, float* largest) noexcept {
  uint32_t bits = 0;
  largest[0] = 0;
  for (int64_t j = 0; j < n; ++j) {
    bits = std::max(bits, std::bit_cast<uint32_t>(group.scales[j * group.scale_stride]));
    largest[j + 1] = std::bit_cast<float>(bits);
  }
}

void add_values(const Int16Kernel& k, const KvTile& tile, bool first, std::span<QueryTile> query_tiles, Prefetch& ahead,
                const TileScratch& s) noexcept {
  ValueTile room[kMaxQueryTiles];
  float largest[kTileCells + 1];
  int64_t column = 0;
  for (auto left = tile.values; !left.empty();) {
    const auto groups = left.first(std::min(left.size(), static_cast<size_t>(kTogether)));
    left = left.subspan(groups.size());
    for (size_t p = 0; p < query_tiles.size(); ++p) {
      const int64_t at = static_cast<int64_t>(p) * kTogether * kLanes;
      room[p] = {s.scores_of(p), s.inverse + at, s.factor + at, query_tiles[p].z + column * kLanes};
    }
    for (size_t g = 0; g < groups.size(); ++g) {
      largest_scales(groups[g], tile.n, largest);
      for (size_t p = 0; p < query_tiles.size(); ++p) {
        const int64_t at = (static_cast<int64_t>(p) * kTogether + static_cast<int64_t>(g)) * kLanes;
        k.prob_scales(query_tiles[p].state->top_prob, query_tiles[p].visible, largest, most_prob(tile), s.factor + at,
                      s.inverse + at);
      }
      column += groups[g].n;
    }
    k.add_values(groups.data(), std::ssize(groups), tile.n, room, std::ssize(query_tiles), !first, ahead, s.kernel);
  }
}

// Scores (n, kLanes) += residuals times the queries' columns.
void add_residual_scores(const KvTile& tile, const QueryTile& query_tile, float* scores) noexcept {
  for (const CellResidual& r : tile.residuals) {
    const float* q = query_tile.folded + int64_t{r.column} * kLanes;
    float* s = scores + int64_t{r.cell} * kLanes;
    for (int64_t l = 0; l < kLanes; ++l) s[l] += r.value * q[l];
  }
}

// Sums that begin are zero; others follow the shift of the softmax.
void start_residual_sums(bool first, bool changed, int64_t columns, QueryTile& query_tile) noexcept {
  float* sums = query_tile.residual_sums;
  if (first) {
    std::fill(sums, sums + columns * kLanes, 0.0f);
  } else if (changed) {
    for (int64_t i = 0; i < columns; ++i)
      for (int64_t l = 0; l < kLanes; ++l) sums[i * kLanes + l] *= query_tile.state->rescale[l];
  }
}

// residual_sums (columns, kLanes) += residuals times probabilities (n, kLanes).
void add_residual_values(const KvTile& tile, const float* probabilities, QueryTile& query_tile) noexcept {
  for (const CellResidual& r : tile.residuals) {
    const float* p = probabilities + int64_t{r.cell} * kLanes;
    float* sums = query_tile.residual_sums + int64_t{r.column} * kLanes;
    for (int64_t l = 0; l < kLanes; ++l) sums[l] += r.value * p[l];
  }
}

// Probabilities p (n, kLanes), which values of levels are to meet, so that rounding them loses no attention.
void carry_rests(const Int16Kernel& k, const KvTile& tile, const QueryTile& query_tile, float* p) noexcept {
  const CodeGroup& values = tile.values.front();
  float largest[kTileCells + 1], factor[kLanes], inverse[kLanes];
  largest_scales(values, tile.n, largest);
  k.prob_scales(query_tile.state->top_prob, query_tile.visible, largest, most_prob(tile), factor, inverse);
  k.carry_rests(p, tile.n, values.scales, values.scale_stride, factor, inverse);
}

}  // namespace

void pack_lane(const Int16Kernel& k, VecView<const float> part, const LanePart& to, QueryTile& query_tile) noexcept {
  float* scales = query_tile.scales + to.first_group * kLanes + to.lane;
  for (int64_t first = 0; first < part.size; first += kGroup, scales += kLanes) {
    const int64_t n = std::min(kGroup, part.size - first);
    alignas(64) int16_t codes[kGroup] = {};
    *scales = k.quantize(part.data + first, n, static_cast<int>(to.largest), codes);
    const auto pack = to.largest == kMaxCode8 ? k.pack_query8 : k.pack_query;
    pack(codes, n, to.lane, query_tile.words + (to.first_word + first / 2) * kLanes);
  }
}

void clear_lane(const QueryShape& shape, int64_t lane, QueryTile& query_tile) noexcept {
  for (int64_t w = 0; w < shape.words; ++w) query_tile.words[w * kLanes + lane] = 0;
  for (int64_t g = 0; g < shape.groups; ++g) query_tile.scales[g * kLanes + lane] = 0;
}

void attend_tile(const Int16Kernel& k, const KvTile& tile, float scale, bool first, std::span<QueryTile> query_tiles,
                 float* scratch) noexcept {
  while (!first && !query_tiles.empty() && sees_nothing(query_tiles.front())) query_tiles = query_tiles.subspan(1);
  if (query_tiles.empty()) return;
  const TileScratch s(scratch);
  Prefetch ahead = tile.ahead;
  if (k.begin != nullptr) k.begin();
  score(k, tile, query_tiles, ahead, s);
  const bool residuals = !query_tiles.empty() && query_tiles.front().folded != nullptr;
  int64_t columns = 0;
  for (const CodeGroup& group : tile.values) columns += group.n;
  for (size_t p = 0; p < query_tiles.size(); ++p) {
    QueryTile& query_tile = query_tiles[p];
    if (first) start(*query_tile.state);
    if (residuals) add_residual_scores(tile, query_tile, s.scores_of(p));
    const bool changed = k.softmax(s.scores_of(p), tile.n, query_tile.visible, scale, *query_tile.state);
    if (changed && !first) k.scale_sums(query_tile.z, columns, query_tile.state->rescale);
    if (residuals) {
      start_residual_sums(first, changed, columns, query_tile);
      add_residual_values(tile, s.scores_of(p), query_tile);
    }
    if (tile.levels) carry_rests(k, tile, query_tile, s.scores_of(p));
    k.pack_probs(s.scores_of(p), tile.n);
  }
  add_values(k, tile, first, query_tiles, ahead, s);
  if (k.end != nullptr) k.end();
}

void merge_partial(const KernelTable& k, const PartialSoftmax& other, VecView<const float> other_z,
                   PartialSoftmax& partial, VecView<float> z) noexcept {
  if (other.shift == -kInfinity && other.sum == 0) return;  // nothing seen
  const float shift = std::max(partial.shift, other.shift);
  const float rescale = ref::exp(partial.shift - shift), add = ref::exp(other.shift - shift);
  if (rescale != 1.0f) k.scale(rescale, z.data, z.size);
  k.axpy_f32(add, other_z.data, z.data, z.size);
  partial = {.shift = shift, .sum = partial.sum * rescale + other.sum * add};
}

}  // namespace fathom
