#include "hub/choice.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/errors.h"

namespace fathom::hub {
namespace {

using test::error_of;

Listing listing_of(const std::vector<std::string>& names) {
  Listing listing{.commit = std::string(40, 'a'), .files = {}};
  for (size_t i = 0; i < names.size(); ++i)
    listing.files.push_back({names[i], 1000 + i, {DigestKind::git_blob, std::string(40, '0')}});
  return listing;
}

std::vector<std::string> names_of(const Choice& choice) {
  std::vector<std::string> names;
  for (const HubFile& f : choice.files) names.push_back(f.name);
  std::sort(names.begin(), names.end());
  return names;
}

using Names = std::vector<std::string>;

TEST(Choice, OfSafetensorsIsWeightsAndTextsAlone) {
  const Listing listing = listing_of({".gitattributes", "LICENSE-MODEL", "LICENSE.md", "LICENSE.bin", "LICENCE.py",
                                      "README.md", "config.json", "evil.py", "model.safetensors",
                                      "modeling_deepseek.py", "pytorch_model.bin", "sub/config.json", "tokenizer.json",
                                      "consolidated.safetensors", "generation_config.json", "requirements.txt"});
  EXPECT_EQ(names_of(choose_files(listing, {.repository = "a/b"})),
            (Names{"LICENSE-MODEL", "LICENSE.md", "config.json", "generation_config.json", "model.safetensors",
                   "tokenizer.json"}));
}

TEST(Choice, OfShardsIsWhatTheIndexNames) {
  const Listing listing = listing_of({"config.json", "model.safetensors", "model.safetensors.index.json",
                                      "x-1.safetensors", "x-2.safetensors", "x-3.safetensors", "evil.py"});
  Choice choice = choose_files(listing, {.repository = "a/b"});
  ASSERT_NE(choice.index, nullptr);
  add_shards(
      choice, listing,
      R"({"metadata": {}, "weight_map": {"t": "x-1.safetensors", "u": "x-2.safetensors", "v": "x-1.safetensors"}})",
      "index");
  EXPECT_EQ(names_of(choice),
            (Names{"config.json", "model.safetensors.index.json", "x-1.safetensors", "x-2.safetensors"}));
  for (const char* index : {R"({"weight_map": {"t": "evil.py"}})", R"({"weight_map": {"t": "../x.safetensors"}})",
                            R"({"weight_map": {"t": 1}})", R"({"weight_map": []})", "{}", "[]", ""})
    EXPECT_NE(error_of([&] { add_shards(choice, listing, index, "index"); }), "") << index;
}

TEST(Choice, OfGgufIsOneModel) {
  const Listing listing =
      listing_of({"M-IQ4_XS.gguf", "M-Q4_K_M.gguf", "M.q8_0.gguf", "UD/M-UD-Q4_K_XL-00001-of-00002.gguf",
                  "UD/M-UD-Q4_K_XL-00002-of-00002.gguf", "mmproj-F16.gguf", "imatrix.gguf", "config.json"});
  const auto chosen = [&](std::string file, std::string tag) {
    return names_of(choose_files(listing, {.repository = "a/b", .file = std::move(file), .tag = std::move(tag)}));
  };
  EXPECT_EQ(chosen("", "q4_k_m"), Names{"M-Q4_K_M.gguf"});
  EXPECT_EQ(chosen("", "Q8_0"), Names{"M.q8_0.gguf"});
  EXPECT_EQ(chosen("", "UD-Q4_K_XL").size(), 2u);
  EXPECT_EQ(chosen("", "Q4_K_XL").size(), 2u);
  EXPECT_EQ(chosen("M-UD-Q4_K_XL-00001-of-00002.gguf", "").size(), 2u);
  for (const char* tag : {"Q4_K", "K_M", "Q4_K_S", "XS"}) EXPECT_NE(error_of([&] { chosen("", tag); }), "") << tag;
  const std::string several = error_of([&] { chosen("", ""); });
  EXPECT_TRUE(several.find("4 GGUF models") != std::string::npos && several.find("a/b:TAG") != std::string::npos)
      << several;
  EXPECT_EQ(several.find("mmproj"), std::string::npos);
}

TEST(Choice, RefusesWhatIsNoWholeModel) {
  EXPECT_NE(error_of([] {
              choose_files(listing_of({"M-Q4_0-00001-of-00002.gguf"}), {.repository = "a/b"});
            }).find("not every part"),
            std::string::npos);
  const auto refused = [](const Names& names, ErrorKind kind, const char* words) {
    EXPECT_NE(error_of([&] { choose_files(listing_of(names), {.repository = "a/b"}); }, kind).find(words),
              std::string::npos);
  };
  refused({"adapter_config.json", "adapter_model.safetensors"}, ErrorKind::unsupported, "adapter");
  refused({"config.json", "pytorch_model-00001-of-00002.bin"}, ErrorKind::unsupported, "pickles");
  refused({"config.json", "x.safetensors"}, ErrorKind::unsupported, "neither model.safetensors");
  refused({"model.safetensors"}, ErrorKind::bad_input, "no config.json");
  refused({"README.md"}, ErrorKind::bad_input, "no weights");
  refused({}, ErrorKind::bad_input, "no weights");
}

TEST(Tags, AreTheEndOfAName) {
  for (const auto& [stem, tag] : std::vector<std::pair<std::string, std::string>>{{"M-Q4_K_M", "Q4_K_M"},
                                                                                  {"M.iq4_xs", "iq4_xs"},
                                                                                  {"a-b.c-F16", "F16"},
                                                                                  {"Q8_0/M", "Q8_0"},
                                                                                  {"M", ""},
                                                                                  {"M-7B", ""},
                                                                                  {"M-chat", ""}})
    EXPECT_EQ(tag_of(stem), tag) << stem;
}

}  // namespace
}  // namespace fathom::hub
