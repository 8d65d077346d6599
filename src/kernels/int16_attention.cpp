#include "kernels/int16_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ref/exp.h"

namespace fathom {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The parts of one thread's scratch.
struct TileScratch {
  float *scores, *factor, *inverse;  // (kMaxPanels, kTileCells, kLanes), (kMaxPanels, kLanes) twice
  float* largest;                    // (kTileCells): of the scales of the cells up to each
  float* kernel;

  explicit TileScratch(float* at) noexcept
      : scores(at),
        factor(scores + kMaxPanels * kTileCells * kLanes),
        inverse(factor + kMaxPanels * kLanes),
        largest(inverse + kMaxPanels * kLanes),
        kernel(largest + kTileCells) {}
  float* scores_of(size_t panel) const noexcept { return scores + static_cast<int64_t>(panel) * kTileCells * kLanes; }
};

void start(LaneState& state) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    state.shift[l] = -kInfinity;
    state.sum[l] = 0;
  }
}

bool sees_nothing(const QueryPanel& p) noexcept {
  return std::all_of(p.visible, p.visible + kLanes, [](int32_t cells) { return cells == 0; });
}

void score(const Int16Kernel& k, const Int16Tile& tile, std::span<QueryPanel> panels, Ahead& ahead,
           const TileScratch& s) noexcept {
  ScorePanel room[kMaxPanels];
  const std::span<ScorePanel> at(room, panels.size());
  for (size_t p = 0; p < at.size(); ++p) at[p] = {panels[p].words, panels[p].scales, s.scores_of(p)};
  for (size_t g = 0; g < tile.keys.size(); ++g) {
    k.score(tile.keys[g], tile.n, room, std::ssize(at), g > 0, ahead, s.kernel);
    for (ScorePanel& p : at) {
      p.queries += query_words(tile.keys[g].n) * kLanes;
      p.scales += kLanes;
    }
  }
}

// factor: what a weight of one stands for, by lane; inverse: its inverse. Both 0 where all weights are too small to
// matter, or none is seen.
void weight_scales(const QueryPanel& p, const float* largest, float* factors, float* inverses) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    const int64_t seen = p.visible[l];
    const float factor = seen > 0 ? p.state->top[l] * largest[seen - 1] / static_cast<float>(kMaxWeight) : 0.0f;
    const bool matters = factor >= 1e-34f && factor < kInfinity;
    factors[l] = matters || factor != factor ? factor : 0.0f;
    inverses[l] = matters ? 1.0f / factor : 0.0f;
  }
}

void add_values(const Int16Kernel& k, const Int16Tile& tile, bool first, std::span<QueryPanel> panels, Ahead& ahead,
                const TileScratch& s) noexcept {
  ValuePanel room[kMaxPanels];
  const std::span<ValuePanel> at(room, panels.size());
  for (size_t p = 0; p < at.size(); ++p) {
    const int64_t lane = static_cast<int64_t>(p) * kLanes;
    at[p] = {s.scores_of(p), s.inverse + lane, s.factor + lane, panels[p].z};
  }
  for (const CodeGroup& group : tile.values) {
    float largest = 0;
    for (int64_t j = 0; j < tile.n; ++j) {
      const float scale = group.scales[j * group.scale_stride];
      if (scale > largest || scale != scale) largest = scale;  // NaN stays
      s.largest[j] = largest;
    }
    for (size_t p = 0; p < panels.size(); ++p) {
      const int64_t lane = static_cast<int64_t>(p) * kLanes;
      weight_scales(panels[p], s.largest, s.factor + lane, s.inverse + lane);
    }
    k.add_values(group, tile.n, room, std::ssize(at), !first, ahead, s.kernel);
    for (ValuePanel& p : at) p.sums += group.n * kLanes;
  }
}

}  // namespace

void pack_lane(const Int16Kernel& k, VecView<const float> part, int64_t first_word, int64_t first_group, int64_t lane,
               QueryPanel& panel) noexcept {
  for (int64_t first = 0; first < part.size; first += kGroup, ++first_group) {
    const int64_t n = std::min(kGroup, part.size - first);
    alignas(64) int16_t codes[kGroup] = {};
    panel.scales[first_group * kLanes + lane] = k.quantize(part.data + first, n, kMaxCode, codes);
    k.pack_query(codes, n, lane, panel.words + (first_word + first / 2) * kLanes);
  }
}

void clear_lane(const QueryShape& shape, int64_t lane, QueryPanel& panel) noexcept {
  for (int64_t w = 0; w < shape.words; ++w) panel.words[w * kLanes + lane] = 0;
  for (int64_t g = 0; g < shape.groups; ++g) panel.scales[g * kLanes + lane] = 0;
}

void attend_tile(const Int16Kernel& k, const Int16Tile& tile, float scale, bool first, std::span<QueryPanel> panels,
                 float* scratch) noexcept {
  while (!first && !panels.empty() && sees_nothing(panels.front())) panels = panels.subspan(1);
  if (panels.empty()) return;
  const TileScratch s(scratch);
  Ahead ahead = tile.ahead;
  if (k.begin != nullptr) k.begin();
  score(k, tile, panels, ahead, s);
  int64_t columns = 0;
  for (const CodeGroup& group : tile.values) columns += group.n;
  for (size_t p = 0; p < panels.size(); ++p) {
    if (first) start(*panels[p].state);
    const bool changed = k.softmax(s.scores_of(p), tile.n, panels[p].visible, scale, *panels[p].state);
    if (changed && !first) k.scale_sums(panels[p].z, columns, panels[p].state->keep);
    k.arrange(s.scores_of(p), tile.n);
  }
  add_values(k, tile, first, panels, ahead, s);
  if (k.end != nullptr) k.end();
}

void merge_partial(const KernelTable& k, const Partial& other, VecView<const float> other_z, Partial& partial,
                   VecView<float> z) noexcept {
  if (other.shift == -kInfinity && other.sum == 0) return;  // nothing seen
  const float shift = std::max(partial.shift, other.shift);
  const float keep = ref::exp(partial.shift - shift), add = ref::exp(other.shift - shift);
  if (keep != 1.0f) k.scale(keep, z.data, z.size);
  k.axpy_f32(add, other_z.data, z.data, z.size);
  partial = {.shift = shift, .sum = partial.sum * keep + other.sum * add};
}

}  // namespace fathom
