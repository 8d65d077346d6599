// What must hold of any grammar and any vocabulary.
#include <gtest/gtest.h>

#include "grammar/plain_recogniser.h"
#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

// Random texts of a grammar, byte by byte.
std::string random_text(const std::shared_ptr<const Grammar>& grammar, uint64_t seed, size_t longest) {
  Matcher matcher(grammar, byte_vocabulary());
  std::string out;
  for (uint64_t i = 0; out.size() < longest; ++i) {
    std::vector<int32_t> ways;
    for (int32_t id = 0; id < 256; ++id)
      if (matcher.allowed().allows(id)) ways.push_back(id);
    if (ways.empty() || (matcher.can_end() && philox(seed, 5, i)[0] % 4 == 0)) break;
    const int32_t id = ways[philox(seed, 6, i)[0] % ways.size()];
    EXPECT_TRUE(matcher.accept(id));
    out += static_cast<char>(id);
  }
  return out;
}

TEST(GrammarProperty, TheMaskIsWhatAPlainRecogniserAllows) {
  int compared = 0, places = 0;
  for (uint64_t seed = 0; seed < 300; ++seed) {
    const PlainGrammar plain = random_grammar(seed);
    const std::string text = to_gbnf(plain);
    PlainRecogniser start(plain);
    if (!start.productive()) {
      EXPECT_NE(error_of([&] { Grammar::from_gbnf(text); }), "") << text;
      continue;
    }
    if (start.too_large()) continue;
    std::shared_ptr<const Grammar> grammar;
    ASSERT_EQ(error_of([&] { grammar = Grammar::from_gbnf(text); }), "") << text;
    ++compared;
    std::vector<std::string> texts = {"ab\xC3\xA9\xE4\xB8\x80\x81", "abcab"};
    for (uint64_t i = 0; i < 6; ++i) texts.push_back(random_text(grammar, 100 * seed + i, 24));
    const auto tokens = tokens_cut_from(texts, 40, seed);
    const auto vocabulary = trie_of(tokens);
    Matcher matcher(grammar, vocabulary);
    PlainRecogniser plainly = start;
    for (uint64_t step = 0; step < 8 && !plainly.too_large(); ++step, ++places) {
      std::vector<int32_t> ways;
      for (int32_t id = 0; id < std::ssize(tokens); ++id) {
        PlainRecogniser after = plainly;
        const bool allowed = id == kEndId ? plainly.complete() : !tokens[id].empty() && after.read(tokens[id]);
        ASSERT_EQ(matcher.allowed().allows(id), allowed)
            << text << "seed " << seed << " step " << step << " token " << id;
        if (allowed && id != kEndId) ways.push_back(id);
        Matcher copy = matcher;
        ASSERT_EQ(copy.accept(id), allowed) << text;
      }
      ASSERT_EQ(matcher.can_end(), plainly.complete());
      if (ways.empty()) break;
      // Long tokens come last: take one of the latter half, so that the text grows by more than bytes.
      const int32_t id = ways[ways.size() / 2 + philox(seed, 8, step)[0] % (ways.size() - ways.size() / 2)];
      ASSERT_TRUE(matcher.accept(id));
      ASSERT_TRUE(plainly.read(tokens[id]));
    }
  }
  EXPECT_GT(compared, 150);
  EXPECT_GT(places, 500);
}

