#include "kvcache/kv_cache.h"

#include <algorithm>
#include <utility>

#include "base/machine/huge_pages.h"
#include "base/round.h"

namespace fathom {
namespace {

constexpr int64_t kSlabBytes = 8 * static_cast<int64_t>(kHugePage);

}  // namespace

SequenceCache::~SequenceCache() { keep_blocks(0); }

SequenceCache::SequenceCache(SequenceCache&& other) noexcept
    : free_(std::move(other.free_)), blocks_(std::move(other.blocks_)), length_(std::exchange(other.length_, 0)) {
  other.blocks_.clear();
}

SequenceCache& SequenceCache::operator=(SequenceCache&& other) noexcept {
  std::swap(free_, other.free_);
  std::swap(blocks_, other.blocks_);
  std::swap(length_, other.length_);
  return *this;
}

// The free list has room for the number of every block (KvCache's constructor reserves it), so nothing is allocated.
void SequenceCache::keep_blocks(size_t n) noexcept {
  for (; blocks_.size() > n; blocks_.pop_back()) free_->numbers.push_back(blocks_.back());
}

KvCache::KvCache(const CacheLayout& layout, int64_t max_tokens)
    : layout_(layout), block_bytes_(layout.bytes_per_token() * kBlockTokens) {
  const int64_t n_blocks = blocks_of(max_tokens);
  slab_blocks_ = std::max<int64_t>(1, std::min(n_blocks, kSlabBytes / std::max<int64_t>(1, block_bytes_)));
  slabs_.resize(static_cast<size_t>((n_blocks + slab_blocks_ - 1) / slab_blocks_));
  free_->numbers.reserve(static_cast<size_t>(n_blocks));
  for (int64_t b = n_blocks - 1; b >= 0; --b) free_->numbers.push_back(static_cast<int32_t>(b));
}

// Whole huge pages where there is more than one.
int64_t KvCache::slab_bytes() const noexcept {
  const int64_t bytes = slab_blocks_ * block_bytes_;
  return bytes > static_cast<int64_t>(kHugePage) ? rounded_up(bytes, static_cast<int64_t>(kHugePage)) : bytes;
}

void KvCache::extend(SequenceCache& sequence, int64_t n) {
  check(sequence.free_ == nullptr || sequence.free_ == free_, "a sequence stays in one cache");
  const int64_t more = blocks_of(sequence.length_ + n) - std::ssize(sequence.blocks_);
  if (more > std::ssize(free_->numbers))
    throw_resource(
        "the cache is full: {} more tokens need {} blocks of {} tokens, {} are free; try a larger --ctx or a shorter "
        "text",
        n, more, kBlockTokens, free_->numbers.size());
  sequence.free_ = free_;
  for (int64_t i = 0; i < more; ++i) {
    const int32_t block = free_->numbers.back();
    Buffer<std::byte>& slab = slabs_[static_cast<size_t>(block / slab_blocks_)];
    if (slab.size() == 0) slab = Buffer<std::byte>(slab_bytes());
    sequence.blocks_.push_back(block);
    free_->numbers.pop_back();
  }
  sequence.length_ += n;
}

void KvCache::truncate(SequenceCache& sequence, int64_t length) {
  check(length >= 0 && length <= sequence.length_, "truncate keeps a part of what is stored");
  sequence.keep_blocks(static_cast<size_t>(blocks_of(length)));
  sequence.length_ = length;
}

std::byte* KvCache::rows_at(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept {
  dcheck(position >= 0 && position < sequence.length_ && layer >= 0 && layer < layout_.layers, "a stored row");
  const int32_t block = sequence.blocks_[static_cast<size_t>(position / kBlockTokens)];
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
