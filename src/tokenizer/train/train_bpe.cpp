#include "tokenizer/train/train_bpe.h"

#include <algorithm>
#include <array>
#include <queue>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

constexpr const char* kBos = "<\uff5cbegin\u2581of\u2581sentence\uff5c>";
constexpr const char* kEos = "<\uff5cend\u2581of\u2581sentence\uff5c>";

// C0, C1 and F5 .. FF occur in no well-formed text (RFC 3629).
constexpr bool utf8_uses(uint32_t byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

// The bytes that have a token, in the order of the code points that spell them.
std::vector<uint8_t> bytes_by_spelling() {
  std::vector<uint8_t> bytes;
  for (uint32_t b = 0; b < 256; ++b)
    if (utf8_uses(b)) bytes.push_back(static_cast<uint8_t>(b));
  const auto& spelled = byte_alphabet();
  std::sort(bytes.begin(), bytes.end(), [&](uint8_t a, uint8_t b) { return spelled[a] < spelled[b]; });
  return bytes;
}

uint64_t mix(uint64_t h) {  // the finaliser of MurmurHash3
  h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCDu;
  h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53u;
  return h ^ (h >> 33);
}
struct MixHash {
  size_t operator()(uint64_t key) const noexcept { return mix(key); }
};

struct Pair {
  int32_t left = 0, right = 0;
  int64_t count = 0;
  int32_t result = -1;          // the token it was joined to
  bool raised = false;          // in `raised_` of this round
  std::vector<uint32_t> words;  // in which it occurs, or did; may repeat
};

// An entry of the queue: a pair with the count that it had then.
struct Candidate {
  int64_t count;
  int32_t left, right;
  uint32_t pair;
  bool operator<(const Candidate& other) const {  // worse than
    if (count != other.count) return count < other.count;
    return left != other.left ? left > other.left : right > other.right;
  }
};

// The state of learning: words as ids, and every pair with its count and where it is. Counts are exact after each
// merge; queue entries are checked when they come up, so lowering a count costs nothing there.
class Learner {
 public:
  Learner(std::span<const CountedWord> words, uint64_t min_count);
  std::vector<BpeMerge> run(int32_t max_tokens, const std::function<void(int32_t)>& on_merge);

 private:
  struct Word {
    uint32_t begin, length;
  };

  uint32_t pair_of(int32_t left, int32_t right);
  void change(int32_t left, int32_t right, int64_t by, uint32_t word);
  void join_in_word(const Pair& pair, int32_t result, uint32_t word);
  void join(uint32_t index, int32_t result);
  void offer(uint32_t index);
  int32_t token_of(int32_t left, int32_t right);

  std::span<const CountedWord> counted_;
  int64_t min_count_;
  std::vector<int32_t> ids_;  // of all words, each at Word::begin
  std::vector<Word> words_;
  std::vector<Pair> pairs_;
  std::unordered_map<uint64_t, uint32_t, MixHash> pair_index_;
  std::vector<uint32_t> raised_;  // pairs whose count rose in this round
  std::priority_queue<Candidate> queue_;
  std::vector<std::string> bytes_;  // of each token
  std::unordered_map<std::string, int32_t> token_index_;
};

Learner::Learner(std::span<const CountedWord> words, uint64_t min_count)
    : counted_(words), min_count_(static_cast<int64_t>(std::max<uint64_t>(min_count, 1))) {
  std::array<int32_t, 256> byte_ids{};
  byte_ids.fill(-1);
  for (const uint8_t b : bytes_by_spelling()) {
    byte_ids[b] = static_cast<int32_t>(bytes_.size());
    bytes_.emplace_back(1, static_cast<char>(b));
    token_index_.emplace(bytes_.back(), byte_ids[b]);
  }
  check(words.size() < UINT32_MAX, "words fit 32-bit numbers");
  words_.reserve(words.size());
  for (const CountedWord& word : words) {
    check(ids_.size() + word.bytes.size() < UINT32_MAX, "the distinct words fit 4 GiB");
    words_.push_back({static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(word.bytes.size())});
    for (const char c : word.bytes) {
      ids_.push_back(byte_ids[static_cast<uint8_t>(c)]);
      check(ids_.back() >= 0, "words are well-formed UTF-8");
    }
  }
  for (uint32_t w = 0; w < words_.size(); ++w)
    for (uint32_t i = words_[w].begin; i + 1 < words_[w].begin + words_[w].length; ++i)
      change(ids_[i], ids_[i + 1], static_cast<int64_t>(counted_[w].count), w);
  for (uint32_t p = 0; p < pairs_.size(); ++p) offer(p);
}

uint32_t Learner::pair_of(int32_t left, int32_t right) {
  const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  const auto [at, added] = pair_index_.try_emplace(key, static_cast<uint32_t>(pairs_.size()));
  if (added) {
    pairs_.emplace_back();
    pairs_.back().left = left;
    pairs_.back().right = right;
  }
  return at->second;
}

void Learner::change(int32_t left, int32_t right, int64_t by, uint32_t word) {
  const uint32_t index = pair_of(left, right);
  Pair& pair = pairs_[index];
  pair.count += by;
  if (by < 0) return;
  if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
  if (!pair.raised) raised_.push_back(index);
  pair.raised = true;
}

void Learner::offer(uint32_t index) {
  Pair& pair = pairs_[index];
  pair.raised = false;
  if (pair.count >= min_count_) queue_.push({pair.count, pair.left, pair.right, index});
}

// Left to right, as the encoder does: in "aaa" the first two are joined. The neighbours' counts follow; that of the
// pair itself is set by join().
void Learner::join_in_word(const Pair& pair, int32_t result, uint32_t word) {
  Word& w = words_[word];
  const auto count = static_cast<int64_t>(counted_[word].count);
  const int32_t left = pair.left, right = pair.right;  // `pair` may move when pairs are added
  int32_t* ids = ids_.data() + w.begin;
  uint32_t to = 0;
  for (uint32_t from = 0; from < w.length; ++to) {
    if (from + 1 >= w.length || ids[from] != left || ids[from + 1] != right) {
      ids[to] = ids[from++];
      continue;
    }
    if (to > 0) {
      change(ids[to - 1], left, -count, word);
      change(ids[to - 1], result, count, word);
    }
    if (from + 2 < w.length) {
      change(right, ids[from + 2], -count, word);
      change(result, ids[from + 2], count, word);
    }
    ids[to] = result;
    from += 2;
  }
  w.length = to;
}

void Learner::join(uint32_t index, int32_t result) {
  pairs_[index].result = result;
  const std::vector<uint32_t> words = std::exchange(pairs_[index].words, {});
  for (const uint32_t word : words) join_in_word(pairs_[index], result, word);
  pairs_[index].count = 0;
  for (const uint32_t raised : std::exchange(raised_, {})) offer(raised);
}

int32_t Learner::token_of(int32_t left, int32_t right) {
  std::string joined = bytes_[static_cast<size_t>(left)] + bytes_[static_cast<size_t>(right)];
  const auto [at, added] = token_index_.try_emplace(std::move(joined), static_cast<int32_t>(bytes_.size()));
  if (added) bytes_.push_back(at->first);
  return at->second;
}

std::vector<BpeMerge> Learner::run(int32_t max_tokens, const std::function<void(int32_t)>& on_merge) {
  std::vector<BpeMerge> merges;
  raised_.clear();
  while (static_cast<int64_t>(bytes_.size()) < max_tokens && !queue_.empty()) {
    const Candidate best = queue_.top();
    queue_.pop();
    const Pair& pair = pairs_[best.pair];
    if (pair.count > best.count) continue;  // there is a newer entry
    if (pair.count < best.count) {
      offer(best.pair);
      continue;
    }
    const bool known = pair.result >= 0;  // joined before, and formed again by a later merge: the old rule holds
    const int32_t result = known ? pair.result : token_of(best.left, best.right);
    if (!known) merges.push_back({best.left, best.right, result});
    join(best.pair, result);
    if (on_merge) on_merge(static_cast<int32_t>(bytes_.size()));
  }
  return merges;
}

void check_special(const std::vector<std::string>& special, const std::vector<std::string>& tokens) {
  std::unordered_map<std::string_view, bool> seen;
  for (const std::string& token : tokens) seen.emplace(token, true);
  for (const std::string& token : special) {
    if (token.empty()) throw_bad_input("a special token is empty; give it a spelling, for example <|user|>");
    if (token.size() > kMaxAddedTokenBytes)
      throw_bad_input("special token {} has {} bytes; at most {} can be", quoted_for_message(token, 40), token.size(),
                      kMaxAddedTokenBytes);
    if (!seen.emplace(token, true).second)
      throw_bad_input(
          "special token {} is there already, as a special token or learned from the text; spell it so that no text "
          "has it, for example <|{}|>",
          quoted_for_message(token, 40), token);
  }
}

}  // namespace

