// The paged cache of past tokens: what attention needs of them, in blocks of kBlockTokens tokens.
//
// One row per layer and token. For MLA a row is [c_kv after kv_a_layernorm (kv_lora_rank) | k_r after RoPE
// (qk_rope_head_dim)], in the latent types of few bits k_r before RoPE, 576 numbers for every V2 model whatever its
// number of heads; for GQA and MHA it is [keys after RoPE | values] of all key/value heads. Source: arXiv:2405.04434
// section 2.1.2 and Table 1.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvcache/cache_row.h"
#include "kvcache/key_rotation.h"
#include "tensor/buffer.h"
#include "tensor/view.h"

namespace fathom {

struct CacheLayout {
  int64_t layers = 0;
  int64_t width = 0, tail = 0;  // numbers of a row, and how many of the last of them keep at least 13 bits
  CacheType type = CacheType::f32;
  // Of a latent type: how keys are rotated when they are read, and what the latents of a calibrated one are coded by.
  std::vector<double> frequencies = {};
  double amplitude = 1;
  std::shared_ptr<const LatentCalibration> calibration = {};
  CacheRow row() const noexcept { return {type, width, tail}; }
  int64_t bytes_per_token() const noexcept { return layers * row().bytes(); }
};

inline int64_t blocks_of(int64_t tokens) noexcept { return (tokens + kBlockTokens - 1) / kBlockTokens; }

// Who holds the blocks of a KvCache: sequences, and the index of prefixes (prefix_index.h). A block that nobody holds
// is free.
class BlockPool {
 public:
  explicit BlockPool(int64_t n_blocks);

  int64_t n_blocks() const noexcept { return std::ssize(holders_); }
  int64_t n_free() const noexcept { return std::ssize(free_); }
  // Takes a free block, with one holder.
  int32_t take() noexcept;
  void hold(int32_t block) noexcept { ++holders_[static_cast<size_t>(block)]; }
  void release(int32_t block) noexcept;
  int32_t holders(int32_t block) const noexcept { return holders_[static_cast<size_t>(block)]; }

 private:
  std::vector<int32_t> free_;     // has room for all of them, so that nothing is allocated later
  std::vector<int32_t> holders_;  // by block
};

// The cached tokens of one sequence: the blocks that hold them, in order. Whole blocks may be shared with other
// sequences; a block that is not full yet is its own. It lets go of its blocks when it is destroyed, before or after
// the KvCache that they are of. Only a KvCache changes it, always the same one.
class SequenceCache {
 public:
  SequenceCache() = default;
  ~SequenceCache();
  SequenceCache(SequenceCache&& other) noexcept;
  SequenceCache& operator=(SequenceCache&& other) noexcept;

  int64_t length() const noexcept { return length_; }  // tokens stored; the next token's position
  std::span<const int32_t> blocks() const noexcept { return blocks_; }

 private:
  friend class KvCache;
  void keep_blocks(size_t n) noexcept;

  std::shared_ptr<BlockPool> pool_;  // of the cache that the blocks are of; nullptr before the first token
  std::vector<int32_t> blocks_;
  int64_t length_ = 0;
};

// Not thread-safe, except that rows of different tokens may be written and rows may be read by several threads at once.
class KvCache {
 public:
  // Holds up to max_tokens, rounded up to whole blocks. Memory is allocated when it is first used, several blocks at a
  // time, so that it is in huge pages: attention at depth reads all of it for every token.
  KvCache(const CacheLayout& layout, int64_t max_tokens);

  const CacheLayout& layout() const noexcept { return layout_; }
  int64_t free_tokens() const noexcept { return pool_->n_free() * kBlockTokens; }
  int64_t n_blocks() const noexcept { return pool_->n_blocks(); }
  BlockPool& pool() noexcept { return *pool_; }

  // Allocates blocks for `n` more tokens and counts them as stored: the caller writes their rows for every layer before
  // they are read. resource Error when there are not enough blocks; then nothing has changed.
  void extend(SequenceCache& sequence, int64_t n);
  // Begins an empty sequence with whole blocks that others hold too: their rows are read, never written again.
  void share(SequenceCache& sequence, std::span<const int32_t> blocks);
  // Adds a block to a sequence of whole blocks: a copy of the first n rows of every layer of `block`. resource Error as
  // extend().
  void append_copy(SequenceCache& sequence, int32_t block, int64_t n);
  // Forgets all tokens from position `length` on. The block that holds `length` must be the sequence's own, unless
  // length is a multiple of kBlockTokens.
  void truncate(SequenceCache& sequence, int64_t length);

  // Of a latent type: how the rows of a layer are coded, else nullptr; and how keys are rotated when they are read.
  const LatentCoder* coder(int64_t layer) const noexcept {
    return coders_.empty() ? nullptr : &coders_[coders_.size() == 1 ? 0 : static_cast<size_t>(layer)];
  }
  const KeyRotation& rotation() const noexcept { return rotation_; }

  // Writes the row of one token, rounding to the cache's type. Of a latent type its tail is not rotated yet.
  void store(const SequenceCache& sequence, int64_t layer, int64_t position, VecView<const float> row) noexcept;

  // Rows of positions [first, first + n) as float32, their tail rotated, all inside one block. For an f32 cache this is
  // a view of the cache; otherwise the rows are widened into `scratch`, which holds n * width numbers.
  MatView<const float> rows(const SequenceCache& sequence, int64_t layer, int64_t first, int64_t n,
                            float* scratch) const noexcept;

  // Start of the cache block of `layer` that holds `position`; the row of the position is number position %
  // kBlockTokens.
  const std::byte* stored(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept {
    return rows_at(sequence, layer, position);
  }

 private:
  int64_t slab_bytes() const noexcept;
  std::byte* block_at(int32_t block) const noexcept;
  std::byte* rows_at(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept;

  CacheLayout layout_;
  std::vector<LatentCoder> coders_;  // one a layer, or one for all
  KeyRotation rotation_;
  int64_t block_bytes_ = 0, slab_blocks_ = 1;
  std::vector<Buffer<std::byte>> slabs_;  // (slab_blocks_, layers) times kBlockTokens rows, empty until first used
  std::shared_ptr<BlockPool> pool_;
};

}  // namespace fathom
