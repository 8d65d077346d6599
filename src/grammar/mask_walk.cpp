#include "grammar/mask_walk.h"

#include <array>
#include <bitset>
#include <optional>

#include "grammar/char_kinds.h"
#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

constexpr uint32_t kDead = 0;  // the place without threads
constexpr int64_t kCostOfTable = 32;
constexpr int kLongestSkip = 12;  // characters, from places that do not lead back to themselves

using Table = std::array<uint32_t, 256>;

// The automaton that positions make of the network, as far as a walk comes: places numbered as they are met.
class PlaceTable {
 public:
  explicit PlaceTable(const Network& network) : network_(network), stepper_(network) {
    stepper_.set_budget(kMaxMaskWork);
    places_.emplace_back();
  }

  uint32_t place_of(Position position) {
    if (position.threads.empty()) return kDead;
    const auto [known, is_new] = by_digest_.try_emplace(position.digest, static_cast<uint32_t>(places_.size()));
    if (is_new) places_.push_back({std::move(position), nullptr, {}});
    return known->second;
  }

  // Where each byte leads.
  const Table& next(uint32_t place) {
    if (places_[place].next == nullptr) expand(place);
    return *places_[place].next;
  }

  // Whether every text of at most n characters of these kinds can be read from here, as the strides of places show.
  bool reads_all(uint32_t place, CharKinds kinds, int n) {
    if ((kinds & kIllFormed) != 0) return false;  // or the way here ends within a character
    for (int step = 0; step < n; ++step) {
      if (step == kLongestSkip) return false;
      const Stride& stride = stride_of(place, kinds);
      if ((kinds & ~stride.kinds) != 0) return false;
      if (stride.to == place) return true;
      place = stride.to;
    }
    return true;
  }

  bool exhausted() const noexcept { return stepper_.exhausted(); }

 private:
  // Each character of these kinds, whole, leads to the same place. Within strings that is the place itself, or the next
  // one where characters are counted.
  struct Stride {
    uint32_t to = kDead;
    CharKinds kinds = 0;
    bool has_wide = false;  // kinds of more than one byte have been looked at
  };
  struct Place {
    Position position;
    std::unique_ptr<Table> next;
    std::optional<Stride> stride;
  };
  struct Reading {
    uint8_t first, last;
    Thread to;
  };

  void expand(uint32_t place) {
    auto table = std::make_unique<Table>();
    table->fill(kDead);
    std::vector<Reading> readings;
    std::bitset<257> cuts;
    for (const Thread& t : places_[place].position.threads)
      for (const ByteEdge& e : network_.bytes(t.state)) {
        readings.push_back({e.first, e.last, {e.to, t.frame}});
        cuts.set(e.first);
        cuts.set(e.last + 1u);
      }
    stepper_.spend(kCostOfTable + static_cast<int64_t>(readings.size()));
    for (unsigned first = 0, end = 0; first < 256; first = end) {
      for (end = first + 1; end < 256 && !cuts[end]; ++end) continue;
      const uint32_t to = after(readings, static_cast<uint8_t>(first));
      std::fill(table->begin() + first, table->begin() + end, to);
    }
    places_[place].next = std::move(table);
  }

  // Bytes that lead to the same threads need not be followed twice.
  uint32_t after(const std::vector<Reading>& readings, uint8_t byte) {
    std::vector<Thread> moved;
    words_.clear();
    stepper_.spend(static_cast<int64_t>(readings.size()));
    for (const Reading& r : readings) {
      if (byte < r.first || byte > r.last) continue;
      moved.push_back(r.to);
      words_.insert(words_.end(), {r.to.state, r.to.frame->digest.low, r.to.frame->digest.high});
    }
    if (moved.empty() || exhausted()) return kDead;
    const auto [known, is_new] = by_threads_.try_emplace(digest_of(words_, 3), kDead);
    if (is_new) {
      Position position = stepper_.closed(std::move(moved));
      known->second = position.threads.empty() && position.may_end ? complete() : place_of(std::move(position));
    }
    return known->second;
  }

