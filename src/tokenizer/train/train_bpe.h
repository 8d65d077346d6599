// Learning a byte-level BPE vocabulary from text (Sennrich et al., arXiv:1508.07909, algorithm 1; on bytes as in
// GPT-2).
//
// Text is cut into words by the family's pre-tokenizer; each word starts as its bytes; the most frequent pair of
// neighbours in all words becomes a new token, again and again. Which pair:
//   the largest count; of equal counts the smaller left id; of equal left ids the smaller right id.
// This is also the order of Hugging Face's BpeTrainer, so with the same alphabet the two learn the same merges. Counts
// do not depend on the order of the text, so the result is the same for any number of threads.
//
// Ids: 0 .. 242 the bytes that UTF-8 uses, in the order of their spelling (byte_alphabet.h), as in DeepSeek's
// vocabularies; then the merges' results in the order learned; then bos, eos and further special tokens.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/machine/threads.h"
#include "tokenizer/bpe.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/tokenizer.h"
#include "tokenizer/vocabulary.h"

namespace fathom {

struct CountedWord {
  std::string bytes;
  uint64_t count = 0;
};

// Counts words, on all threads of the pool.
class WordCounter {
 public:
  WordCounter(const PreTokenizerSpec& pre, ThreadPool& pool);
  ~WordCounter();

  // Ill-formed UTF-8 counts as U+FFFD, as Tokenizer::encode reads it. Texts longer than kPieceBytes are counted in
  // pieces that end at line ends, which changes no word of a pre-tokenizer that cuts at line ends (deepseek-llm,
  // deepseek-coder).
  void add(std::span<const std::string_view> texts);
  // Every word once, ordered by its bytes; the counter is empty then. Words longer than kMaxWordBytes were counted in
  // parts of that length: they say nothing about language, and the cost of learning stays linear in the text.
  std::vector<CountedWord> take();

  static constexpr size_t kPieceBytes = size_t{1} << 18;
  static constexpr size_t kMaxWordBytes = 1024;

 private:
  struct Shelf;  // the words of one thread
  PreTokenizer pre_;
  ThreadPool& pool_;
  std::vector<std::unique_ptr<Shelf>> shelves_;
};

struct BpeTrainOptions {
  int32_t vocab_size = 0;  // all ids: bytes, merges and special tokens
  uint64_t min_count = 2;  // pairs seen less often are not joined
  std::string pre = "deepseek-llm";
  std::vector<std::string> special;            // after bos and eos, in this order
  std::function<void(int32_t done)> on_merge;  // progress: tokens learned so far; may be empty
};

// The merges: pairs of ids in order, with the ids above. A pair that spells a token which exists already joins to that
// token. Fewer than asked when no pair is left that occurs min_count times.
std::vector<BpeMerge> learn_merges(std::span<const CountedWord> words, int32_t max_tokens, uint64_t min_count,
                                   const std::function<void(int32_t)>& on_merge = {});

// The whole: vocabulary, merges, bos and eos in V2's spelling (bos added by encode, eos not, pad = eos).
// bad_input when vocab_size leaves no room for bytes and special tokens, or is beyond kMaxTokens, and for special
// tokens that are empty, repeated, or spell a learned token.
VocabularyData train_bpe(std::span<const CountedWord> words, const BpeTrainOptions& options);

}  // namespace fathom
