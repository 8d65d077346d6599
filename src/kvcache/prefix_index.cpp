#include "kvcache/prefix_index.h"

#include <algorithm>

#include "base/xxh64.h"

namespace fathom {
namespace {

uint64_t hash_of(std::span<const uint64_t> keys) { return xxh64(std::as_bytes(keys)); }

size_t common(std::span<const uint64_t> a, std::span<const uint64_t> b) {
  return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

std::span<const uint64_t> block_of(std::span<const uint64_t> keys, size_t i) {
  constexpr auto n = static_cast<size_t>(kBlockTokens);
  return keys.subspan(i * n, std::min(n, keys.size() - i * n));
}

}  // namespace

PrefixIndex::~PrefixIndex() { clear(); }

void PrefixIndex::clear() {
  while (!recent_.empty()) erase(recent_.back());
  roots_.clear();
}

PrefixIndex::Node* PrefixIndex::child(const Node& node, std::span<const uint64_t> keys) {
  const auto [first, last] = node.children.equal_range(hash_of(keys));
  const auto found =
      std::find_if(first, last, [&](const auto& entry) { return std::ranges::equal(entry.second->keys, keys); });
  return found == last ? nullptr : found->second.get();
}

// The child that begins with the most of keys, and how many. Siblings are few, and this is asked once a sequence.
std::pair<PrefixIndex::Node*, int64_t> PrefixIndex::closest_child(const Node& node, std::span<const uint64_t> keys) {
  std::pair<Node*, int64_t> best = {nullptr, 0};
  for (const auto& entry : node.children)
    if (const auto n = static_cast<int64_t>(common(entry.second->keys, keys)); n > best.second)
      best = {entry.second.get(), n};
  return best;
}

const PrefixIndex::Node* PrefixIndex::root(uint64_t salt) const {
  const auto found = roots_.find(salt);
  return found == roots_.end() ? nullptr : found->second.get();
}

// The nodes of the whole blocks that are stored.
std::vector<PrefixIndex::Node*> PrefixIndex::path(uint64_t salt, std::span<const uint64_t> keys) const {
  std::vector<Node*> nodes;
  const Node* at = root(salt);
  for (size_t i = 0; at != nullptr && (i + 1) * kBlockTokens <= keys.size(); ++i) {
    Node* next = child(*at, block_of(keys, i));
    if (next == nullptr) break;
    nodes.push_back(next);
    at = next;
  }
  return nodes;
}

int64_t PrefixIndex::stored(uint64_t salt, std::span<const uint64_t> keys) const {
  return std::ssize(path(salt, keys)) * kBlockTokens;
}

int64_t PrefixIndex::take(SequenceCache& sequence, uint64_t salt, std::span<const uint64_t> keys) {
  ++counts_.queries;
  counts_.tokens_asked += std::ssize(keys);
  const std::vector<Node*> nodes = path(salt, keys);
  std::vector<int32_t> blocks;
  for (const Node* n : nodes) blocks.push_back(n->block);
  cache_.share(sequence, blocks);
  const Node* last = nodes.empty() ? root(salt) : nodes.back();
  const auto rest = keys.subspan(blocks.size() * kBlockTokens);
  if (last != nullptr && !rest.empty()) {
    const auto [part, n] = closest_child(*last, rest.first(std::min<size_t>(rest.size(), kBlockTokens)));
    if (part != nullptr) {
      cache_.pool().hold(part->block);  // or making room for the copy might free it
      const auto release = [&](const int32_t* block) { cache_.pool().release(*block); };
      const std::unique_ptr<const int32_t, decltype(release)> held(&part->block, release);
      if (make_room(1)) cache_.append_copy(sequence, part->block, n);
      touch(part);
    }
  }
  for (size_t i = nodes.size(); i-- > 0;) touch(nodes[i]);
  counts_.tokens_found += sequence.length();
  return sequence.length();
}

// A part that `keys` begins with says nothing that they do not.
void PrefixIndex::drop_parts_of(Node& node, std::span<const uint64_t> keys) {
  std::vector<Node*> parts;
  for (const auto& entry : node.children) {
    const Node& c = *entry.second;
    if (c.keys.size() < keys.size() && c.children.empty() && common(c.keys, keys) == c.keys.size())
      parts.push_back(entry.second.get());
  }
  for (Node* part : parts) erase(part);
}

PrefixIndex::Node* PrefixIndex::add_child(Node& node, std::span<const uint64_t> keys, int32_t block) {
  drop_parts_of(node, keys);
  auto added = std::make_unique<Node>();
  added->parent = &node;
  added->keys.assign(keys.begin(), keys.end());
  added->hash = hash_of(keys);
  added->block = block;
  Node* raw = added.get();
  std::list<Node*> place(1, raw);
  raw->place = place.begin();
  node.children.emplace(raw->hash, std::move(added));
  recent_.splice(recent_.begin(), place);
  cache_.pool().hold(block);
  return raw;
}

void PrefixIndex::add(const SequenceCache& sequence, uint64_t salt, std::span<const uint64_t> keys, bool also_part) {
  check(std::ssize(keys) <= sequence.length(), "keys of stored tokens");
  std::unique_ptr<Node>& root = roots_[salt];
  if (root == nullptr) root = std::make_unique<Node>();
  std::vector<Node*> used;
  Node* at = root.get();
  for (size_t i = 0; i * kBlockTokens < keys.size(); ++i) {
    const auto block = block_of(keys, i);
    const bool is_part = std::ssize(block) < kBlockTokens;
    if (is_part && (!also_part || closest_child(*at, block).second == std::ssize(block))) break;
    Node* next = child(*at, block);
    at = next != nullptr ? next : add_child(*at, block, sequence.blocks()[i]);
    used.push_back(at);
  }
  for (size_t i = used.size(); i-- > 0;) touch(used[i]);
}

void PrefixIndex::touch(Node* node) { recent_.splice(recent_.begin(), recent_, node->place); }

void PrefixIndex::erase(Node* node) {
  cache_.pool().release(node->block);
  recent_.erase(node->place);
  auto& siblings = node->parent->children;
  const auto [first, last] = siblings.equal_range(node->hash);
  siblings.erase(std::find_if(first, last, [&](const auto& entry) { return entry.second.get() == node; }));
}

void PrefixIndex::erase_with_all_below(Node* node) {
  std::vector<Node*> below = {node};
  for (size_t i = 0; i < below.size(); ++i)
    for (const auto& entry : below[i]->children) below.push_back(entry.second.get());
  for (size_t i = below.size(); i-- > 0;) erase(below[i]);
}

bool PrefixIndex::make_room(int64_t n) {
  for (auto at = recent_.end(); cache_.pool().n_free() < n && at != recent_.begin();) {
    Node* node = *--at;
    if (!node->children.empty() || !is_idle(*node)) continue;
    ++at;  // stays valid when the node before it goes
    erase(node);
    ++counts_.blocks_evicted;
  }
  // What is left has blocks in use below it, of sequences that computed the rows above themselves.
  while (cache_.pool().n_free() < n) {
    const auto idle = std::find_if(recent_.rbegin(), recent_.rend(), [&](const Node* node) { return is_idle(*node); });
    if (idle == recent_.rend()) break;
    erase_with_all_below(*idle);
    ++counts_.blocks_evicted;
  }
  return cache_.pool().n_free() >= n;
}

int64_t PrefixIndex::n_idle() const noexcept {
  return std::count_if(recent_.begin(), recent_.end(), [&](const Node* node) { return is_idle(*node); });
}

}  // namespace fathom
