#include "tokenizer/train/train_bpe.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/random.h"
#include "support/errors.h"

namespace fathom {
namespace {

constexpr const char* kBos = "<\uff5cbegin\u2581of\u2581sentence\uff5c>";
constexpr const char* kEos = "<\uff5cend\u2581of\u2581sentence\uff5c>";

std::vector<CountedWord> count(const std::vector<std::string>& texts, int threads) {
  ThreadPool pool(threads);
  WordCounter counter(pre_tokenizer_of_name("deepseek-llm", "test"), pool);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  counter.add(views);
  return counter.take();
}

// Text with the shape of language: words of few letters, of very unequal frequency, and some of everything else.
std::vector<std::string> random_texts(int n_texts, int n_words, uint64_t seed) {
  std::vector<std::string> texts;
  const char* others[] = {"\n", " 12", ".", "\t", "  ", " \u00e9t\u00e9", "\u4e2d\u6587", "--", "\U0001F600", "\r\n"};
  for (int t = 0; t < n_texts; ++t) {
    std::string text;
    for (int w = 0; w < n_words; ++w) {
      const auto r = philox(seed, static_cast<uint64_t>(t), static_cast<uint64_t>(w));
      if (r[0] % 8 == 0) {
        text += others[r[1] % std::size(others)];
        continue;
      }
      text += ' ';
      const double u = uniform01(seed, 1000 + static_cast<uint64_t>(t), static_cast<uint64_t>(w));
      for (auto x = static_cast<uint32_t>(1 / (u + 1e-4)); x > 0; x /= 7) text += static_cast<char>('a' + x % 7);
    }
    texts.push_back(std::move(text));
  }
  return texts;
}

// Algorithm 1 as it is written: count all pairs of all words anew for every merge.
std::vector<BpeMerge> plain_merges(const std::vector<CountedWord>& words, const VocabularyData& learned,
                                   size_t n_merges) {
  std::map<std::string, int32_t> ids;
  std::vector<std::string> bytes;
  const Tokenizer tokenizer = Tokenizer::from_vocabulary(learned, "test");
  for (int32_t i = 0; i < 243; ++i) {
    bytes.emplace_back(tokenizer.token_bytes(i));
    ids[bytes.back()] = i;
  }
  std::vector<std::vector<int32_t>> split;
  for (const CountedWord& w : words) {
    split.emplace_back();
    for (const char c : w.bytes) split.back().push_back(ids[std::string(1, c)]);
  }
  std::vector<BpeMerge> merges;
  while (merges.size() < n_merges) {
    std::map<std::pair<int32_t, int32_t>, uint64_t> counts;
    for (size_t w = 0; w < split.size(); ++w)
      for (size_t i = 0; i + 1 < split[w].size(); ++i) counts[{split[w][i], split[w][i + 1]}] += words[w].count;
    std::pair<int32_t, int32_t> best{};
    uint64_t best_count = 0;
    for (const auto& [pair, n] : counts)  // ascending: the first of the largest is the smallest pair
      if (n > best_count) best = pair, best_count = n;
    if (best_count < 2) break;
    const std::string joined = bytes[static_cast<size_t>(best.first)] + bytes[static_cast<size_t>(best.second)];
    if (ids.emplace(joined, static_cast<int32_t>(bytes.size())).second) bytes.push_back(joined);
    merges.push_back({best.first, best.second, ids[joined]});
    for (auto& word : split) {
      std::vector<int32_t> out;
      for (size_t i = 0; i < word.size(); ++i) {
        const bool here = i + 1 < word.size() && word[i] == best.first && word[i + 1] == best.second;
        out.push_back(here ? ids[joined] : word[i]);
        if (here) ++i;
      }
      word = std::move(out);
    }
  }
  return merges;
}

TEST(TrainBpe, CountsEveryWordOnceForAnyNumberOfThreads) {
  const auto texts = random_texts(20, 300, 1);
  const auto one = count(texts, 1), four = count(texts, 4);
  ASSERT_EQ(one.size(), four.size());
  uint64_t total = 0, bytes = 0;
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].bytes, four[i].bytes);
    EXPECT_EQ(one[i].count, four[i].count);
    total += one[i].bytes.size() * one[i].count;
    EXPECT_TRUE(i == 0 || one[i - 1].bytes < one[i].bytes);
  }
  for (const std::string& text : texts) bytes += text.size();
  EXPECT_EQ(total, bytes);  // pre-tokenization drops nothing
}

TEST(TrainBpe, CuttingALongTextAtLineEndsChangesNoWord) {
  std::string text;
  std::map<std::string, uint64_t> want;
  const auto lines = random_texts(8000, 40, 2);
  ThreadPool pool(1);
  PreTokenizer pre(pre_tokenizer_of_name("deepseek-llm", "test"), "test");
  PreTokenizer::Scratch scratch;
  for (const std::string& line : lines) text += line + "\n";
  ASSERT_GT(text.size(), 2 * WordCounter::kPieceBytes);
  size_t begin = 0;
  for (const uint32_t end : pre.split(text, scratch)) {
    ++want[text.substr(begin, end - begin)];
    begin = end;
  }
  std::map<std::string, uint64_t> got;
  for (const CountedWord& w : count({text}, 2)) got[w.bytes] = w.count;
  EXPECT_EQ(got, want);
}

