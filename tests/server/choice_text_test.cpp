#include "server/choice_text.h"

#include <gtest/gtest.h>

#include <random>

#include "load/text.h"
#include "server/api/scores_json.h"

namespace fathom::server {
namespace {

const Tokenizer& tokenizer() {
  static const Tokenizer bundled =
      load_tokenizer(std::filesystem::path(FATHOM_GOLDEN_DIR) / "../../models/bundled.gguf");
  return bundled;
}

struct Whole {
  std::string text;
  std::vector<int32_t> scored;
};

Whole run(std::span<const int32_t> ids, std::vector<std::string> stops, const std::string& gap) {
  ChoiceText choice(tokenizer(), std::move(stops), gap);
  Whole out;
  const auto take = [&](const TextDelta& d) {
    EXPECT_EQ(d.text.find("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"), std::string::npos);
    out.text += d.text;
    for (const TokenScore& t : d.tokens) out.scored.push_back(t.id);
  };
  for (const int32_t id : ids) {
    take(choice.push({.id = id}));
    if (choice.stopped()) break;
  }
  take(choice.finish());
  return out;
}

TEST(ChoiceText, IsTheTextUpToTheStopWithoutTheGap) {
  std::mt19937 random(1);
  const std::string texts[] = {" The king said: né 漢字 🦙 yes.\n\nUser: no", "People, \xF0\x9F\xA6\x99", " ",
                               "  x"};
  for (const std::string& text : texts)
    for (const std::string gap : {"", " ", "  "})
      for (const std::string stop : {"", "\n\nUser", "字", "🦙", "zz", "\n"}) {
        const auto ids = tokenizer().encode(text, {.add_special = false});
        std::string want = text.substr(0, stop.empty() ? std::string::npos : text.find(stop));
        if (want.starts_with(gap)) want = want.substr(gap.size());
        std::vector<std::string> stops;
        if (!stop.empty()) stops.push_back(stop);
        const Whole got = run(ids, stops, gap);
        EXPECT_EQ(got.text, want) << text << " | " << stop;
        EXPECT_LE(got.scored.size(), ids.size());
        if (stop.empty()) {
          EXPECT_EQ(got.scored, ids);
        }
        EXPECT_TRUE(std::equal(got.scored.begin(), got.scored.end(), ids.begin())) << "scores come in order";
      }
}

// Tokens that are no whole characters: what is given out is UTF-8, and nothing is lost.
TEST(ChoiceText, RandomTokensAreTheDecodedText) {
  std::mt19937 random(2);
  for (int round = 0; round < 200; ++round) {
    std::vector<int32_t> ids(1 + random() % 40);
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<unsigned>(tokenizer().n_tokens()));
    const Whole got = run(ids, {}, "");
    EXPECT_EQ(got.text, tokenizer().decode(ids, {.replace_invalid = true}));
    EXPECT_EQ(got.scored, ids);
  }
}

TEST(ScoresJson, SpellingsTellTokensApartAndOffsetsCountCharacters) {
  std::set<std::string> names;
  for (int32_t id = 0; id < tokenizer().n_tokens(); ++id) names.insert(token_name(tokenizer(), id));
  EXPECT_GE(static_cast<int32_t>(names.size()) + 32, tokenizer().n_tokens());
  const std::string text = "né 漢🦙x";
  CompletionScores scores(tokenizer());
  for (const int32_t id : tokenizer().encode(text, {.add_special = false}))
    scores.add({.id = id, .logprob = -1, .top = {{id, -1}}});
  const json::object out = scores.take();
  int64_t last = -1;
  for (const json::value& offset : out.at("text_offset").as_array()) {
    EXPECT_GE(offset.as_int64(), last);
    last = offset.as_int64();
    EXPECT_LE(last, 6);
  }
  for (size_t i = 0; i < out.at("tokens").as_array().size(); ++i)
    EXPECT_EQ(
        out.at("top_logprobs").as_array()[i].as_object().at(out.at("tokens").as_array()[i].as_string()).as_double(),
        -1);
}

}  // namespace
}  // namespace fathom::server
