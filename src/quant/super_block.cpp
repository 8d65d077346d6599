#include "quant/super_block.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

constexpr int kRefinements = 2;

// The grids of a thorough search: further out, since an element of little weight may be cut off.
Grids wider(const Grids& g, float max_code) noexcept {
  return {.n = g.n + 8, .first = g.first, .step = g.step * (max_code > 7 ? 1.5f : 1.0f), .rounds = 4};
}

template <size_t N>
class AffineEncoder {
 public:
  AffineEncoder(const float* x, const float* w, const BlockShape& shape) noexcept : x_(x), w_(w), shape_(shape) {}

  AffineBlock encode(Search search) noexcept {
    const bool thorough = search == Search::thorough;
    float largest_scale = 0, largest_min = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      fits_[g] = AffineSearch<N>(x_ + g * N, w_ + g * N, shape_.max_code, false)
                     .best(thorough ? wider(shape_.grids, shape_.max_code) : shape_.grids);
      largest_scale = std::max(largest_scale, fits_[g].scale);
      largest_min = std::max(largest_min, fits_[g].min);
    }
    store_scales(largest_scale / shape_.max_scale, largest_min / shape_.max_scale, thorough);
    for (int round = 0; thorough && round < kRefinements; ++round) refine_scales();
    return b_;
  }

 private:
  static constexpr size_t kGroups = kSuperBlock / N;

  float level(float real, float unit) const noexcept {
    return nearest_code(real * inverse_or_zero(unit), 0, shape_.max_scale);
  }

  void store_scales(float d, float dmin, bool thorough) noexcept {
    b_.d = f32_to_f16(d);
    b_.dmin = f32_to_f16(dmin);
    d_ = f16_to_f32(b_.d), dmin_ = f16_to_f32(b_.dmin);
    for (size_t g = 0; g < kGroups; ++g) {
      AffineFit levels{level(fits_[g].scale, d_), level(fits_[g].min, dmin_)};
      if (thorough) levels = best_near(g, levels);
      b_.scale[g] = static_cast<uint8_t>(levels.scale);
      b_.min[g] = static_cast<uint8_t>(levels.min);
      final_codes<N>(x_ + g * N, d_ * levels.scale, dmin_ * levels.min, EvenLevels{0, shape_.max_code},
                     b_.q.data() + g * N);
    }
  }

  AffineFit best_near(size_t g, const AffineFit& middle) const noexcept {
    AffineFit best = middle;
    float least = error(g, middle);
    for (float scale = std::max(0.0f, middle.scale - 1); scale <= std::min(shape_.max_scale, middle.scale + 1); ++scale)
      for (float min = std::max(0.0f, middle.min - 1); min <= std::min(shape_.max_scale, middle.min + 1); ++min)
        if (const float e = error(g, {scale, min}); e < least) least = e, best = {scale, min};
    return best;
  }

  float error(size_t g, const AffineFit& levels) const noexcept {
    const float scale = d_ * levels.scale, min = dmin_ * levels.min, inverse = inverse_or_zero(scale);
    Float4 sums{};
    for (size_t i = g * N; i < (g + 1) * N; i += 4) {
      const Float4 shifted = load4(x_ + i) + min;
      const Float4 off = nearest_codes(shifted * inverse, 0, shape_.max_code) * scale - shifted;
      sums += off * off * load4(w_ + i);
    }
    return sum(sums);
  }

  // x ~ d a - dmin b with a = scale q, b = min: the two normal equations.
  void refine_scales() noexcept {
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (size_t i = 0; i < kSuperBlock; ++i) {
      const double w = w_[i], a = b_.scale[i / N] * b_.q[i], b = b_.min[i / N];
      aa += w * a * a, ab += w * a * b, bb += w * b * b, ax += w * a * x_[i], bx += w * b * x_[i];
    }
    const double det = aa * bb - ab * ab;
    const double d = bb > 0 ? (ax * bb - bx * ab) / det : ax / aa, dmin = bb > 0 ? (ax * ab - bx * aa) / det : 0;
    if (!(d > 0 && d < 65504 && dmin >= 0 && dmin < 65504)) return;
    for (size_t g = 0; g < kGroups; ++g)
      fits_[g] = {static_cast<float>(d) * b_.scale[g], static_cast<float>(dmin) * b_.min[g]};
    store_scales(static_cast<float>(d), static_cast<float>(dmin), true);
  }

  const float *x_, *w_;
  BlockShape shape_;
  std::array<AffineFit, kGroups> fits_{};
  float d_ = 0, dmin_ = 0;
  AffineBlock b_{};
};

