// Rows of the KV cache as the codes that attention multiplies: the cache's own where it holds codes of 8 or 13 bits,
// else rounded here, or (a latent type, kvcache/latent_row.h) unpacked to levels, with keys rotated to their positions.
#pragma once
#include <vector>

#include "kernels/attention/int16_attention.h"
#include "kvcache/cache_row.h"
#include "kvcache/key_rotation.h"

namespace fathom {

static_assert(kGroup == kCacheGroup && kTileCells == kBlockTokens && kMaxCode == kCode16,
              "the cache's codes are multiplied as they are stored");

// Whether the bodies of a cache's rows are codes of 8 bits, so that folded queries have 8 bits too (kMaxCode8).
inline bool has_byte_keys(const CacheRow& row) noexcept { return row.type == CacheType::q8 || row.latent(); }

// Loads one K/V tile after another for one thread. Groups: those of a row's body, then those of its tail.
class CachedTile {
 public:
  // coder and rotation: of the cache and layer, for rows of a latent type.
  explicit CachedTile(const CacheRow& row, const LatentCoder* coder = nullptr, const KeyRotation* rotation = nullptr);

  int64_t body_groups() const noexcept { return cache_groups(row_.body()); }
  int64_t scratch_floats() const noexcept;  // of load

  // Loads the first n of the kTileCells rows of the block at `stored`, the first of which is at first_position. What is
  // returned is valid until the next call, and as long as scratch (scratch_floats(), 64-byte aligned) and the rows are.
  KvTile load(const Int16Kernel& k, const std::byte* stored, int64_t first_position, int64_t n,
              float* scratch) noexcept;

 private:
  struct Group {
    int64_t first, at;  // its first column, and the byte of a row where its codes are
    int64_t n;
    bool narrow;
  };
  float round_group(const Int16Kernel& k, const std::byte* row, const Group& g, int16_t* out) const noexcept;
  void round_rows(const Int16Kernel& k, const std::byte* stored, int64_t n, float* scratch) noexcept;
  void unpack_rows(const Int16Kernel& k, const std::byte* stored, int64_t first_position, int64_t n,
                   float* scratch) noexcept;
  void load_scales(const std::byte* stored, int64_t n, float* gains, float* tails) const noexcept;
  void load_residuals(const std::byte* stored, int64_t n) noexcept;
  int64_t level_columns() const noexcept { return coder_->row().columns(); }

  CacheRow row_;
  const LatentCoder* coder_ = nullptr;  // of a latent type
  const KeyRotation* rotation_ = nullptr;
  std::vector<CellResidual> residuals_;
  std::vector<Group> groups_;
  std::vector<CodeGroup> codes_;
  int64_t rounded_bytes_ = 0;  // of a row rounded here
};

}  // namespace fathom
