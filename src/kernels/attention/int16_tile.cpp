#include "kernels/attention/int16_tile.h"

#include <algorithm>

namespace fathom {

CachedTile::CachedTile(const CacheRow& row) : row_(row) {
  const bool narrow = row.type == CacheType::q8;
  const auto add_part = [&](int64_t first, int64_t n, int64_t at, bool narrow_part) {
    for (int64_t i = 0; i < n; i += kGroup)
      groups_.push_back({.first = first + i,
                         .at = at + i * (narrow_part ? 1 : 2),
                         .n = std::min(kGroup, n - i),
                         .narrow = narrow_part});
  };
  const int64_t tail_at = row.coded() ? row.tail_at() : 4 * n_words(row.body());
  add_part(0, row.body(), 0, narrow);
  add_part(row.body(), row.tail, tail_at, false);
  codes_.resize(groups_.size());
  for (size_t g = 0; g < groups_.size(); ++g) codes_[g] = {.n = groups_[g].n, .narrow = groups_[g].narrow};
  rounded_bytes_ = row.coded() ? 0 : tail_at + 4 * n_words(row.tail);
}

int64_t CachedTile::scratch_floats() const noexcept {
  return row_.coded() ? 0 : kTileCells * (rounded_bytes_ / 4 + static_cast<int64_t>(groups_.size()));
}

std::span<const CodeGroup> CachedTile::load(const Int16Kernel& k, const std::byte* stored, int64_t n,
                                            float* scratch) noexcept {
  if (!row_.coded()) round_rows(k, stored, n, scratch);
  const auto* codes = row_.coded() ? stored : reinterpret_cast<const std::byte*>(scratch);
  const float* scales = row_.coded() ? reinterpret_cast<const float*>(stored + row_.scales_at())
                                     : scratch + kTileCells * (rounded_bytes_ / 4);
  for (size_t g = 0; g < groups_.size(); ++g) {
    codes_[g].codes = codes + groups_[g].at;
    codes_[g].stride = row_.coded() ? row_.stride() : rounded_bytes_;
    codes_[g].scales = scales + g * kTileCells;
    codes_[g].scale_stride = 1;
  }
  return codes_;
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

}  // namespace fathom
