// Which tokens a grammar allows at one position, and a store of those that have been found.
#pragma once
#include <bit>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "grammar/digest.h"

namespace fathom {

// One bit for each token id of the vocabulary: id i is bit i % 64 of word i / 64.
class TokenMask {
 public:
  explicit TokenMask(int64_t n_ids) : bits_(static_cast<size_t>((n_ids + 63) / 64), 0), words(bits_) {}
  TokenMask(TokenMask&& other) noexcept : bits_(std::move(other.bits_)), words(bits_), count(other.count) {}

  bool allows(int32_t id) const noexcept {
    const auto word = static_cast<size_t>(id) / 64;  // a negative id is beyond all words
    return word < words.size() && (words[word] >> (id % 64) & 1) != 0;
  }

  // For who makes it: all ids first, then the count.
  void allow(int32_t id) noexcept { bits_[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64); }
  void set_count() noexcept {
    count = 0;
    for (const uint64_t word : bits_) count += std::popcount(word);
  }

 private:
  std::vector<uint64_t> bits_;

 public:
  std::span<const uint64_t> words;
  int64_t count = 0;  // ids that are allowed
};

namespace grammar {

// Masks by position and vocabulary, at most `max_bytes` of them: the one that was asked for least recently goes. For
// any number of threads.
class MaskCache {
 public:
  explicit MaskCache(size_t max_bytes) : max_bytes_(max_bytes) {}

  struct Key {
    Digest position;
    uint64_t vocabulary;  // TokenTrie::serial()
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    std::shared_ptr<const TokenMask> mask;
    bool too_costly = false;  // the mask is empty because finding it took more than kMaxMaskWork
  };

  Entry find(const Key& key);  // mask is null when it is not there
  void add(const Key& key, Entry entry);

 private:
  struct KeyHash {
    size_t operator()(const Key& k) const noexcept { return static_cast<size_t>(k.position.low ^ k.vocabulary); }
  };
  using Order = std::list<std::pair<Key, Entry>>;  // asked for last in front

  static size_t bytes_of(const Entry& e) noexcept { return e.mask->words.size_bytes() + 200; }

  const size_t max_bytes_;
  std::mutex mutex_;
  size_t bytes_ = 0;
  Order order_;
  std::unordered_map<Key, Order::iterator, KeyHash> places_;
};

}  // namespace grammar
}  // namespace fathom
