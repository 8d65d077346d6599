// Finding added tokens in a text: leftmost, and of those the longest. Semantics of Hugging Face tokenizers'
// AddedVocabulary.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

struct AddedToken {
  int32_t id = 0;
  std::string content;      // plain UTF-8, at most kMaxAddedTokenBytes
  bool special = false;     // found only with parse_special; left out by skip_special
  bool normalized = false;  // looked for in a second pass, after all that are not
  bool lstrip = false;      // takes the white space before it along
  bool rstrip = false;      // and that after it
};

constexpr size_t kMaxAddedTokenBytes = 1024;  // bounds the time a place of the text can take

// One pass over a text. A byte trie; time is O(bytes of text * length of the longest token).
class AddedTokenFinder {
 public:
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  // Calls piece(text, -1) for text without tokens and piece(spelling, id) for a token, in order; never with empty text.
  // With parse_special = false a special token is passed over: it stays text, and no other token is looked for inside
  // it.
  void split(std::string_view text, bool parse_special,
             const std::function<void(std::string_view, int32_t)>& piece) const;

 private:
  struct Node {
    std::vector<std::pair<uint8_t, int32_t>> next;  // sorted by byte
    int32_t token = -1;                             // index in tokens_
  };
  int32_t child(int32_t node, uint8_t byte) const noexcept;
  int32_t longest_at(std::string_view text, size_t at) const noexcept;

  std::vector<AddedToken> tokens_;
  std::vector<Node> nodes_;
};

}  // namespace fathom