std::vector<BpeMerge> learn_merges(std::span<const CountedWord> words, int32_t max_tokens, uint64_t min_count,
                                   const std::function<void(int32_t)>& on_merge) {
  return Learner(words, min_count).run(max_tokens, on_merge);
}

VocabularyData train_bpe(std::span<const CountedWord> words, const BpeTrainOptions& options) {
  std::vector<std::string> special = {kBos, kEos};
  special.insert(special.end(), options.special.begin(), options.special.end());
  const std::vector<uint8_t> bytes = bytes_by_spelling();
  const size_t least = bytes.size() + special.size();
  if (options.vocab_size < 0 || static_cast<size_t>(options.vocab_size) < least ||
      static_cast<size_t>(options.vocab_size) > kMaxTokens)
    throw_bad_input(
        "a vocabulary of {} tokens cannot be made: {} bytes and {} special tokens need {}, and {} is the limit",
        options.vocab_size, bytes.size(), special.size(), least, kMaxTokens);
  const auto n_model = options.vocab_size - static_cast<int32_t>(special.size());

  VocabularyData v;
  v.pre = options.pre;
  for (const uint8_t b : bytes) v.tokens.push_back(spelling_of_bytes(std::string(1, static_cast<char>(b))));
  for (const BpeMerge& merge : learn_merges(words, n_model, options.min_count, options.on_merge)) {
    const std::string &left = v.tokens[static_cast<size_t>(merge.left)],
                      &right = v.tokens[static_cast<size_t>(merge.right)];
    v.merges.push_back(left + " " + right);
    if (static_cast<size_t>(merge.result) == v.tokens.size()) v.tokens.push_back(std::string(left).append(right));
  }
  check_special(special, v.tokens);
  v.token_types.assign(v.tokens.size(), static_cast<int32_t>(TokenType::normal));
  v.bos = static_cast<int32_t>(v.tokens.size());
  v.eos = v.pad = *v.bos + 1;
  v.add_bos = true;
  v.tokens.insert(v.tokens.end(), special.begin(), special.end());
  v.token_types.resize(v.tokens.size(), static_cast<int32_t>(TokenType::control));
  return v;
}

}  // namespace fathom
