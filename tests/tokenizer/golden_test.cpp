// Small tokenizers of our own against what Hugging Face `tokenizers` makes of hard strings
// (tools/tokenizer/make_golden.py).
#include <gtest/gtest.h>

#include "base/error.h"
#include "base/json/json.h"
#include "small_tokenizers.h"
#include "support/errors.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;

Ids ids_of(const json::value& list) {
  Ids out;
  for (const json::value& id : list.as_array()) out.push_back(static_cast<int32_t>(id.as_int64()));
  return out;
}
std::string text_of(const json::value& text) { return {text.as_string().data(), text.as_string().size()}; }

struct Row {
  std::string text;
  Ids ids, parsed;
  std::string decoded, skipped;
};

struct Golden {
  Ids prefix, suffix;
  std::vector<Row> rows;
};

Golden golden(const std::string& name) {
  const json::value document = parse_json(golden_file(name + ".golden.json"), name);
  Golden out{ids_of(document.at("prefix")), ids_of(document.at("suffix")), {}};
  for (const json::value& value : document.at("rows").as_array()) {
    const json::object& o = value.as_object();
    Row row{text_of(o.at("text")), ids_of(o.at("ids")), {}, {}, {}};
    row.parsed = o.contains("parsed") ? ids_of(o.at("parsed")) : row.ids;
    row.decoded = o.contains("decoded") ? text_of(o.at("decoded")) : row.text;
    row.skipped = o.contains("skipped") ? text_of(o.at("skipped")) : row.decoded;
    out.rows.push_back(std::move(row));
  }
  return out;
}

class SmallTokenizer : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Golden, SmallTokenizer, testing::Values("v2", "coder", "v3", "gpt2", "unk"),
                         [](const auto& name) { return name.param; });

void expect_golden(const Tokenizer& t, const Golden& want) {
  ASSERT_GE(want.rows.size(), 100u);
  for (const Row& row : want.rows) {
    EXPECT_EQ(t.encode(row.text, {.add_special = false, .parse_special = false}), row.ids) << row.text;
    EXPECT_EQ(t.encode(row.text, {.add_special = false, .parse_special = true}), row.parsed) << row.text;
    EXPECT_EQ(t.decode(row.parsed, {.replace_invalid = true}), row.decoded) << row.text;
    EXPECT_EQ(t.decode(row.parsed, {.skip_special = true, .replace_invalid = true}), row.skipped) << row.text;
    Ids whole = want.prefix;
    whole.insert(whole.end(), row.ids.begin(), row.ids.end());
    whole.insert(whole.end(), want.suffix.begin(), want.suffix.end());
    EXPECT_EQ(t.encode(row.text), whole) << row.text;
  }
}

TEST_P(SmallTokenizer, EncodesAndDecodesAsHuggingFaceDoes) {
  expect_golden(golden_tokenizer(GetParam()), golden(GetParam()));
}

TEST_P(SmallTokenizer, IsTheSameReadBackFromItsOwnTokenizerJson) {
  const Tokenizer t = golden_tokenizer(GetParam());
  const Tokenizer again = Tokenizer::from_json(to_tokenizer_json(t), to_tokenizer_config_json(t), "written");
  expect_golden(again, golden(GetParam()));
  EXPECT_EQ(to_tokenizer_json(again), to_tokenizer_json(t));
}

TEST_P(SmallTokenizer, StreamsWhatItDecodesAtOnce) {
  const Tokenizer t = golden_tokenizer(GetParam());
  for (const Row& row : golden(GetParam()).rows)
    for (const bool skip : {false, true}) {
      StreamDecoder stream(t, skip);
      std::string got;
      for (const int32_t id : row.parsed) got += stream.push(id);
      EXPECT_EQ(got + stream.flush(), skip ? row.skipped : row.decoded) << row.text;
    }
}

TEST(GgufVocabularyForm, GivesTheSameIdsAsTheTokenizerJsonItWasMadeFrom) {
  for (const char* name : {"v2", "coder"}) {
    const Tokenizer t = golden_tokenizer(name);
    const Tokenizer again = Tokenizer::from_vocabulary(to_vocabulary(t, 512), name);
    EXPECT_EQ(again.n_tokens(), t.n_tokens()) << "rows without a token are no tokens";
    for (const Row& row : golden(name).rows) {
      EXPECT_EQ(again.encode(row.text, {.add_special = false, .parse_special = true}), row.parsed) << row.text;
      EXPECT_EQ(again.encode(row.text, {.parse_special = true}), t.encode(row.text, {.parse_special = true}))
          << row.text;
      EXPECT_EQ(again.decode(row.parsed, {.replace_invalid = true}), row.decoded) << row.text;
    }
    EXPECT_EQ(to_vocabulary(again, 512).tokens, to_vocabulary(t, 512).tokens);
    EXPECT_EQ(to_tokenizer_json(again).find("[PAD"), std::string::npos)
        << "rows without a token have no place in tokenizer.json";
  }
}

