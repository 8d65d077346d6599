// The int16 kernels in plain loops, for any machine: the definition.
#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/attention/int16_attention.h"
#include "kernels/isa/isa_tables.h"
#include "kernels/ref/exp.h"
#include "kvcache/cache_row.h"
#include "tensor/dtype.h"

namespace fathom::ref {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// Codes 2 w and 2 w + 1 of a lane are the halves of word w.
int64_t query_code(const uint32_t* words, int64_t i, int64_t lane) noexcept {
  return static_cast<int16_t>(words[i / 2 * kLanes + lane] >> (i % 2 * 16) & 0xFFFFu);
}

void pack_query(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  for (int64_t i = 0; i < n; i += 2)
    words[i / 2 * kLanes + lane] =
        static_cast<uint16_t>(codes[i]) | static_cast<uint32_t>(static_cast<uint16_t>(codes[i + 1])) << 16;
}

void pack_query8(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  pack_query(codes, n, lane, words);
}

int64_t code(const CodeGroup& g, int64_t cell, int64_t i) noexcept {
  const std::byte* row = g.codes + cell * g.stride;
  return g.narrow ? reinterpret_cast<const int8_t*>(row)[i] : reinterpret_cast<const int16_t*>(row)[i];
}

// As int32, wrapped when NaN made a code of an operand.
float to_float(int64_t sum) noexcept { return static_cast<float>(static_cast<int32_t>(sum)); }

void score_group(const CodeGroup& keys, int64_t n, const uint32_t* queries, const float* scales, bool add,
                 float* scores) noexcept {
  for (int64_t j = 0; j < n; ++j)
    for (int64_t l = 0; l < kLanes; ++l) {
      int64_t sum = 0;
      for (int64_t i = 0; i < keys.n; ++i) sum += code(keys, j, i) * query_code(queries, i, l);
      float& s = scores[j * kLanes + l];
      s = std::fma(to_float(sum) * keys.scales[j * keys.scale_stride], scales[l], add ? s : 0.0f);
    }
}

void score(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
           Prefetch&, void*) noexcept {
  for (const ScoreTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
    const uint32_t* queries = p->queries;
    for (int64_t g = 0; g < n_groups; ++g) {
      score_group(keys[g], n, queries, p->scales + g * kLanes, g > 0, p->scores);
      queries += query_words(keys[g].n) * kLanes;
    }
  }
}

void softmax_lane(float* s, int64_t n, int64_t visible, float scale, LaneState& state, int64_t l) noexcept {
  float largest = -kInfinity;
  for (int64_t j = 0; j < n; ++j) {
    float& x = s[j * kLanes + l];
    x = j < visible ? x * scale : -kInfinity;
    if (x > largest) largest = x;
  }
  const float before = state.shift[l], shift = largest > before + kShiftSlack ? largest : before;
  const float base = shift == -kInfinity ? 0.0f : shift;
  float sum = 0, top_prob = 0;
  for (int64_t j = 0; j < n; ++j) {
    float& x = s[j * kLanes + l];
    x = exp(x - base);
    sum += x;
    if (x > top_prob) top_prob = x;
  }
  const float rescale = exp(before - base);
  state.sum[l] = std::fma(state.sum[l], rescale, sum);
  state.shift[l] = shift;
  state.rescale[l] = rescale;
  state.top_prob[l] = top_prob;
}

bool softmax(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept {
  bool changed = false;
  for (int64_t l = 0; l < kLanes; ++l) {
    softmax_lane(s, n, visible[l], scale, state, l);
    changed = changed || state.rescale[l] != 1.0f;
  }
  return changed;
}

void prob_scales(const float* top_prob, const int32_t* visible, const float* largest, float most, float* factors,
                 float* inverses) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    const float factor = top_prob[l] * largest[visible[l]] / most;
    const bool matters = factor >= kLeastProbScale && factor < kInfinity;
    factors[l] = matters || factor != factor ? factor : 0.0f;
    inverses[l] = matters ? 1.0f / factor : 0.0f;
  }
}

