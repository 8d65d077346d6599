#include "kvcache/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/machine/huge_pages.h"
#include "base/round.h"

namespace fathom {
namespace {

constexpr int64_t kSlabBytes = 8 * static_cast<int64_t>(kHugePage);

}  // namespace

BlockPool::BlockPool(int64_t n_blocks) : holders_(static_cast<size_t>(n_blocks)) {
  free_.reserve(static_cast<size_t>(n_blocks));
  for (int64_t b = n_blocks - 1; b >= 0; --b) free_.push_back(static_cast<int32_t>(b));
}

int32_t BlockPool::take() noexcept {
  const int32_t block = free_.back();
  free_.pop_back();
  holders_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockPool::release(int32_t block) noexcept {
  if (--holders_[static_cast<size_t>(block)] == 0) free_.push_back(block);
}

SequenceCache::~SequenceCache() { keep_blocks(0); }

SequenceCache::SequenceCache(SequenceCache&& other) noexcept
    : pool_(std::move(other.pool_)), blocks_(std::move(other.blocks_)), length_(std::exchange(other.length_, 0)) {
  other.blocks_.clear();
}

SequenceCache& SequenceCache::operator=(SequenceCache&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(blocks_, other.blocks_);
  std::swap(length_, other.length_);
  return *this;
}

void SequenceCache::keep_blocks(size_t n) noexcept {
  for (; blocks_.size() > n; blocks_.pop_back()) pool_->release(blocks_.back());
}

KvCache::KvCache(const CacheLayout& layout, int64_t max_tokens)
    : layout_(layout),
      block_bytes_(layout.bytes_per_token() * kBlockTokens),
      pool_(std::make_shared<BlockPool>(blocks_of(max_tokens))) {
  const CacheRow row = layout.row();
  if (const LatentFormat* format = latent_format(layout.type)) {
    const LatentRow latent(*format, row.body(), row.tail);
    check(!format->calibrated ||
              (layout.calibration != nullptr && std::ssize(layout.calibration->layers) == layout.layers),
          "a calibration of all layers");
    for (int64_t i = 0; i < (format->calibrated ? layout.layers : 1); ++i)
      coders_.emplace_back(latent, format->calibrated ? &layout.calibration->layers[static_cast<size_t>(i)] : nullptr);
    rotation_ = KeyRotation(layout.frequencies, layout.amplitude, blocks_of(max_tokens) * kBlockTokens);
  }
  const int64_t n_blocks = blocks_of(max_tokens);
  slab_blocks_ = std::max<int64_t>(1, std::min(n_blocks, kSlabBytes / std::max<int64_t>(1, block_bytes_)));
  slabs_.resize(static_cast<size_t>((n_blocks + slab_blocks_ - 1) / slab_blocks_));
}

// Whole huge pages where there is more than one.
int64_t KvCache::slab_bytes() const noexcept {
  const int64_t bytes = slab_blocks_ * block_bytes_;
  return bytes > static_cast<int64_t>(kHugePage) ? rounded_up(bytes, static_cast<int64_t>(kHugePage)) : bytes;
}

void KvCache::extend(SequenceCache& sequence, int64_t n) {
  check(sequence.pool_ == nullptr || sequence.pool_ == pool_, "a sequence stays in one cache");
  const int64_t more = blocks_of(sequence.length_ + n) - std::ssize(sequence.blocks_);
  if (more > pool_->n_free())
    throw_resource(
        "the cache is full: {} more tokens need {} blocks of {} tokens, {} are free; try a larger --ctx or a shorter "
        "text",
        n, more, kBlockTokens, pool_->n_free());
  sequence.pool_ = pool_;
  const size_t before = sequence.blocks_.size();
  sequence.blocks_.reserve(before + static_cast<size_t>(more));
  try {
    for (int64_t i = 0; i < more; ++i) {
      const int32_t block = pool_->take();
      sequence.blocks_.push_back(block);
      Buffer<std::byte>& slab = slabs_[static_cast<size_t>(block / slab_blocks_)];
      if (slab.size() == 0) slab = Buffer<std::byte>(slab_bytes());
    }
  } catch (...) {
    sequence.keep_blocks(before);
    throw;
  }
  sequence.length_ += n;
}

void KvCache::share(SequenceCache& sequence, std::span<const int32_t> blocks) {
  check(sequence.blocks_.empty(), "only an empty sequence begins with blocks of others");
  sequence.pool_ = pool_;
  sequence.blocks_.assign(blocks.begin(), blocks.end());
  for (const int32_t block : blocks) pool_->hold(block);
  sequence.length_ = std::ssize(blocks) * kBlockTokens;
}

void KvCache::append_copy(SequenceCache& sequence, int32_t block, int64_t n) {
  check(sequence.length_ % kBlockTokens == 0 && n > 0 && n <= kBlockTokens, "a copy follows whole blocks");
  extend(sequence, n);
  std::memcpy(block_at(sequence.blocks_.back()), block_at(block), static_cast<size_t>(block_bytes_));
}

void KvCache::truncate(SequenceCache& sequence, int64_t length) {
  check(length >= 0 && length <= sequence.length_, "truncate keeps a part of what is stored");
  sequence.keep_blocks(static_cast<size_t>(blocks_of(length)));
  dcheck(length % kBlockTokens == 0 || pool_->holders(sequence.blocks_.back()) == 1, "rows of others stay");
  sequence.length_ = length;
}

std::byte* KvCache::block_at(int32_t block) const noexcept {
  return slabs_[static_cast<size_t>(block / slab_blocks_)].data() + block % slab_blocks_ * block_bytes_;
}

std::byte* KvCache::rows_at(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept {
  dcheck(position >= 0 && position < sequence.length_ && layer >= 0 && layer < layout_.layers, "a stored row");
  return block_at(sequence.blocks_[static_cast<size_t>(position / kBlockTokens)]) +
         layer * kBlockTokens * layout_.row().bytes();
}

void KvCache::store(const SequenceCache& sequence, int64_t layer, int64_t position, VecView<const float> row) noexcept {
  dcheck(row.size == layout_.width, "a whole row");
  std::byte* rows = rows_at(sequence, layer, position);
  if (const LatentCoder* latent = coder(layer))
    latent->store(row.data, rows, position % kBlockTokens);
  else
    store_row(layout_.row(), row.data, rows, position % kBlockTokens);
}

MatView<const float> KvCache::rows(const SequenceCache& sequence, int64_t layer, int64_t first, int64_t n,
                                   float* scratch) const noexcept {
  dcheck(first / kBlockTokens == (first + n - 1) / kBlockTokens, "rows of one block");
  const std::byte* stored = rows_at(sequence, layer, first);
  const CacheRow row = layout_.row();
  const int64_t begin = first % kBlockTokens;
  if (layout_.type == CacheType::f32)
    return {reinterpret_cast<const float*>(stored + begin * row.stride()), n, layout_.width};
  const LatentCoder* latent = coder(layer);
  for (int64_t i = 0; i < n; ++i) {
    float* x = scratch + i * row.width;
    if (latent == nullptr) {
      load_row(row, stored, begin + i, x);
      continue;
    }
    float* tail = x + row.body();
    latent->load_normalised(stored, begin + i, x, tail);
    latent->restore(x);
    rotation_.rotate(tail, first + i);
    for (int64_t k = 0; k < row.tail; ++k) tail[k] *= rotation_.amplitude();
  }
  return {scratch, n, layout_.width};
}

}  // namespace fathom
