// Tokenizer files that are not what they must be: one clear sentence each (group E9).
#include <gtest/gtest.h>

#include <functional>

#include "base/error.h"
#include "base/json/json.h"
#include "small_tokenizers.h"
#include "support/errors.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {
namespace {

using Change = std::function<void(json::object&)>;

// The small tokenizer like V2's, changed.
std::string changed(const Change& change) {
  json::value document = parse_json(golden_file("v2.tokenizer.json"), "v2");
  change(document.as_object());
  return json::serialize(document);
}
json::object& model(json::object& o) { return o["model"].as_object(); }

void expect_refused(const std::function<void()>& load, const std::string& because) {
  const std::string why = test::refusal(load);
  EXPECT_TRUE(test::contains(why, because));
  EXPECT_LT(why.size(), 600u) << why;
}
void expect_json_refused(const Change& change, const std::string& because) {
  expect_refused([&] { Tokenizer::from_json(changed(change), "", "folder"); }, because);
}

TEST(BadTokenizerJson, IsRefusedByName) {
  const std::pair<Change, const char*> cases[] = {
      {[](auto& o) { o.erase("model"); }, "tokenizer.json: model is missing"},
      {[](auto& o) { o["model"] = 7; }, "model must be an object, found 7"},
      {[](auto& o) { model(o).erase("vocab"); }, "model.vocab is missing"},
      {[](auto& o) { model(o).erase("merges"); }, "model.merges is missing"},
      {[](auto& o) { model(o)["type"] = "Unigram"; }, "'Unigram'"},
      {[](auto& o) { model(o)["vocab"] = json::array{}; }, "model.vocab must be an object, found an array"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = 1; }, "both have id 1"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = -1; }, "whole number from 0"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = 1.5; }, "whole number from 0"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = "0"; }, "whole number from 0"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = 5000000000; }, "whole number from 0"},
      {[](auto& o) { model(o)["vocab"].as_object()["!"] = 1000; }, "without holes"},
      {[](auto& o) { model(o)["vocab"].as_object().erase("!"); }, "without holes"},
      {[](auto& o) { model(o)["vocab"].as_object()[""] = 480; }, "is empty"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = "q\u2581 x"; }, "has no token 'q\u2581'"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = "q x"; }, "has no token 'qx'"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = "qx"; }, "two tokens with one space"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = "q x y"; }, "two tokens with one space"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = " x"; }, "two tokens with one space"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = json::array{"q"}; }, "merge 3 must be"},
      {[](auto& o) {
         model(o)["merges"].as_array()[3] = json::array{"q", 1};
       },
       "merge 3 must be"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = nullptr; }, "merge 3 must be"},
      {[](auto& o) { model(o)["merges"].as_array()[3] = model(o)["merges"].as_array()[4]; }, "two merges join"},
      {[](auto& o) { model(o)["dropout"] = 0.1; }, "must not depend on chance"},
      {[](auto& o) { model(o)["dropout"] = "x"; }, "must not depend on chance"},
      {[](auto& o) { model(o)["byte_fallback"] = true; }, "byte_fallback = true"},
      {[](auto& o) { model(o)["fuse_unk"] = "no"; }, "fuse_unk must be true or false, found a string"},
      {[](auto& o) { model(o)["unk_token"] = "<none>"; }, "'<none>' is not in the vocabulary"},
      {[](auto& o) { model(o)["continuing_subword_prefix"] = "##"; }, "continuing_subword_prefix is not supported"},
      {[](auto& o) { model(o)["end_of_word_suffix"] = "</w>"; }, "end_of_word_suffix is not supported"},
      {[](auto& o) { model(o)["surprise"] = 1; }, "'surprise'"},
      {[](auto& o) { o["version"] = "2.0"; }, "version '2.0'"},
      {[](auto& o) { o["surprise"] = 1; }, "'surprise'"},
      {[](auto& o) {
         o["normalizer"] = json::object{{"type", "NFC"}};
       },
       "normalizer of type 'NFC'"},
      {[](auto& o) {
         o["decoder"] = json::object{{"type", "Metaspace"}};
       },
       "decoder of type 'Metaspace'"},
      {[](auto& o) { o["decoder"] = nullptr; }, "decoder is missing (it is null)"},
      {[](auto& o) { o["pre_tokenizer"] = nullptr; }, "pre_tokenizer is missing (it is null)"},
      {[](auto& o) {
         o["pre_tokenizer"] = json::object{{"type", "Whitespace"}};
       },
       "'Whitespace'"},
      {[](auto& o) { o["pre_tokenizer"].as_object()["pretokenizers"].as_array().pop_back(); }, "no ByteLevel stage"},
      {[](auto& o) {
         o["pre_tokenizer"].as_object()["pretokenizers"].as_array()[0].as_object()["behavior"] = "Removed";
       },
       "'Removed'"},
      {[](auto& o) { o["pre_tokenizer"].as_object()["pretokenizers"].as_array()[0].as_object()["invert"] = true; },
       "invert = true"},
      {[](auto& o) {
         o["pre_tokenizer"].as_object()["pretokenizers"].as_array()[0].as_object()["pattern"] =
             json::object{{"Regex", "(a+)+$"}};
       },
       "'(a+)+$'"},
      {[](auto& o) {
         o["pre_tokenizer"].as_object()["pretokenizers"].as_array()[0].as_object()["pattern"] =
             json::object{{"String", "a"}};
       },
       "'String'"},
      {[](auto& o) {
         o["post_processor"] = json::object{{"type", "BertProcessing"}};
       },
       "'BertProcessing'"},
      {[](auto& o) {
         o["post_processor"] = json::object{
             {"type", "TemplateProcessing"}, {"single", json::array{}}, {"special_tokens", json::object{}}};
       },
       "sequence A once"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["id"] = 3; }, "the next free id is 480"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["content"] = "e"; }, "in model.vocab it has id"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["content"] = ""; }, "has 0 bytes"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["content"] = std::string(2000, 'x'); },
       "has 2000 bytes"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["single_word"] = true; }, "single_word = true"},
      {[](auto& o) { o["added_tokens"].as_array()[0].as_object()["special"] = 1; },
       "special must be true or false, found 1"},
      {[](auto& o) {
         o["added_tokens"].as_array()[1].as_object()["content"] = o["added_tokens"].as_array()[0].at("content");
       },
       "both spelled"},
      {[](auto& o) { o["added_tokens"].as_array()[0] = "x"; }, "added_tokens[0] must be an object, found a string"},
  };
  for (const auto& [change, because] : cases) expect_json_refused(change, because);
}

