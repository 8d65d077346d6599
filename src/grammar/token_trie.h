// The tokens of a vocabulary as a trie of their bytes, for walking all of them with an automaton at once.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

// Built once for a model, immutable: threads share it. About 20 bytes for each distinct prefix of a token.
class TokenTrie {
 public:
  // The bytes of every token id, and the ids that end a text. An id without bytes (a special token) is in no grammar;
  // an end id stands for the end and never for its bytes. Several ids may have the same bytes. bad_input for an end id
  // that is no id, and for a token of more than 65535 bytes.
  TokenTrie(std::span<const std::string> bytes_by_id, std::span<const int32_t> end_ids);

  int64_t n_ids() const noexcept { return n_ids_; }
  std::span<const int32_t> end_ids() const noexcept { return end_ids_; }
  bool is_end(int32_t id) const noexcept;
  // Empty for ids without bytes, end ids, and what is no id.
  std::string_view bytes(int32_t id) const noexcept;
  // Another for every trie of the process: what is kept of one is never taken for another's.
  uint64_t serial() const noexcept { return serial_; }

  // The prefixes in order, each in front of those that begin with it.
  struct Node {
    uint32_t behind;   // index of the first node that does not begin with this prefix
    uint32_t ids_end;  // its tokens are ids()[ids_end of the node before .. ids_end]
    uint16_t depth;    // length of the prefix, from 1
    uint8_t byte;      // its last
  };
  std::span<const Node> nodes() const noexcept { return nodes_; }
  std::span<const int32_t> ids() const noexcept { return ids_; }
  // For a node, the kinds of characters that its tokens go on with behind its prefix (bits of grammar/char_kinds.h);
  // with the bit of ill-formed bytes where the prefix does not end a character.
  std::span<const uint64_t> kinds_behind() const noexcept { return kinds_behind_; }
  // The most characters of which one of its tokens goes on behind its prefix; 255 for more.
  std::span<const uint8_t> chars_behind() const noexcept { return chars_behind_; }
  size_t max_depth() const noexcept { return max_depth_; }

 private:
  void add_nodes(std::span<const int32_t> sorted);
  void find_kinds();

  int64_t n_ids_ = 0;
  uint64_t serial_;
  std::vector<int32_t> end_ids_;  // sorted, distinct
  std::string bytes_;             // of all ids, joined
  std::vector<uint32_t> begin_;   // (n_ids + 1) in bytes_
  std::vector<Node> nodes_;
  std::vector<int32_t> ids_;
  std::vector<uint64_t> kinds_behind_;
  std::vector<uint8_t> chars_behind_;
  size_t max_depth_ = 0;
};

}  // namespace fathom
