#include "kernels/attention/int16_tile.h"

#include <algorithm>
#include <cmath>
#include <cstring>

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
  for (size_t g = 0; g < groups_.size(); ++g) codes_[g] = {.n = groups_[g].n, .narrow = groups_[g].narrow};
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
    codes_[g].scales = scales + g * kTileCells;
    codes_[g].scale_stride = 1;
  }
  const std::span<const CodeGroup> all(codes_);
  return {.n = n,
          .keys = all,
          .values = all.first(static_cast<size_t>(cache_groups(row_.body()))),
          .levels = coder_ != nullptr,
          .residuals = residuals_};
}

void CachedTile::round_rows(const Int16Kernel& k, const std::byte* stored, int64_t n, float* scratch) noexcept {
  auto* codes = reinterpret_cast<std::byte*>(scratch);
  float* scales = scratch + kTileCells * (rounded_bytes_ / 4);
  for (int64_t j = 0; j < n; ++j, stored += row_.stride(), codes += rounded_bytes_)
    for (size_t i = 0; i < groups_.size(); ++i) {
      const Group& g = groups_[i];
      auto* out = reinterpret_cast<int16_t*>(codes + g.at);
      scales[static_cast<int64_t>(i) * kTileCells + j] =
          row_.type == CacheType::f32
              ? k.quantize(reinterpret_cast<const float*>(stored) + g.first, g.n, kMaxCode, out)
              : k.quantize_bf16(reinterpret_cast<const uint16_t*>(stored) + g.first, g.n, kMaxCode, out);
      if (g.n % 2 != 0) out[g.n] = 0;
    }
}

// Levels in narrow groups that share the gains of their rows; the tail, rotated, in wide ones that share a scale.
void CachedTile::unpack_rows(const Int16Kernel& k, const std::byte* stored, int64_t first_position, int64_t n,
                             float* scratch) noexcept {
  const LatentRow& latent = coder_->row();
  const auto planes = latent.planes();
  auto* rows = reinterpret_cast<std::byte*>(scratch);
  float* scales = scratch + kTileCells * (rounded_bytes_ / 4);
  const int64_t body_groups = cache_groups(row_.body());
  residuals_.clear();
  for (int64_t j = 0; j < n; ++j, rows += rounded_bytes_) {
    CodePlanes codes{.low = stored + planes[0].at + j * latent.plane_bytes(planes[0]), .low_bits = planes[0].bits};
    if (planes.size() > 1) {
      codes.high = stored + planes[1].at + j * latent.plane_bytes(planes[1]);
      codes.high_bits = planes[1].bits;
    }
    k.unpack_levels(codes, level_columns(), coder_->levels().data(), reinterpret_cast<int8_t*>(rows));
    const float gain = latent.format.gain ? half_at(stored + latent.gains_at(), j) : 1.0f / 127.0f;
    // A negative gain (a row that no level fits) would not be a scale: such a row is stored with 0.
    for (int64_t g = 0; g < body_groups; ++g) scales[g * kTileCells + j] = gain;
    float tail_scale = 0;
    unpack_tail(stored, j, first_position + j, reinterpret_cast<int16_t*>(rows + level_columns()), &tail_scale);
    for (int64_t g = body_groups; g < std::ssize(groups_); ++g) scales[g * kTileCells + j] = tail_scale;
    for (int64_t i = j * latent.outliers; i < (j + 1) * latent.outliers; ++i)
      if (const float value = half_at(stored + latent.residuals_at(), i); value != 0.0f) {
        uint16_t column;
        std::memcpy(&column, stored + latent.outlier_columns_at() + 2 * i, sizeof column);
        residuals_.push_back({.cell = static_cast<int32_t>(j), .column = column, .value = value});
      }
  }
}

void CachedTile::unpack_tail(const std::byte* stored, int64_t j, int64_t position, int16_t* codes,
                             float* scale) noexcept {
  const LatentRow& latent = coder_->row();
  const auto* tail = reinterpret_cast<const int8_t*>(stored + latent.tail_at()) + j * latent.R;
  float rotated[kGroup];
  for (int64_t i = 0; i < latent.R; ++i) rotated[i] = static_cast<float>(tail[i]);
  rotation_->rotate(rotated, position);
  for (int64_t i = 0; i < latent.R; ++i)
    codes[i] = static_cast<int16_t>(static_cast<int32_t>(rotated[i] * kTailGrowth + 0x1.8p23f - 0x1.8p23f));
  *scale = half_at(stored + latent.tail_scales_at(), j) * (rotation_->amplitude() / kTailGrowth);
}

}  // namespace fathom