template <size_t N, class Levels>
class SymmetricEncoder {
 public:
  SymmetricEncoder(const float* x, const float* w, const Levels& levels, const BlockShape& shape) noexcept
      : x_(x), w_(w), levels_(levels), shape_(shape) {}

  SymmetricBlock encode(Search search) noexcept {
    const bool thorough = search == Search::thorough;
    float extreme = 0;
    for (size_t g = 0; g < kGroups; ++g) {
      fits_[g] = fit_symmetric<N>(x_ + g * N, w_ + g * N, levels_,
                                  thorough ? wider(shape_.grids, shape_.max_code) : shape_.grids, thorough);
      if (std::abs(fits_[g]) > std::abs(extreme)) extreme = fits_[g];
    }
    store_scales(extreme / -(shape_.max_scale + 1), thorough);
    for (int round = 0; thorough && round < kRefinements; ++round) refine_scales();
    return b_;
  }

 private:
  static constexpr size_t kGroups = kSuperBlock / N;

  void store_scales(float d, bool thorough) noexcept {
    b_.d = f32_to_f16(d);
    d_ = f16_to_f32(b_.d);
    const float inverse_d = inverse_or_zero(d_), low = -shape_.max_scale - 1;
    for (size_t g = 0; g < kGroups; ++g) {
      float scale = nearest_code(fits_[g] * inverse_d, low, shape_.max_scale);
      if (thorough) scale = best_near(g, scale);
      b_.scale[g] = static_cast<int8_t>(scale);
      final_codes<N>(x_ + g * N, d_ * scale, 0, levels_, b_.q.data() + g * N);
    }
  }

  float best_near(size_t g, float middle) const noexcept {
    float best = middle, least = error(g, middle);
    for (float scale : {middle - 1, middle + 1})
      if (scale >= -shape_.max_scale - 1 && scale <= shape_.max_scale)
        if (const float e = error(g, scale); e < least) least = e, best = scale;
    return best;
  }

  float error(size_t g, float level) const noexcept {
    const float scale = d_ * level, inverse = inverse_or_zero(scale);
    Float4 sums{};
    for (size_t i = g * N; i < (g + 1) * N; i += 4) {
      const Float4 v = load4(x_ + i);
      const Float4 off = levels_.nearest(v * inverse) * scale - v;
      sums += off * off * load4(w_ + i);
    }
    return sum(sums);
  }

  void refine_scales() noexcept {
    double aa = 0, ax = 0;
    for (size_t i = 0; i < kSuperBlock; ++i) {
      const double w = w_[i], a = b_.scale[i / N] * static_cast<double>(levels_.level(b_.q[i]));
      aa += w * a * a, ax += w * a * x_[i];
    }
    const double d = ax / aa;
    if (!(std::abs(d) > 0 && std::abs(d) < 65504)) return;
    for (size_t g = 0; g < kGroups; ++g) fits_[g] = static_cast<float>(d) * b_.scale[g];
    store_scales(static_cast<float>(d), true);
  }

  const float *x_, *w_;
  Levels levels_;
  BlockShape shape_;
  std::array<float, kGroups> fits_{};
  float d_ = 0;
  SymmetricBlock b_{};
};

}  // namespace

template <size_t N>
AffineBlock encode_affine(const float* x, const float* w, const BlockShape& shape, Search search) noexcept {
  return AffineEncoder<N>(x, w, shape).encode(search);
}
template AffineBlock encode_affine<16>(const float*, const float*, const BlockShape&, Search) noexcept;
template AffineBlock encode_affine<32>(const float*, const float*, const BlockShape&, Search) noexcept;

template <size_t N, class Levels>
SymmetricBlock encode_symmetric(const float* x, const float* w, const Levels& levels, const BlockShape& shape,
                                Search search) noexcept {
  return SymmetricEncoder<N, Levels>(x, w, levels, shape).encode(search);
}
template SymmetricBlock encode_symmetric<16>(const float*, const float*, const EvenLevels&, const BlockShape&,
                                             Search) noexcept;
template SymmetricBlock encode_symmetric<32>(const float*, const float*, const Iq4Levels&, const BlockShape&,
                                             Search) noexcept;

}  // namespace fathom
