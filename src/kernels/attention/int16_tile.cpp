#include "kernels/attention/int16_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/dispatch.h"
#include "tensor/dtype.h"

namespace fathom {
namespace {

// A rotated pair of codes of at most 127 is at most 127 sqrt(2) long.
constexpr float kTailGrowth = static_cast<float>(kMaxCode) / (127.0f * 1.41421356f);

float half_at(const std::byte* section, int64_t i) noexcept {
  uint16_t h;
  std::memcpy(&h, section + 2 * i, sizeof h);
  return f16_to_f32(h);
}

}  // namespace

CachedTile::CachedTile(const CacheRow& row, const LatentCoder* coder, const KeyRotation* rotation)
    : row_(row), coder_(coder), rotation_(rotation) {
  const bool narrow = row_.type == CacheType::q8 || coder_ != nullptr;
  const auto add_part = [&](int64_t first, int64_t n, int64_t at, bool narrow_part) {
    for (int64_t i = 0; i < n; i += kGroup)
      groups_.push_back({.first = first + i,
                         .at = at + i * (narrow_part ? 1 : 2),
                         .n = std::min(kGroup, n - i),
                         .narrow = narrow_part});
  };
  const int64_t tail_at = coder_ != nullptr ? level_columns()
                          : row_.coded()    ? row_.tail_at()
                                            : 4 * n_words(row_.body());
  add_part(0, row_.body(), 0, narrow);
  add_part(row_.body(), row_.tail, tail_at, false);
  codes_.resize(groups_.size());
  for (size_t g = 0; g < groups_.size(); ++g)
    codes_[g] = {.n = groups_[g].n,
                 .narrow = groups_[g].narrow,
                 .byte_queries = groups_[g].narrow,
                 .byte_probs = groups_[g].narrow && coder_ != nullptr};
  rounded_bytes_ = row_.coded() ? 0 : tail_at + 4 * n_words(row_.tail);
  if (coder_ != nullptr) residuals_.reserve(static_cast<size_t>(kTileCells * coder_->row().outliers));
}

int64_t CachedTile::scratch_floats() const noexcept {
  return row_.coded() ? 0 : kTileCells * (rounded_bytes_ / 4 + static_cast<int64_t>(groups_.size()));
}

KvTile CachedTile::load(const Int16Kernel& k, const std::byte* stored, int64_t first_position, int64_t n,
                        float* scratch) noexcept {
  if (coder_ != nullptr)
    unpack_rows(k, stored, first_position, n, scratch);
  else if (!row_.coded())
    round_rows(k, stored, n, scratch);
  const auto* codes = row_.coded() ? stored : reinterpret_cast<const std::byte*>(scratch);
  const float* scales = row_.coded() ? reinterpret_cast<const float*>(stored + row_.scales_at())
                                     : scratch + kTileCells * (rounded_bytes_ / 4);
  for (size_t g = 0; g < groups_.size(); ++g) {
    codes_[g].codes = codes + groups_[g].at;
    codes_[g].stride = row_.coded() ? row_.stride() : rounded_bytes_;
    const size_t of = coder_ == nullptr ? g : groups_[g].narrow ? 0 : 1;  // rows of levels have two scales
    codes_[g].scales = scales + of * kTileCells;
    codes_[g].scale_stride = 1;
    codes_[g].biased = codes_[g].byte_probs && k.biased_levels;
  }
  const std::span<const CodeGroup> all(codes_);
  return {.n = n,
          .keys = all,
          .values = all.first(static_cast<size_t>(cache_groups(row_.body()))),
          .levels = coder_ != nullptr,
          .residuals = residuals_};
}

// One group of a stored row as codes; returns their scale.
float CachedTile::round_group(const Int16Kernel& k, const std::byte* row, const Group& g, int16_t* out) const noexcept {
  const bool fp8 = row_.type == CacheType::fp8, tail = g.first >= row_.body();
  if (row_.type == CacheType::f32) return k.quantize(reinterpret_cast<const float*>(row) + g.first, g.n, kMaxCode, out);
  if (!fp8) return k.quantize_bf16(reinterpret_cast<const uint16_t*>(row) + g.first, g.n, kMaxCode, out);
  if (tail)
    return k.quantize_bf16(reinterpret_cast<const uint16_t*>(row + row_.tail_at()) + g.first - row_.body(), g.n,
                           kMaxCode, out);
  alignas(64) float numbers[kGroup];
  float scale;
  decoder(kernels(), DType::f8_e4m3)(row + g.first, g.n, numbers);
  std::memcpy(&scale, row + row_.own_scales_at() + g.first / kGroup * 4, sizeof scale);
  return scale * k.quantize(numbers, g.n, kMaxCode, out);
}

void CachedTile::round_rows(const Int16Kernel& k, const std::byte* stored, int64_t n, float* scratch) noexcept {
  auto* codes = reinterpret_cast<std::byte*>(scratch);
  float* scales = scratch + kTileCells * (rounded_bytes_ / 4);
  for (int64_t j = 0; j < n; ++j, stored += row_.stride(), codes += rounded_bytes_)
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Group& g = groups_[i];
      auto* out = reinterpret_cast<int16_t*>(codes + g.at);
      scales[static_cast<int64_t>(i) * kTileCells + j] = round_group(k, stored, g, out);
      if (g.n % 2 != 0) out[g.n] = 0;
    }
}

