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
  float* scores;     // (kMaxPanels, kTileCells, kLanes)
  int16_t* wide;     // (kTileCells, kGroup): keys of a narrow group
  uint32_t* values;  // (kTileCells / 2, kGroup), in the same place: keys are done when values begin
  uint32_t* weights;
  float* largest;  // (kTileCells): of the scales of the cells up to each
  float *factor, *inverse;

  explicit TileScratch(float* at) noexcept
      : scores(at),
        wide(reinterpret_cast<int16_t*>(at + kMaxPanels * kTileCells * kLanes)),
        values(reinterpret_cast<uint32_t*>(at + kMaxPanels * kTileCells * kLanes)),
        weights(values + kTileCells * kGroup),
        largest(reinterpret_cast<float*>(weights + kTileCells / 2 * kLanes)),
        factor(largest + kTileCells),
        inverse(factor + kLanes) {}
  float* scores_of(int64_t panel) const noexcept { return scores + panel * kTileCells * kLanes; }
};

// The words of a group of keys: where they lie, or widened.
Words key_words(const Int16Kernel& k, const CodeGroup& g, int64_t n, int16_t* wide) noexcept {
  if (!g.narrow) return {reinterpret_cast<const uint32_t*>(g.codes), g.stride / 4, 1};
  for (int64_t j = 0; j < n; ++j) {
    k.widen(reinterpret_cast<const int8_t*>(g.codes + j * g.stride), g.n, wide + j * kGroup);
    if (g.n % 2 != 0) wide[j * kGroup + g.n] = 0;
  }
  return {reinterpret_cast<const uint32_t*>(wide), kGroup / 2, 1};
}

// words[(j / 2) * kGroup + i]: column i of cells j and j + 1.
void value_words(const Int16Kernel& k, const CodeGroup& g, int64_t n, uint32_t* words) noexcept {
  for (int64_t j = 0; j < n; j += 2, words += kGroup) {
    const std::byte *even = g.codes + j * g.stride, *odd = j + 1 < n ? even + g.stride : nullptr;
    if (g.narrow)
      k.interleave_bytes(reinterpret_cast<const int8_t*>(even), reinterpret_cast<const int8_t*>(odd), g.n, words);
    else
      k.interleave(reinterpret_cast<const int16_t*>(even), reinterpret_cast<const int16_t*>(odd), g.n, words);
  }
}

void start(LaneState& state) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    state.shift[l] = -kInfinity;
    state.sum[l] = 0;
  }
}

void score(const Int16Kernel& k, const Int16Tile& tile, std::span<QueryPanel> panels, Ahead& ahead,
           const TileScratch& s) noexcept {
  int64_t first_word = 0;
  for (size_t g = 0; g < tile.keys.size(); ++g) {
    const CodeGroup& group = tile.keys[g];
    const Words keys = key_words(k, group, tile.n, s.wide);
    for (size_t p = 0; p < panels.size(); ++p)
      k.multiply(tile.n, n_words(group.n), keys, panels[p].words + first_word * kLanes, group.scales,
                 group.scale_stride, panels[p].scales + static_cast<int64_t>(g) * kLanes, g > 0, ahead,
                 s.scores_of(static_cast<int64_t>(p)));
    first_word += n_words(group.n);
  }
}

// factor: what a weight of one stands for, by lane; inverse: its inverse. Both 0 where all weights are too small to
// matter, or none is seen.
void weight_scales(const QueryPanel& p, const TileScratch& s) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    const int64_t seen = p.visible[l];
    const float factor = seen > 0 ? p.state->top[l] * s.largest[seen - 1] / static_cast<float>(kMaxWeight) : 0.0f;
    const bool matters = factor >= 1e-34f && factor < kInfinity;
    s.factor[l] = matters || factor != factor ? factor : 0.0f;
    s.inverse[l] = matters ? 1.0f / factor : 0.0f;
  }
}

void add_values(const Int16Kernel& k, const Int16Tile& tile, bool first, std::span<QueryPanel> panels, Ahead& ahead,
                const TileScratch& s) noexcept {
  int64_t column = 0;
  for (const CodeGroup& group : tile.values) {
    value_words(k, group, tile.n, s.values);
    float largest = 0;
    for (int64_t j = 0; j < tile.n; ++j) {
      const float scale = group.scales[j * group.scale_stride];
      if (scale > largest || scale != scale) largest = scale;  // NaN stays
      s.largest[j] = largest;
    }
    for (size_t p = 0; p < panels.size(); ++p) {
      weight_scales(panels[p], s);
      k.round_weights(s.scores_of(static_cast<int64_t>(p)), tile.n, group.scales, group.scale_stride, s.inverse,
                      s.weights);
      k.multiply(group.n, n_words(tile.n), {s.values, 1, kGroup}, s.weights, nullptr, 0, s.factor, !first, ahead,
                 panels[p].z + column * kLanes);
    }
    column += group.n;
  }
}

}  // namespace

void pack_lane(const Int16Kernel& k, VecView<const float> part, int64_t first_word, int64_t first_group, int64_t lane,
               QueryPanel& panel) noexcept {
  for (int64_t first = 0; first < part.size; first += kGroup, ++first_group) {
    const int64_t n = std::min(kGroup, part.size - first);
    alignas(4) int16_t codes[kGroup];
    if (n % 2 != 0) codes[n] = 0;
    panel.scales[first_group * kLanes + lane] = k.quantize(part.data + first, n, kMaxCode, codes);
    uint32_t* words = panel.words + (first_word + first / 2) * kLanes + lane;
    for (int64_t w = 0; w < n_words(n); ++w) {
      const uint32_t low = static_cast<uint16_t>(codes[2 * w]), high = static_cast<uint16_t>(codes[2 * w + 1]);
      words[w * kLanes] = low | high << 16;
    }
  }
}

void clear_lane(const QueryShape& shape, int64_t lane, QueryPanel& panel) noexcept {
  for (int64_t w = 0; w < shape.words; ++w) panel.words[w * kLanes + lane] = 0;
  for (int64_t g = 0; g < shape.groups; ++g) panel.scales[g * kLanes + lane] = 0;
}

void attend_tile(const Int16Kernel& k, const Int16Tile& tile, float scale, bool first, std::span<QueryPanel> panels,
                 float* scratch) noexcept {
  const TileScratch s(scratch);
  Ahead ahead = tile.ahead;
  score(k, tile, panels, ahead, s);
  int64_t columns = 0;
  for (const CodeGroup& group : tile.values) columns += group.n;
  for (size_t p = 0; p < panels.size(); ++p) {
    if (first) start(*panels[p].state);
    const bool changed =
        k.softmax(s.scores_of(static_cast<int64_t>(p)), tile.n, panels[p].visible, scale, *panels[p].state);
    if (changed && !first) k.scale_lanes(panels[p].z, columns, panels[p].state->keep);
  }
  add_values(k, tile, first, panels, ahead, s);
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