TEST(TrainBpe, LearnsTheMergesOfThePlainAlgorithm) {
  for (const uint64_t seed : {3u, 4u, 5u}) {
    const auto words = count(random_texts(5, 200, seed), 2);
    const VocabularyData learned = train_bpe(words, {.vocab_size = 245 + 150, .special = {}, .on_merge = {}});
    const auto want = plain_merges(words, learned, learned.merges.size() + 1);
    const auto got = learn_merges(words, 243 + 150, 2);
    ASSERT_EQ(got.size(), std::min<size_t>(want.size(), learned.merges.size()));
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_EQ(got[i].left, want[i].left) << "merge " << i;
      EXPECT_EQ(got[i].right, want[i].right) << "merge " << i;
      EXPECT_EQ(got[i].result, want[i].result) << "merge " << i;
    }
  }
}

TEST(TrainBpe, OverlappingPairsAreCountedAsTheyAre) {
  for (const char* text : {"aaaa", "aaaaa", "aaabaaab", "abababab", "aabaabaa", "aaaaaaaaaaaaaaaaaaaa"}) {
    const std::vector<CountedWord> words = {{text, 3}};
    const VocabularyData any = train_bpe(words, {.vocab_size = 260, .special = {}, .on_merge = {}});
    const auto want = plain_merges(words, any, 100);
    const auto got = learn_merges(words, 1000, 2);
    ASSERT_EQ(got.size(), want.size()) << text;
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].result, want[i].result) << text << " merge " << i;
  }
}

TEST(TrainBpe, TheFileIsTheSameForAnyNumberOfThreads) {
  const auto texts = random_texts(40, 200, 6);
  std::set<std::string> files;
  for (const int threads : {1, 2, 3, 8}) {
    const Tokenizer t = Tokenizer::from_vocabulary(
        train_bpe(count(texts, threads), {.vocab_size = 400, .special = {}, .on_merge = {}}), "test");
    files.insert(to_tokenizer_json(t) + to_tokenizer_config_json(t));
  }
  EXPECT_EQ(files.size(), 1u);
}

TEST(TrainBpe, EveryTextComesBackAndSpecialTokensHaveTheFamilysIds) {
  const VocabularyData v =
      train_bpe(count(random_texts(10, 200, 7), 2), {.vocab_size = 290, .special = {"<|user|>"}, .on_merge = {}});
  ASSERT_EQ(v.tokens.size(), 290u);
  const Tokenizer written = Tokenizer::from_vocabulary(v, "test");
  const Tokenizer t = Tokenizer::from_json(to_tokenizer_json(written), to_tokenizer_config_json(written), "written");
  EXPECT_EQ(t.bos(), 287);
  EXPECT_EQ(t.eos(), 288);
  EXPECT_EQ(t.pad(), 288);
  EXPECT_EQ(t.token_spelling(287), kBos);
  EXPECT_EQ(t.token_spelling(288), kEos);
  EXPECT_EQ(t.id_of("<|user|>"), 289);
  EXPECT_TRUE(t.is_special(289));
  EXPECT_TRUE(t.adds_bos());
  EXPECT_FALSE(t.adds_eos());
  // Every code point of every plane's edges, and a text that the training never saw.
  for (const char* text : {"", "Zebra quux!", "\u00df\u0444\u4e2d\U0001F9A6\U0010FFFF", "\x01\x7f\t\r\n  x ", kEos}) {
    const auto ids = t.encode(text, {.add_special = false});
    EXPECT_EQ(t.decode(ids), text);
  }
}

TEST(TrainBpe, IllFormedTextCountsAsTheReplacementCharacter) {
  const auto a = count({"ab\xff\xfe z \xe4\xb8"}, 1), b = count({"ab\ufffd\ufffd z \ufffd"}, 1);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].bytes, b[i].bytes);
}

TEST(TrainBpe, StopsWhenNoPairIsLeft) {
  const VocabularyData v = train_bpe(count({"ab ab"}, 1), {.vocab_size = 1000, .special = {}, .on_merge = {}});
  EXPECT_EQ(v.tokens.size(), 243u + 1 + 2);  // "ab" occurs twice; " ab" once
}

TEST(TrainBpe, AHugeWordCostsLinearTime) {
  std::string run(size_t{1} << 20, 'x');  // one word of 1 MiB
  for (size_t i = 0; i < run.size(); i += 3) run[i] = static_cast<char>('a' + philox(8, 0, i)[0] % 26);
  for (const CountedWord& w : count({run}, 2)) EXPECT_LE(w.bytes.size(), WordCounter::kMaxWordBytes);
  EXPECT_EQ(train_bpe(count({run}, 2), {.vocab_size = 600, .special = {}, .on_merge = {}}).tokens.size(), 600u);
}

TEST(TrainBpe, RefusesWhatCannotBeMade) {
  const auto words = count({"some text some text"}, 1);
  const auto refused = [&](int32_t size, std::vector<std::string> special) {
    return test::error_of(
        [&] { train_bpe(words, {.vocab_size = size, .special = std::move(special), .on_merge = {}}); });
  };
  EXPECT_NE(refused(244, {}).find("need 245"), std::string::npos);
  EXPECT_NE(refused(-1, {}), "");
  EXPECT_NE(refused(1 << 30, {}), "");
  EXPECT_NE(refused(300, {""}).find("empty"), std::string::npos);
  EXPECT_NE(refused(300, {"<|a|>", "<|a|>"}).find("<|a|>"), std::string::npos);
  EXPECT_NE(refused(300, {"some"}).find("'some'"), std::string::npos);
  EXPECT_NE(refused(300, {kEos}), "");
  EXPECT_EQ(refused(245, {}), "");
}

}  // namespace
}  // namespace fathom
