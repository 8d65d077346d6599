// Rows of the KV cache as the codes that attention multiplies: the cache's own where it holds codes, else rounded here.
#pragma once
#include <vector>

#include "kernels/attention/int16_attention.h"
#include "kvcache/cache_row.h"

namespace fathom {

static_assert(kGroup == kCacheGroup && kTileCells == kBlockTokens && kMaxCode == kCode16,
              "the cache's codes are multiplied as they are stored");

// Loads one K/V tile after another for one thread. Groups: those of a row's body, then those of its tail.
class CachedTile {
 public:
  explicit CachedTile(const CacheRow& row);

  int64_t body_groups() const noexcept { return cache_groups(row_.body()); }
  int64_t scratch_floats() const noexcept;  // of load

  // Loads the first n of the kTileCells rows of the block at `stored`. The groups are valid until the next call, and
  // as long as scratch (scratch_floats(), 64-byte aligned) and the rows are.
  std::span<const CodeGroup> load(const Int16Kernel& k, const std::byte* stored, int64_t n, float* scratch) noexcept;

 private:
  struct Group {
    int64_t first, at;  // its first column, and the byte of a row where its codes are
    int64_t n;
    bool narrow;
  };
  void round_rows(const Int16Kernel& k, const std::byte* stored, int64_t n, float* scratch) noexcept;

  CacheRow row_;
  std::vector<Group> groups_;
  std::vector<CodeGroup> codes_;
  int64_t rounded_bytes_ = 0;  // of a row rounded here
};

}  // namespace fathom