  const Stride& stride_of(uint32_t place, CharKinds kinds) {
    if (!places_[place].stride) {
      const Stride narrow = narrow_stride(next(place));  // may move places_
      places_[place].stride = narrow;
    }
    const Stride known = *places_[place].stride;
    const bool asks_wide = (kinds >> kTwoBytes) != 0;
    if (asks_wide && !known.has_wide && known.to != kDead) {
      const CharKinds wide = wide_kinds(next(place), known.to);  // as above
      places_[place].stride = Stride{known.to, known.kinds | wide, true};
    }
    return *places_[place].stride;
  }

  static Stride narrow_stride(const Table& table) {
    Stride out;
    for (const unsigned char c : {'a', 'A', '0', ' '})
      if (out.to == kDead) out.to = table[c];
    if (out.to == kDead) return out;
    CharKinds others = 0;
    for (unsigned byte = 0; byte < 0x80; ++byte)
      (table[byte] == out.to ? out.kinds : others) |= CharKinds{1} << ascii_kind(static_cast<uint8_t>(byte));
    out.kinds &= ~others;
    return out;
  }

  CharKinds wide_kinds(const Table& table, uint32_t to) {
    CharKinds kinds = 0, others = 0;
    for (unsigned byte = 0xC2; byte <= 0xF4; ++byte) {
      const Continuation at = begin_char(static_cast<uint8_t>(byte));
      const bool as_before = table[byte] == table[byte - 1] && at == begin_char(static_cast<uint8_t>(byte - 1));
      if (!as_before) (leads_to(table[byte], at, to) ? kinds : others) |= CharKinds{1} << at.kind;
    }
    return kinds & ~others;
  }

  // Whether every way to end the character leads to that place. At most three bytes deep.
  bool leads_to(uint32_t from, const Continuation& at, uint32_t to) {
    if (at.left == 0 || from == kDead) return from == to;
    const Table& table = next(from);  // a table stays where it is
    const Continuation after = next_in_char(at, at.first);
    for (unsigned byte = at.first; byte <= at.last; ++byte)
      if ((byte == at.first || table[byte] != table[byte - 1]) && !leads_to(table[byte], after, to)) return false;
    return true;
  }

  // The one place where the text is complete and nothing may follow.
  uint32_t complete() {
    if (complete_ == kDead) {
      complete_ = static_cast<uint32_t>(places_.size());
      places_.emplace_back();
    }
    return complete_;
  }

  const Network& network_;
  Stepper stepper_;
  std::vector<Place> places_;
  std::unordered_map<Digest, uint32_t, DigestHash> by_digest_, by_threads_;
  uint32_t complete_ = kDead;
  std::vector<uint64_t> words_;
};

void walk(PlaceTable& places, const TokenTrie& trie, uint32_t start, TokenMask& mask) {
  const auto nodes = trie.nodes();
  const auto ids = trie.ids();
  const auto kinds_behind = trie.kinds_behind();
  const auto chars_behind = trie.chars_behind();
  std::vector<const Table*> tables(trie.max_depth() + 1);  // by depth
  tables[0] = &places.next(start);
  for (uint32_t at = 0; at < nodes.size() && !places.exhausted();) {
    const TokenTrie::Node& node = nodes[at];
    const uint32_t place = (*tables[node.depth - 1u])[node.byte];
    if (place == kDead) {
      at = node.behind;
      continue;
    }
    uint32_t next = at + 1;
    if (node.behind != next) {
      if (places.reads_all(place, kinds_behind[at], chars_behind[at]))
        next = node.behind;
      else
        tables[node.depth] = &places.next(place);
    }
    for (uint32_t i = at == 0 ? 0 : nodes[at - 1].ids_end; i < nodes[next - 1].ids_end; ++i) mask.allow(ids[i]);
    at = next;
  }
}

}  // namespace

MaskCache::Entry find_mask(const Network& network, const TokenTrie& trie, const Position& position) {
  TokenMask mask(trie.n_ids());
  PlaceTable places(network);
  const uint32_t start = places.place_of(position);
  if (start != kDead) walk(places, trie, start, mask);
  if (position.may_end)
    for (const int32_t id : trie.end_ids()) mask.allow(id);
  mask.set_count();
  if (places.exhausted()) return {std::make_shared<const TokenMask>(trie.n_ids()), true};
  return {std::make_shared<const TokenMask>(std::move(mask)), false};
}

}  // namespace fathom::grammar