// Branches of the vocabulary that are skipped whole: within strings, with characters counted or not, for tokens that
// begin and end within characters. Trying a token alone goes another way than the mask.
TEST(GrammarProperty, TheMaskIsThatOfTryingEveryToken) {
  const std::vector<std::string> rich = {
      "The quick brown fox, 12345678901234567890 jumps over the lazy dog\n\t\"and\" \\ more/_-+",
      "\xE4\xBD\xA0\xE5\xA5\xBD\xE4\xB8\x96\xE7\x95\x8C a\xE6\x95\xB0\xC3\xA9\xC3\xBC\xD0\x96 "
      "\xF0\x9F\x98\x80\xF0\x9F\x98\x81z",
      "{\"key\": [\"v\", 1.5e3, null], \"\xED\x9F\xBF\": true}",
      "ab\xED\xA0\x80"
      "c\xF4\x90\x80\x80 \xC0\x80 \xFF\x7F\x01 d"};
  std::vector<std::string> tokens = tokens_cut_from(rich, 600, 1);
  for (uint64_t i = 0; i < 300; ++i) {  // long ones, of characters of few kinds
    const std::string& text = rich[i % 2];
    tokens.push_back(text.substr(philox(3, 1, i)[0] % text.size(), 1 + philox(3, 2, i)[0] % 40));
  }
  const auto vocabulary = trie_of(tokens);
  const std::vector<std::shared_ptr<const Grammar>> grammars = {
      Grammar::from_json_schema(R"({"type":"string"})"),
      Grammar::from_json_schema(R"({"type":"string","maxLength":5})"),
      Grammar::from_json_schema(R"({"type":"string","minLength":7,"maxLength":40})"),
      Grammar::from_json_schema(R"({"items":{"pattern":"^[^0-9]{3,20}$"}})"),
      Grammar::from_json_schema(R"({"properties":{"key":{"type":"string"}},"additionalProperties":true})"),
      Grammar::from_regex("[a-z ,]{2,9}(.|\\n)*"),
      Grammar::from_regex("[a-m0-4 ]*!|[A-Za-t ]{1,30}"),
      Grammar::from_regex("([^\\u4e00-\\u9fff]|\\u4f60){0,30}"),
      Grammar::from_regex("[\\p{L} ]*x|(.{3})*")};
  for (const auto& grammar : grammars) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      Matcher matcher(grammar, vocabulary);
      for (uint64_t step = 0; step < 8; ++step) {
        const Matcher before = matcher;  // has no mask yet
        std::vector<int32_t> ways;
        for (int32_t id = 0; id < std::ssize(tokens); ++id) {
          const bool allowed = matcher.allowed().allows(id);
          ASSERT_EQ(Matcher(before).accept(id), allowed) << seed << " " << step << " " << tokens[id];
          if (allowed && id != kEndId) ways.push_back(id);
        }
        if (ways.empty()) break;
        ASSERT_TRUE(matcher.accept(ways[philox(seed, 4, step)[0] % ways.size()]));
      }
    }
  }
}

// Places that a text reaches by other tokens are the same places: the masks behind are one object.
TEST(GrammarProperty, AnyCutOfATextIntoTokensIsAcceptedAlike) {
  const std::vector<std::shared_ptr<const Grammar>> grammars = {
      Grammar::json_object(),
      Grammar::from_json_schema(
          R"({"items":{"anyOf":[{"type":"string","maxLength":9},{"type":"number","maximum":55.5},{"$ref":"#"}]}})"),
      Grammar::from_regex("([\\p{L}\\s]+[0-9]{2,4}|a*)*"),
      Grammar::from_gbnf("root ::= \"a\" root \"b\" | [^b]* | \"ab\"")};
  for (size_t g = 0; g < grammars.size(); ++g) {
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const std::string text = random_text(grammars[g], 1000 * g + seed, 60);
      const auto tokens = tokens_cut_from({text, "ab"}, 200, seed);
      const auto vocabulary = trie_of(tokens);
      Matcher bytes(grammars[g], vocabulary);
      for (const char c : text) ASSERT_TRUE(bytes.accept(static_cast<unsigned char>(c)));
      for (uint64_t cut = 0; cut < 5; ++cut) {
        Matcher matcher(grammars[g], vocabulary);
        for (size_t at = 0; at < text.size();) {
          std::vector<int32_t> fits;
          for (int32_t id = 0; id < std::ssize(tokens); ++id)
            if (!tokens[id].empty() && text.compare(at, tokens[id].size(), tokens[id]) == 0) fits.push_back(id);
          const int32_t id = fits[philox(seed, 9 + cut, at)[0] % fits.size()];
          ASSERT_TRUE(matcher.allowed().allows(id)) << text;
          ASSERT_TRUE(matcher.accept(id)) << text;
          at += tokens[id].size();
        }
        ASSERT_EQ(matcher.can_end(), bytes.can_end());
        ASSERT_EQ(&matcher.allowed(), &bytes.allowed());
      }
    }
  }
}

TEST(GrammarProperty, ForcedBytesAreTheOnlyOnes) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const PlainGrammar plain = random_grammar(seed);
    if (PlainRecogniser start(plain); !start.productive() || start.too_large()) continue;
    Matcher matcher(Grammar::from_gbnf(to_gbnf(plain)), byte_vocabulary());
    for (const char c : matcher.forced()) {
      ASSERT_EQ(matcher.allowed().count, 1);
      ASSERT_TRUE(matcher.accept(static_cast<unsigned char>(c)));
    }
  }
}

}  // namespace
}  // namespace fathom::test