void carry_rests(float* p, int64_t n, const float* scales, int64_t scale_stride, const float* factor,
                 const float* inverse) noexcept {
  float rest[kLanes] = {};
  for (int64_t j = 0; j < n; ++j, p += kLanes) {
    const float scale = scales[j * scale_stride], back = scale > kLeastProbScale ? 1.0f / scale : 0.0f;
    for (int64_t l = 0; l < kLanes; ++l) {
      const float x = p[l] * scale * inverse[l] + rest[l];
      // 1.5 * 2^23 leaves the whole number, rounded to even; NaN and what is too large stay as they are.
      const float q = std::max(x + 0x1.8p23f - 0x1.8p23f, 0.0f);
      const float most = static_cast<float>(kMaxProb8), whole = q > most ? most : q;
      rest[l] = x - whole;
      p[l] = whole * factor[l] * back;
    }
  }
}

void pack_probs(float*, int64_t) noexcept {}

int64_t weight(float p, float scale, float inverse) noexcept {
  const float x = p * scale * inverse;
  return std::isfinite(x) ? static_cast<int64_t>(std::nearbyint(x)) : 0;
}

void add_group(const CodeGroup& values, int64_t n, const float* probabilities, const float* inverse,
               const float* factor, bool add, float* sums) noexcept {
  for (int64_t l = 0; l < kLanes; ++l) {
    int64_t weights[kTileCells];
    for (int64_t j = 0; j < n; ++j)
      weights[j] = weight(probabilities[j * kLanes + l], values.scales[j * values.scale_stride], inverse[l]);
    for (int64_t i = 0; i < values.n; ++i) {
      int64_t sum = 0;
      for (int64_t j = 0; j < n; ++j) sum += code(values, j, i) * weights[j];
      float& z = sums[i * kLanes + l];
      z = std::fma(to_float(sum), factor[l], add ? z : 0.0f);
    }
  }
}

void add_values(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                int64_t n_query_tiles, bool add, Prefetch&, void*) noexcept {
  for (const ValueTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
    float* sums = p->sums;
    for (int64_t g = 0; g < n_groups; sums += values[g].n * kLanes, ++g)
      add_group(values[g], n, p->probabilities, p->inverse + g * kLanes, p->factor + g * kLanes, add, sums);
  }
}

void rotate_codes(const int8_t* codes, int64_t n, const float* coarse, const float* fine, float growth,
                  int16_t* out) noexcept {
  for (int64_t i = 0; i < n; i += 2) {
    float a = codes[i], b = codes[i + 1];
    for (const float* turn : {coarse + i, fine + i}) {
      const float before = a;
      a = a * turn[0] + b * turn[n];
      b = b * turn[1] + before * turn[n + 1];
    }
    out[i] = static_cast<int16_t>(std::nearbyint(a * growth));
    out[i + 1] = static_cast<int16_t>(std::nearbyint(b * growth));
  }
}

int plane_bits(const std::byte* plane, int bits, int64_t i) noexcept {
  if (bits == 0) return 0;
  const int64_t per_unit = 64 / bits, in_unit = i % per_unit;
  return static_cast<int>(plane[i / per_unit * 8 + in_unit % 8]) >> (bits * (in_unit / 8)) & ((1 << bits) - 1);
}

void unpack_levels(const CodePlanes& p, int64_t n, const int8_t* levels, int8_t* out) noexcept {
  for (int64_t i = 0; i < n; ++i)
    out[i] = levels[plane_bits(p.low, p.low_bits, i) | plane_bits(p.high, p.high_bits, i) << p.low_bits];
}

void scale_sums(float* sums, int64_t n, const float* rescale) noexcept {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) sums[i * kLanes + l] *= rescale[l];
}

void unpack_sums(const float* sums, int64_t n, float* out, int64_t stride) noexcept {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) out[l * stride + i] = sums[i * kLanes + l];
}

float quantize(const float* x, int64_t n, int largest, int16_t* codes) noexcept {
  return encode_group(x, n, largest, codes);
}

float quantize_bf16(const uint16_t* x, int64_t n, int largest, int16_t* codes) noexcept {
  float wide[kGroup];
  for (int64_t i = 0; i < n; ++i) wide[i] = bf16_to_f32(x[i]);
  return encode_group(wide, n, largest, codes);
}

}  // namespace

const Int16Kernel int16 = {
    .name = "ref",
    .biased_levels = false,
    .begin = nullptr,
    .end = nullptr,
    .quantize = quantize,
    .quantize_bf16 = quantize_bf16,
    .peak = nullptr,
#include "kernels/isa/int16_table.inl"
};

}  // namespace fathom::ref