// Levels in narrow groups that share the gains of their rows; the tail, rotated, in wide ones that share a scale.
void CachedTile::unpack_rows(const Int16Kernel& k, const std::byte* stored, int64_t first_position, int64_t n,
                             float* scratch) noexcept {
  const LatentRow& latent = coder_->row();
  const auto planes = latent.planes();
  auto* rows = reinterpret_cast<std::byte*>(scratch);
  int8_t levels[64];
  for (size_t i = 0; i < std::size(levels); ++i)
    levels[i] = static_cast<int8_t>(coder_->levels()[i] ^ (k.biased_levels ? -128 : 0));
  for (int64_t j = 0; j < n; ++j, rows += rounded_bytes_) {
    CodePlanes codes{.low = stored + planes[0].at + j * latent.plane_bytes(planes[0]), .low_bits = planes[0].bits};
    if (planes.size() > 1) {
      codes.high = stored + planes[1].at + j * latent.plane_bytes(planes[1]);
      codes.high_bits = planes[1].bits;
    }
    k.unpack_levels(codes, level_columns(), levels, reinterpret_cast<int8_t*>(rows));
    const int64_t position = first_position + j;
    k.rotate_codes(reinterpret_cast<const int8_t*>(stored + latent.tail_at()) + j * latent.R, latent.R,
                   rotation_->coarse(position), rotation_->fine(position), kTailGrowth,
                   reinterpret_cast<int16_t*>(rows + level_columns()));
  }
  float* scales = scratch + kTileCells * (rounded_bytes_ / 4);
  load_scales(stored, n, scales, scales + kTileCells);
  load_residuals(stored, n);
}

// What a level of each cell stands for, and a code of its tail. (A row that no level fits has a gain of 0, none has a
// negative one.)
void CachedTile::load_scales(const std::byte* stored, int64_t n, float* gains, float* tails) const noexcept {
  const LatentRow& latent = coder_->row();
  const auto halves = decoder(kernels(), DType::f16);
  if (latent.format.gain)
    halves(stored + latent.gains_at(), n, gains);
  else
    std::fill_n(gains, n, 1.0f / 127.0f);
  if (latent.R == 0) return;
  halves(stored + latent.tail_scales_at(), n, tails);
  const float one = rotation_->amplitude() / kTailGrowth;
  for (int64_t j = 0; j < n; ++j) tails[j] *= one;
}

void CachedTile::load_residuals(const std::byte* stored, int64_t n) noexcept {
  const LatentRow& latent = coder_->row();
  residuals_.clear();
  for (int64_t i = 0; i < n * latent.outliers; ++i)
    if (const float value = half_at(stored + latent.residuals_at(), i); value != 0.0f) {
      uint16_t column;
      std::memcpy(&column, stored + latent.outlier_columns_at() + 2 * i, sizeof column);
      residuals_.push_back({.cell = static_cast<int32_t>(i / latent.outliers), .column = column, .value = value});
    }
}

}  // namespace fathom
