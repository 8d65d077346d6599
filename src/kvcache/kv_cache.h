// The paged cache of past tokens: what attention needs of them, in blocks of kBlockTokens tokens.
//
// One row per layer and token. For MLA a row is [c_kv after kv_a_layernorm (kv_lora_rank) | k_r after RoPE
// (qk_rope_head_dim)], 576 numbers for every V2 model whatever its number of heads; for GQA and MHA it is [keys after
// RoPE | values] of all key/value heads. Source: arXiv:2405.04434 section 2.1.2 and Table 1.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvcache/cache_row.h"
#include "tensor/buffer.h"
#include "tensor/view.h"

namespace fathom {

struct CacheLayout {
  int64_t layers = 0;
  int64_t width = 0, tail = 0;  // numbers of a row, and how many of the last of them keep at least 13 bits
  CacheType type = CacheType::f32;
  CacheRow row() const noexcept { return {type, width, tail}; }
  int64_t bytes_per_token() const noexcept { return layers * row().bytes(); }
};

inline int64_t blocks_of(int64_t tokens) noexcept { return (tokens + kBlockTokens - 1) / kBlockTokens; }

// The blocks of a KvCache that no sequence owns.
struct FreeBlocks {
  std::vector<int32_t> numbers;
};

// The cached tokens of one sequence: the blocks that hold them, in order. It gives its blocks back when it is
// destroyed, before or after the KvCache that they are of. Only a KvCache changes it, always the same one.
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

  std::shared_ptr<FreeBlocks> free_;  // of the cache that the blocks are of; nullptr before the first token
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
  int64_t free_tokens() const noexcept { return std::ssize(free_->numbers) * kBlockTokens; }

  // Allocates blocks for `n` more tokens and counts them as stored: the caller writes their rows for every layer before
  // they are read. resource Error when there are not enough blocks; then nothing has changed.
  void extend(SequenceCache& sequence, int64_t n);
  // Forgets all tokens from position `length` on.
  void truncate(SequenceCache& sequence, int64_t length);

  // Writes the row of one token, rounding to the cache's type.
  void store(const SequenceCache& sequence, int64_t layer, int64_t position, VecView<const float> row) noexcept;

  // Rows of positions [first, first + n) as float32, all inside one block. For an f32 cache this is a view of the
  // cache; otherwise the rows are widened into `scratch`, which holds n * width numbers.
  MatView<const float> rows(const SequenceCache& sequence, int64_t layer, int64_t first, int64_t n,
                            float* scratch) const noexcept;

  // Start of the cache block of `layer` that holds `position`; the row of the position is number position %
  // kBlockTokens.
  const std::byte* stored(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept {
    return rows_at(sequence, layer, position);
  }

 private:
  int64_t slab_bytes() const noexcept;
  std::byte* rows_at(const SequenceCache& sequence, int64_t layer, int64_t position) const noexcept;

  CacheLayout layout_;
  int64_t block_bytes_ = 0, slab_blocks_ = 1;
  std::vector<Buffer<std::byte>> slabs_;  // (slab_blocks_, layers) times kBlockTokens rows, empty until first used
  std::shared_ptr<FreeBlocks> free_ = std::make_shared<FreeBlocks>();
};

}  // namespace fathom