TEST(GgufVocabularyForm, HasTheTokenTypesOfLlamaCppsConverter) {
  const Tokenizer t = golden_tokenizer("v2");
  const VocabularyData v = to_vocabulary(t, t.n_tokens() + 2);
  const auto type_of = [&](const char* spelling) { return v.token_types[static_cast<size_t>(*t.id_of(spelling))]; };
  EXPECT_EQ(v.pre, "deepseek-llm");
  EXPECT_EQ(type_of("e"), 1);
  EXPECT_EQ(type_of("<\uff5cbegin\u2581of\u2581sentence\uff5c>"), 3);
  EXPECT_EQ(type_of("<\uff5cfim\u2581hole\uff5c>"), 3) << "not special in tokenizer.json, but looks so";
  EXPECT_EQ(type_of("\u00f8"), 4);
  EXPECT_EQ(v.tokens.back(), fmt::format("[PAD{}]", t.n_tokens() + 1));
  EXPECT_EQ(v.token_types.back(), 5);
  EXPECT_TRUE(v.add_bos);
  EXPECT_FALSE(v.add_eos);
  EXPECT_EQ(v.bos, t.bos());
  EXPECT_EQ(v.eos, t.eos());
  EXPECT_EQ(v.pad, t.eos());
}

TEST(GgufVocabularyForm, TakesDeepSeeksFimTokensForSpecialWhateverTheFileSays) {
  const std::string fim = "<\uff5cfim\u2581hole\uff5c>";
  VocabularyData v = to_vocabulary(golden_tokenizer("v2"));
  v.added_tokens.clear();  // fathom's own key, which other programs do not write
  const auto id = static_cast<size_t>(*golden_tokenizer("v2").id_of(fim));
  v.token_types[id] = static_cast<int32_t>(TokenType::user_defined);
  const Tokenizer t = Tokenizer::from_vocabulary(v, "file.gguf");
  EXPECT_TRUE(t.is_special(static_cast<int32_t>(id)));
  EXPECT_GT(t.encode(fim, {.add_special = false}).size(), 1u);
  EXPECT_EQ(t.encode(fim, {.add_special = false, .parse_special = true}), Ids{static_cast<int32_t>(id)});
}

TEST(GgufVocabularyForm, KeepsTheFlagsOfAddedTokensThatNoTypeSays) {
  const std::string fim = "<\uff5cfim\u2581hole\uff5c>";
  const Tokenizer t = golden_tokenizer("v2");
  const VocabularyData v = to_vocabulary(t, 512);
  const Tokenizer again = Tokenizer::from_vocabulary(v, "file.gguf");
  EXPECT_FALSE(again.is_special(*t.id_of(fim)));
  EXPECT_EQ(again.encode("a" + fim + "b"), t.encode("a" + fim + "b"));
  EXPECT_EQ(to_tokenizer_json(again), to_tokenizer_json(t));
  EXPECT_EQ(to_vocabulary(again, 512).added_tokens, v.added_tokens);
  VocabularyData bad = v;
  for (const char* text : {"{}", "[1]", "[{}]", R"([{"id": 1, "content": "x", "surprise": 1}])", "["}) {
    bad.added_tokens = text;
    EXPECT_THROW(Tokenizer::from_vocabulary(bad, "file.gguf"), Error) << text;
  }
  bad.added_tokens = R"([{"id": 3, "content": "another vocabulary's", "special": true}])";
  EXPECT_EQ(Tokenizer::from_vocabulary(bad, "file.gguf").encode("abc"), t.encode("abc"));
}

TEST(GgufVocabularyForm, AnIdThatSomeoneMeansIsNoPadding) {
  const Tokenizer t = golden_tokenizer("v2");
  VocabularyData v = to_vocabulary(t, 512);
  v.pad = 490;
  EXPECT_EQ(Tokenizer::from_vocabulary(v, "file.gguf").n_tokens(), 491);
}

TEST(GgufVocabularyForm, RefusesWhatItCannotSay) {
  const auto refused = [](const char* name, const char* because) {
    const auto write = [&] { to_vocabulary(golden_tokenizer(name)); };
    EXPECT_TRUE(test::contains(test::error_of(write, ErrorKind::unsupported), because)) << name;
  };
  refused("gpt2", "ignore_merges");
  refused("v3", "lstrip");
  refused("unk", "tokenizer.ggml.pre");
}

}  // namespace
}  // namespace fathom
