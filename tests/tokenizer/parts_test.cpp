// The pieces by themselves: classes of characters, patterns, pre-tokenizers, merging.
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/random.h"
#include "base/text/utf8.h"
#include "support/errors.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/bpe.h"
#include "tokenizer/byte_alphabet.h"
#include "tokenizer/pretokenize.h"

namespace fathom {
namespace {

using Pieces = std::vector<std::string>;

Pieces cut(const PreTokenizerSpec& spec, std::string_view text) {
  PreTokenizer::Scratch scratch;
  Pieces out;
  size_t begin = 0;
  for (const uint32_t end : PreTokenizer(spec, "test").split(text, scratch)) {
    out.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return out;
}

PreTokenizerSpec one_split(std::string_view pattern) { return {{{.pattern = std::string(pattern)}}}; }

TEST(CharClasses, AreDisjointSortedRanges) {
  uint32_t next = 0;
  for (const CharRange& r : char_ranges()) {
    EXPECT_GE(r.first, next);
    EXPECT_GE(r.last, r.first);
    next = r.last + 1;
  }
  CharClassifier classify;
  const std::pair<uint32_t, CharClass> some[] = {
      {'a', CharClass::letter},    {'5', CharClass::number},      {' ', CharClass::space},
      {'$', CharClass::symbol},    {'!', CharClass::punctuation}, {0x301, CharClass::mark},
      {0x85, CharClass::space},    {0x200B, CharClass::other},    {0, CharClass::other},
      {0x4E00, CharClass::letter}, {0xFFFD, CharClass::symbol},   {0x10FFFF, CharClass::other},
      {0x2028, CharClass::space},  {0x11DE3, CharClass::other},   {0x1F600, CharClass::symbol},
      {'a', CharClass::letter}};
  for (const auto& [c, kind] : some) EXPECT_EQ(classify(c), kind) << c;
}

TEST(ByteAlphabet, SpellsEveryByteByACharacterOfItsOwn) {
  std::string all;
  for (int b = 0; b < 256; ++b) all += static_cast<char>(b);
  EXPECT_EQ(bytes_of_spelling(spelling_of_bytes(all)), all);
  EXPECT_EQ(spelling_of_bytes(" a\n\xFF"), "\u0120a\u010a\u00ff");
  EXPECT_EQ(bytes_of_spelling("\uff5c"), std::nullopt);
  EXPECT_EQ(bytes_of_spelling(" "), std::nullopt);
  EXPECT_EQ(bytes_of_spelling("\xFF"), std::nullopt);
}

TEST(PreTokenizers, CutAsTheFamilyDoes) {
  const auto named = [](const char* name, std::string_view text) {
    return cut(pre_tokenizer_of_name(name, "test"), text);
  };
  EXPECT_EQ(named("deepseek-llm", "Hello  world\n\n42! \u4e2d\u6587\u3002 "),
            (Pieces{"Hello", " ", " world", "\n", "\n", "4", "2", "!", " ", "\u4e2d\u6587", "\u3002", " "}));
  EXPECT_EQ(named("deepseek-coder", "int x=12;  "), (Pieces{"int", " x", "=", "1", "2", ";", "  "}));
  EXPECT_EQ(named("deepseek-v3", "Hi (there) 12345\n\n  x"),
            (Pieces{"Hi", " (", "there", ")", " ", "123", "45", "\n\n", " ", " x"}));
  EXPECT_EQ(named("gpt-2", "It's  12345 ok?!\n "), (Pieces{"It", "'s", " ", " 12345", " ok", "?!", "\n "}));
  EXPECT_EQ(named("gpt-2", ""), Pieces{});
}

TEST(PreTokenizers, AreRecognisedByTheirStages) {
  for (const char* name : {"deepseek-llm", "deepseek-coder", "deepseek-v3", "gpt-2"})
    EXPECT_EQ(name_of_pre_tokenizer(pre_tokenizer_of_name(name, "test")), name);
  EXPECT_EQ(name_of_pre_tokenizer(pre_tokenizer_of_name("phi-2", "test")), "gpt-2");
  EXPECT_EQ(name_of_pre_tokenizer(one_split(kGpt2Pattern)), "gpt-2");
  EXPECT_EQ(name_of_pre_tokenizer(one_split(kV3Pattern)), "");
  for (const char* name : {"", "default", "llama-bpe", "qwen2", "deepseek-V3"})
    EXPECT_THROW(pre_tokenizer_of_name(name, "test"), Error) << name;
}

TEST(RunPatterns, AreReadAsRegularExpressions) {
  EXPECT_EQ(cut(one_split("[a-c]+"), "abxcc-"), (Pieces{"ab", "x", "cc", "-"}));
  EXPECT_EQ(cut(one_split("[^a-c]"), "abxyc"), (Pieces{"ab", "x", "y", "c"}));
  EXPECT_EQ(cut(one_split("\\s?[a-c]+"), "a  b\tc"), (Pieces{"a", " ", " b", "\tc"}));
  EXPECT_EQ(cut(one_split(" ?[a-c]+"), "a  b\tc"), (Pieces{"a", " ", " b", "\t", "c"}));
  EXPECT_EQ(cut(one_split("\\s?[a\\s]+"), "  a b"), (Pieces{"  a ", "b"}));
  EXPECT_EQ(cut(one_split("\\p{N}{1,3}"), "12345a6"), (Pieces{"123", "45", "a", "6"}));
  EXPECT_EQ(cut(one_split("[0-9]{2,3}"), "12345a6-7890"), (Pieces{"123", "45", "a6-", "789", "0"}));
  EXPECT_EQ(cut(one_split("[\\r\\n]"), "a\r\nb"), (Pieces{"a", "\r", "\n", "b"}));
  EXPECT_EQ(cut(one_split("[\\p{L}\\-\\]]+"), "a-]b+"), (Pieces{"a-]b", "+"}));
  EXPECT_EQ(cut(one_split("\\s+"), "a \tb"), (Pieces{"a", " \t", "b"}));
  EXPECT_EQ(cut(one_split("\\s+$"), "a  \n b  "), (Pieces{"a", "  ", "\n b", "  "}))
      << "$ stands before a line feed too";
  EXPECT_EQ(cut(one_split("\\s+$"), "a \n \n b"), (Pieces{"a", " \n ", "\n b"}));
}

TEST(UnknownPatterns, AreRefusedAndShown) {
  for (const char* pattern :
       {"",         "a",      "[",           "[]",    "[]a]",   "[a",       "[z-a]",       "[a]*",     "[a]{0,3}",
        "[a]{3,2}", "[a]{1,", "[a]{1,9999}", "(a)",   "[a[b]]", "[a&&b]",   "[[:alpha:]]", "\\p{Lu}+", "\\p{L}+|\\p{N}",
        "\\d+",     "[a]+?",  "[a]++",       "[a]+x", "[\\d]+", "(?i)[a]+", "[a-\\p{L}]+", "[\xFF]+",  "'s|'t",
        "\\w+"}) {
    const auto compile = [&] { compile_split_pattern(pattern, "here"); };
    EXPECT_TRUE(test::contains(test::error_of(compile, ErrorKind::unsupported), quoted_for_message(pattern)));
  }
}

// The definition, in square time: again and again the best pair, leftmost first.
std::vector<int32_t> merge_plainly(std::vector<int32_t> ids, const std::vector<BpeMerge>& merges) {
  for (;;) {
    size_t best_rank = merges.size(), best_at = 0;
    for (size_t i = 0; i + 1 < ids.size(); ++i)
      for (size_t rank = 0; rank < best_rank; ++rank)
        if (merges[rank].left == ids[i] && merges[rank].right == ids[i + 1]) {
          best_rank = rank;
          best_at = i;
        }
    if (best_rank == merges.size()) return ids;
    ids[best_at] = merges[best_rank].result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best_at) + 1);
  }
}

TEST(Bpe, MergesAsItsDefinitionSays) {
  for (uint64_t seed = 0; seed < 300; ++seed) {
    // Random tokens over {0, 1, 2} as texts, so that a result is always the sum of its parts.
    std::vector<std::string> texts = {"0", "1", "2"};
    std::vector<BpeMerge> merges;
    for (uint64_t i = 0; i < 40; ++i) {
      const auto r = philox(seed, 2, i);
      const auto left = static_cast<int32_t>(r[0] % texts.size()), right = static_cast<int32_t>(r[1] % texts.size());
      const std::string sum = texts[static_cast<size_t>(left)] + texts[static_cast<size_t>(right)];
      auto it = std::find(texts.begin(), texts.end(), sum);
      const auto result = static_cast<int32_t>(it - texts.begin());
      const bool known = std::any_of(merges.begin(), merges.end(),
                                     [&](const BpeMerge& m) { return m.left == left && m.right == right; });
      if (known || sum.size() > 12) continue;
      if (it == texts.end()) texts.push_back(sum);
      merges.push_back({left, right, result});
    }
    std::array<int32_t, 256> byte_ids{};
    const BpeModel model(byte_ids, merges);
    BpeModel::Scratch scratch;
    for (uint64_t word = 0; word < 20; ++word) {
      std::vector<int32_t> start;
      for (uint64_t i = 0; i < word * 3; ++i) start.push_back(static_cast<int32_t>(philox(seed, 3 + word, i)[0] % 3));
      std::vector<int32_t> got;
      model.merge(start, scratch, got);
      EXPECT_EQ(got, merge_plainly(start, merges)) << seed;
    }
  }
}

TEST(AddedTokens, LeftmostThenLongest) {
  const AddedTokenFinder finder({{.id = 1, .content = "ab"},
                                 {.id = 2, .content = "abcd"},
                                 {.id = 3, .content = "bc", .special = true},
                                 {.id = 4, .content = "c"}});
  const auto split = [&](std::string_view text, bool parse_special) {
    std::string out;
    finder.split(text, parse_special, [&](std::string_view piece, int32_t id) {
      out += id < 0 ? "'" + std::string(piece) + "'" : std::to_string(id);
    });
    return out;
  };
  EXPECT_EQ(split("abcde", true), "2'e'");
  EXPECT_EQ(split("abce", true), "14'e'");
  EXPECT_EQ(split("xbc", true), "'x'3");
  EXPECT_EQ(split("xbc", false), "'xbc'") << "no token is looked for inside a special token that stays text";
  EXPECT_EQ(split("", true), "");
}

}  // namespace
}  // namespace fathom
