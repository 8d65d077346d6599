#include "grammar/token_trie.h"

#include <algorithm>
#include <atomic>
#include <limits>

#include "base/error.h"
#include "grammar/char_kinds.h"

namespace fathom {
namespace {

uint64_t next_serial() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}

}  // namespace

TokenTrie::TokenTrie(std::span<const std::string> bytes_by_id, std::span<const int32_t> end_ids)
    : n_ids_(static_cast<int64_t>(bytes_by_id.size())),
      serial_(next_serial()),
      end_ids_(end_ids.begin(), end_ids.end()) {
  std::sort(end_ids_.begin(), end_ids_.end());
  end_ids_.erase(std::unique(end_ids_.begin(), end_ids_.end()), end_ids_.end());
  for (const int32_t id : end_ids_)
    if (id < 0 || id >= n_ids_) throw_bad_input("end token {} is not in the vocabulary of {} tokens", id, n_ids_);
  std::vector<int32_t> sorted;
  begin_.push_back(0);
  for (int32_t id = 0; id < n_ids_; ++id) {
    const std::string& bytes = bytes_by_id[static_cast<size_t>(id)];
    if (bytes.size() > std::numeric_limits<uint16_t>::max())
      throw_bad_input("token {} has {} bytes; at most {} can be part of a grammar", id, bytes.size(),
                      std::numeric_limits<uint16_t>::max());
    if (!is_end(id)) bytes_ += bytes;
    max_depth_ = std::max(max_depth_, bytes.size());
    if (bytes_.size() > std::numeric_limits<uint32_t>::max())
      throw_bad_input("the vocabulary has more than 4 GiB of text in its first {} tokens", id);
    begin_.push_back(static_cast<uint32_t>(bytes_.size()));
    if (!this->bytes(id).empty()) sorted.push_back(id);
  }
  std::sort(sorted.begin(), sorted.end(), [this](int32_t a, int32_t b) {
    const auto order = this->bytes(a).compare(this->bytes(b));
    return order != 0 ? order < 0 : a < b;
  });
  add_nodes(sorted);
  find_kinds();
}

void TokenTrie::add_nodes(std::span<const int32_t> sorted) {
  std::vector<uint32_t> path;  // nodes along the token before
  std::string_view before;
  auto close_to = [&](size_t depth) {
    for (; path.size() > depth; path.pop_back()) nodes_[path.back()].behind = static_cast<uint32_t>(nodes_.size());
  };
  for (const int32_t id : sorted) {
    const std::string_view token = bytes(id);
    const auto differ = std::mismatch(before.begin(), before.end(), token.begin(), token.end());
    close_to(static_cast<size_t>(differ.first - before.begin()));
    while (path.size() < token.size()) {
      const auto depth = static_cast<uint16_t>(path.size() + 1);
      path.push_back(static_cast<uint32_t>(nodes_.size()));
      nodes_.push_back({0, static_cast<uint32_t>(ids_.size()), depth, static_cast<uint8_t>(token[depth - 1u])});
    }
    ids_.push_back(id);
    nodes_[path.back()].ids_end = static_cast<uint32_t>(ids_.size());
    before = token;
  }
  close_to(0);
}

void TokenTrie::find_kinds() {
  using grammar::CharKinds;
  std::vector<grammar::Continuation> path(max_depth_ + 1);  // what has been read of a character, by depth
  std::vector<CharKinds> last(nodes_.size());               // the kind of the character that the last byte is of
  std::vector<uint8_t> begins(nodes_.size()), ends(nodes_.size());  // a character, with the last byte
  for (size_t i = 0; i < nodes_.size(); ++i) {
    const grammar::Continuation before = path[nodes_[i].depth - 1u], at = next_in_char(before, nodes_[i].byte);
    path[nodes_[i].depth] = at;
    last[i] = at.kind < 0 ? grammar::kIllFormed : CharKinds{1} << at.kind;
    begins[i] = before.left == 0;
    ends[i] = at.left == 0;
  }
  kinds_behind_.assign(nodes_.size(), 0);
  chars_behind_.assign(nodes_.size(), 0);
  for (size_t i = nodes_.size(); i-- > 0;) {
    for (uint32_t child = static_cast<uint32_t>(i) + 1; child < nodes_[i].behind; child = nodes_[child].behind) {
      kinds_behind_[i] |= last[child] | kinds_behind_[child];
      const int chars = chars_behind_[child] + begins[child];
      chars_behind_[i] = static_cast<uint8_t>(std::clamp<int>(chars, chars_behind_[i], 255));
    }
  }
  for (size_t i = 0; i < nodes_.size(); ++i)
    if (!ends[i]) kinds_behind_[i] |= grammar::kIllFormed;
}

bool TokenTrie::is_end(int32_t id) const noexcept { return std::binary_search(end_ids_.begin(), end_ids_.end(), id); }

std::string_view TokenTrie::bytes(int32_t id) const noexcept {
  if (id < 0 || id >= n_ids_) return {};
  const auto at = static_cast<size_t>(id);
  return std::string_view(bytes_).substr(begin_[at], begin_[at + 1] - begin_[at]);
}

}  // namespace fathom
