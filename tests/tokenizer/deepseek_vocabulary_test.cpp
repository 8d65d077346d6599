// DeepSeek's own vocabularies, where they are at hand: the goldens of the specification and llama.cpp's test vectors.
#include <gtest/gtest.h>

#include <sstream>

#include "gguf_vocabulary.h"
#include "shared_vocab.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

using Ids = std::vector<int32_t>;

#define NEED_VOCABULARY(path, name)     \
  const auto path = shared_vocab(name); \
  if (!path) GTEST_SKIP() << name " not found; set FATHOM_VOCAB_DIR to the folder that holds it"

// Without the 13 letters that DeepSeek LLM has after the special tokens and V2 has not.
VocabularyData deepseek_v2(const std::filesystem::path& path) {
  VocabularyData v = GgufVocabularyReader::read(path);
  v.tokens.resize(100002);
  v.token_types.resize(100002);
  return v;
}

TEST(DeepSeekV2Vocabulary, GivesTheIdsOfTheSpecification) {
  NEED_VOCABULARY(path, "ggml-vocab-deepseek-llm.gguf");
  const Tokenizer t = Tokenizer::from_vocabulary(deepseek_v2(*path), "deepseek-v2");
  const std::pair<const char*, Ids> golden[] = {
      {"Hello world", {17464, 1843}},
      {" Hello World!", {37727, 5427, 0}},
      {"Hello, world!", {17464, 11, 1843, 0}},
      {" this is \U0001F999.cpp", {437, 317, 12356, 99, 234, 13, 14743}},
      {"w048 7tuijk dsdfhu", {86, 15, 19, 23, 207, 22, 83, 3970, 27519, 26016, 3944, 14025}},
      {"3333", {18, 18, 18, 18}},
      {"\n\n\n", {185, 185, 185}},
      {"Hello, y'all! How are you \U0001F601 ?\u6211\u60F3\u5728apple\u5DE5\u4F5C1314151\u5929\uFF5E",
       {17464, 11,   320,  6,  436, 0,  1724, 418, 340, 33701, 210,  3025,  19017,
        612,   9407, 2681, 16, 18,  16, 19,   16,  20,  16,    1398, 68940, 239}},
      {" \n = Robert Boulter = \n \n Robert Boulter is",
       {207, 185, 403, 7940, 88819, 367, 403, 207, 185, 207, 185, 7940, 88819, 367, 317}},
  };
  for (const auto& [text, ids] : golden) {
    EXPECT_EQ(t.encode(text, {.add_special = false}), ids) << text;
    EXPECT_EQ(t.decode(ids), text);
  }
  EXPECT_EQ(t.encode("Hello world"), (Ids{100000, 17464, 1843})) << "add_bos_token is true";
  EXPECT_EQ(t.encode("User", {.add_special = false}), Ids{5726});
  EXPECT_EQ(t.encode("Assistant", {.add_special = false}), Ids{77398});
  EXPECT_EQ(t.n_tokens(), 100002);
}

// The strings of NAME.inp, and one line of ids each in NAME.out.
void expect_llama_cpp_vectors(const std::filesystem::path& path) {
  const Tokenizer t = Tokenizer::from_vocabulary(GgufVocabularyReader::read(path), path.filename());
  const std::string inputs = read_file(path.string() + ".inp");
  std::istringstream outputs(read_file(path.string() + ".out"));
  const std::string marker = "\n__ggml_vocab_test__\n";
  size_t n = 0;
  for (size_t at = 0; at < inputs.size(); ++n) {  // the last string too has a marker behind it
    const size_t end = std::min(inputs.find(marker, at), inputs.size());
    const std::string text = inputs.substr(at, end - at);
    at = end == inputs.size() ? end + 1 : end + marker.size();
    std::string line;
    ASSERT_TRUE(std::getline(outputs, line)) << "more strings than lines of ids";
    std::istringstream numbers(line);
    const Ids want{std::istream_iterator<int32_t>(numbers), {}};
    EXPECT_EQ(t.encode(text, {.add_special = false}), want) << text;
    EXPECT_EQ(t.decode(want), text);
  }
  EXPECT_GE(n, 40u);
}

TEST(DeepSeekLlmVocabulary, GivesTheIdsOfLlamaCpp) {
  NEED_VOCABULARY(path, "ggml-vocab-deepseek-llm.gguf");
  expect_llama_cpp_vectors(*path);
}

TEST(DeepSeekCoderVocabulary, GivesTheIdsOfLlamaCpp) {
  NEED_VOCABULARY(path, "ggml-vocab-deepseek-coder.gguf");
  expect_llama_cpp_vectors(*path);
}

}  // namespace
}  // namespace fathom