TEST(TokenizerJson, WhatATrainingLoopLeftBehindIsPassedOver) {
  const std::pair<Change, size_t> cases[] = {
      {[](auto& o) { o["truncation"] = parse_json(R"({"direction": "Right", "max_length": 2, "stride": 0})", "t"); },
       1},
      {[](auto& o) { o["padding"] = parse_json(R"({"strategy": {"Fixed": 9}, "pad_id": 1})", "p"); }, 1},
      {[](auto& o) { o["padding"] = json::object{}, o["truncation"] = json::object{}; }, 2},
      {[](auto& o) { o["surprise"] = nullptr; }, 0},
      {[](auto& o) { model(o)["surprise"] = nullptr; }, 0},
  };
  const Tokenizer plain = Tokenizer::from_json(changed([](auto&) {}), "", "folder");
  const std::string text = "Hello world, how are you?";
  for (const auto& [change, n_notes] : cases) {
    const Tokenizer t = Tokenizer::from_json("\xEF\xBB\xBF" + changed(change), "", "folder");
    EXPECT_EQ(t.encode(text), plain.encode(text));
    EXPECT_EQ(t.parts().notes.size(), n_notes);
  }
}

TEST(BadTokenizerJson, ThatIsNoJsonIsRefused) {
  const std::string good = golden_file("v2.tokenizer.json");
  EXPECT_EQ(Tokenizer::from_json(good, "", "folder").n_tokens(), 484);
  for (const std::string& bad :
       {std::string(), std::string("{"), good.substr(0, good.size() / 2), good + "x", std::string("[]"),
        std::string("<!DOCTYPE html>"), std::string("version https://git-lfs.github.com/spec/v1"),
        std::string(100000, '['), std::string("{\"model\":\"\xFF\"}")})
    EXPECT_THROW(Tokenizer::from_json(bad, "", "folder"), Error) << bad.substr(0, 40);
}

