#include "kvcache/kv_cache.h"

#include <algorithm>

#include "base/huge_pages.h"
#include "base/round.h"

namespace fathom {
namespace {

constexpr int64_t kSlabBytes = 8 * static_cast<int64_t>(kHugePage);

}  // namespace

KvCache::KvCache(const CacheLayout& layout, int64_t max_tokens)
    : layout_(layout), block_bytes_(layout.bytes_per_token() * kBlockTokens) {
  const int64_t n_blocks = (max_tokens + kBlockTokens - 1) / kBlockTokens;
  slab_blocks_ = std::max<int64_t>(1, std::min(n_blocks, kSlabBytes / std::max<int64_t>(1, block_bytes_)));
  slabs_.resize(static_cast<size_t>((n_blocks + slab_blocks_ - 1) / slab_blocks_));
  free_.reserve(static_cast<size_t>(n_blocks));
  for (int64_t b = n_blocks - 1; b >= 0; --b) free_.push_back(static_cast<int32_t>(b));
}

// Whole huge pages where there is more than one.
int64_t KvCache::slab_bytes() const noexcept {
  const int64_t bytes = slab_blocks_ * block_bytes_;
  return bytes > static_cast<int64_t>(kHugePage) ? rounded_up(bytes, static_cast<int64_t>(kHugePage)) : bytes;
}

void KvCache::extend(SequenceCache& sequence, int64_t n) {
  const int64_t blocks_needed = (sequence.length + n + kBlockTokens - 1) / kBlockTokens;
  const int64_t more = blocks_needed - static_cast<int64_t>(sequence.blocks.size());
  if (more > static_cast<int64_t>(free_.size()))
    throw_resource(
        "the cache is full: {} more tokens need {} blocks of {} tokens, {} are free; try a larger --ctx or a shorter "
        "text",
        n, more, kBlockTokens, free_.size());
  for (int64_t i = 0; i < more; ++i) {
    const int32_t block = free_.back();
    Buffer<std::byte>& slab = slabs_[static_cast<size_t>(block / slab_blocks_)];
    if (slab.size() == 0) slab = Buffer<std::byte>(slab_bytes());
    free_.pop_back();
    sequence.blocks.push_back(block);
  }
  sequence.length += n;
}

void KvCache::truncate(SequenceCache& sequence, int64_t length) {
  check(length >= 0 && length <= sequence.length, "truncate keeps a part of what is stored");
  const auto keep = static_cast<size_t>((length + kBlockTokens - 1) / kBlockTokens);
  while (sequence.blocks.size() > keep) {
    free_.push_back(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  sequence.length = length;
}

std::byte* KvCache::rows_at(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept {
  dcheck(position >= 0 && position < sequence.length && layer >= 0 && layer < layout_.layers, "a stored row");
  const int32_t block = sequence.blocks[static_cast<size_t>(position / kBlockTokens)];
  return slabs_[static_cast<size_t>(block / slab_blocks_)].data() + block % slab_blocks_ * block_bytes_ +
         layer * kBlockTokens * layout_.row().bytes();
}

void KvCache::store(const SequenceCache& sequence, int64_t layer, int64_t position, VecView<const float> row) noexcept {
  dcheck(row.size == layout_.width, "a whole row");
  store_row(layout_.row(), row.data, rows_at(sequence, layer, position), position % kBlockTokens);
}

MatView<const float> KvCache::rows(const SequenceCache& sequence, int64_t layer, int64_t first, int64_t n,
                                   float* scratch) const noexcept {
  dcheck(first / kBlockTokens == (first + n - 1) / kBlockTokens, "rows of one block");
  const std::byte* stored = rows_at(sequence, layer, first);
  const CacheRow row = layout_.row();
  const int64_t begin = first % kBlockTokens;
  if (layout_.type == CacheType::f32)
    return {reinterpret_cast<const float*>(stored + begin * row.stride()), n, layout_.width};
  for (int64_t i = 0; i < n; ++i) load_row(row, stored, begin + i, scratch + i * row.width);
  return {scratch, n, layout_.width};
}

}  // namespace fathom
