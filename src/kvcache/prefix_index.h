// Prefixes that the cache still holds, so that a sequence that begins as an earlier one did need not run those tokens
// again: a tree whose nodes are blocks of kBlockTokens tokens, found by the hash of their tokens and compared token by
// token, so that a collision is no hit. Roots are apart by `salt`: sequences of different salts share nothing, and how
// long one of them takes says nothing about the others.
//
// The index holds its blocks (BlockPool). A block that only the index holds is idle: make_room() frees idle blocks, the
// least recently used first, of a prefix its end first.
//
// A token is given by a key, which is what must be equal: its id, and whatever else decides the bits of its row.
// Not thread-safe. The KvCache must outlive it.
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "kvcache/kv_cache.h"

namespace fathom {

struct PrefixCounts {
  int64_t queries = 0, tokens_asked = 0, tokens_found = 0, blocks_evicted = 0;
};

class PrefixIndex {
 public:
  explicit PrefixIndex(KvCache& cache) : cache_(cache) {}
  ~PrefixIndex();
  PrefixIndex(const PrefixIndex&) = delete;
  PrefixIndex& operator=(const PrefixIndex&) = delete;

  // Gives an empty sequence the rows of as many of the first tokens as are stored, at most keys.size(); whole blocks
  // are shared, the last part of one is copied if a block is free. Returns their number, the sequence's length.
  int64_t take(SequenceCache& sequence, uint64_t salt, std::span<const uint64_t> keys);
  // How many tokens take() would find, without the part of a block.
  int64_t stored(uint64_t salt, std::span<const uint64_t> keys) const;
  // Keeps the rows of the sequence's first tokens, of which keys says what they are. A block that is not full is kept
  // too; the sequence must not be extended while it is, so this is for one that ends: `also_part`.
  void add(const SequenceCache& sequence, uint64_t salt, std::span<const uint64_t> keys, bool also_part);

  // Frees idle blocks until n are free, those that nothing is stored below first. false: there are not so many.
  bool make_room(int64_t n);
  int64_t n_idle() const noexcept;  // blocks that only the index holds
  int64_t n_blocks() const noexcept { return std::ssize(recent_); }
  const PrefixCounts& counts() const noexcept { return counts_; }
  void clear();

 private:
  struct Node {
    Node* parent = nullptr;
    std::vector<uint64_t> keys;  // of the block's tokens; fewer than kBlockTokens in a part
    uint64_t hash = 0;
    int32_t block = -1;
    std::unordered_multimap<uint64_t, std::unique_ptr<Node>> children;  // by hash
    std::list<Node*>::iterator place;                                   // in recent_
  };
  static Node* child(const Node& node, std::span<const uint64_t> keys);
  static std::pair<Node*, int64_t> closest_child(const Node& node, std::span<const uint64_t> keys);
  const Node* root(uint64_t salt) const;
  std::vector<Node*> path(uint64_t salt, std::span<const uint64_t> keys) const;
  Node* add_child(Node& node, std::span<const uint64_t> keys, int32_t block);
  void drop_parts_of(Node& node, std::span<const uint64_t> keys);
  bool is_idle(const Node& node) const noexcept { return cache_.pool().holders(node.block) == 1; }
  void touch(Node* node);
  void erase(Node* node);
  void erase_with_all_below(Node* node);

  KvCache& cache_;
  std::unordered_map<uint64_t, std::unique_ptr<Node>> roots_;  // by salt
  std::list<Node*> recent_;  // all nodes but roots, most recently used first; a parent before its children
  PrefixCounts counts_;
};

}  // namespace fathom