TEST(BadTokenizerJson, TooLongIsRefusedUnread) {
  expect_refused([] { Tokenizer::from_json(std::string(kMaxJsonBytes + 1, ' '), "", "folder"); },
                 "fathom reads up to 134217728");
}

TEST(BadTokenizerConfig, IsRefusedByName) {
  const std::pair<const char*, const char*> cases[] = {
      {"[]", "must be a JSON object, found an array"},
      {R"({"bos_token": "<none>"})", "bos_token is '<none>', which tokenizer.json does not have"},
      {R"({"eos_token": 5})", "eos_token must be a string, found 5"},
      {R"({"eos_token": {"text": "e"}})", "eos_token.content is missing"},
      {R"({"add_bos_token": true})", "add_bos_token is true but there is no bos_token"},
      {R"({"add_eos_token": "yes", "eos_token": "e"})", "add_eos_token must be true or false, found a string"},
      {R"({"do_lower_case": true})", "do_lower_case = true"},
      {R"({"added_tokens_decoder": {"0": {"content": "!"}}})", "no such added token"},
      {R"({"added_tokens_decoder": {"x": {"content": "!"}}})", "no such added token"},
  };
  for (const auto& test : cases)
    expect_refused([&] { Tokenizer::from_json(golden_file("v2.tokenizer.json"), test.first, "folder"); }, test.second);
}

TEST(BadVocabulary, IsRefusedByName) {
  const VocabularyData good = to_vocabulary(golden_tokenizer("v2"));
  EXPECT_EQ(Tokenizer::from_vocabulary(good, "file.gguf").n_tokens(), 484);
  const std::pair<std::function<void(VocabularyData&)>, const char*> cases[] = {
      {[](auto& v) { v.tokens.clear(); }, "has no tokens"},
      {[](auto& v) { v.tokens.resize(kMaxTokens + 1); }, "fathom reads up to"},
      {[](auto& v) { v.merges.resize(kMaxTokens + 1); }, "fathom reads up to"},
      {[](auto& v) { v.token_types.pop_back(); }, "483 entries for 484 tokens"},
      {[](auto& v) { v.token_types[5] = 9; }, "token 5 has type 9"},
      {[](auto& v) { v.token_types[5] = 6; }, "is a BYTE token"},
      {[](auto& v) { v.tokens[5] = ""; }, "token 5 is empty"},
      {[](auto& v) { v.tokens[5] = "\xC3"; }, "not valid UTF-8"},
      {[](auto& v) { v.tokens[5] = v.tokens[6]; }, "tokens 5 and 6 are both spelled"},
      {[](auto& v) { v.merges[0] = "q\u2581 x"; }, "has no token"},
      {[](auto& v) { v.merges[0] = ""; }, "two tokens with one space"},
      {[](auto& v) { v.merges[0] = v.merges[1]; }, "two merges join"},
      {[](auto& v) { v.pre = "llama-bpe"; }, "'llama-bpe'"},
      {[](auto& v) { v.pre = ""; }, "tokenizer.ggml.pre"},
      {[](auto& v) { v.bos = 484; }, "bos_token_id is 484"},
      {[](auto& v) { v.eos = -1; }, "eos_token_id is -1"},
      {[](auto& v) { v.bos.reset(); }, "bos_token_id is missing"},
      {[](auto& v) { v.tokens[480] = std::string(5000, 'x'); }, "5000 bytes"},
  };
  for (const auto& [change, because] : cases) {
    VocabularyData bad = good;
    change(bad);
    expect_refused([&] { Tokenizer::from_vocabulary(bad, "file.gguf"); }, because);
  }
}

TEST(Vocabulary, MayLackMergesTypesAndSpecialTokens) {
  VocabularyData v = to_vocabulary(golden_tokenizer("v2"));
  v.merges.clear();
  v.token_types.clear();
  v.bos = v.eos = v.pad = std::nullopt;
  v.add_bos = false;
  const Tokenizer t = Tokenizer::from_vocabulary(v, "file.gguf");
  EXPECT_EQ(t.encode("abc").size(), 3u);
  EXPECT_EQ(t.bos(), std::nullopt);
}

}  // namespace
}  // namespace fathom
