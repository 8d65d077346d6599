// A folder of its own for each test, a small tokenizer, and texts.
#pragma once
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file/file.h"
#include "base/json/json.h"
#include "base/random.h"
#include "data/build.h"
#include "data/dataset.h"
#include "support/files.h"
#include "tokenizer/train/train_bpe.h"

namespace fathom {

using test::error_of;
using test::says;

class DataFiles : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    const auto path = folder / name;
    std::filesystem::create_directories(path.parent_path());
    test::write_text(path, text);
    return path;
  }
  std::string read(const std::filesystem::path& path) const { return read_file(path); }

  // Builds `inputs` with the small tokenizer into folder/`name`.
  DataBuildOptions options(std::vector<DataInput> inputs, const std::string& name = "data") const {
    DataBuildOptions o;
    o.inputs = std::move(inputs);
    o.tokenizer_json = tokenizer_json();
    o.tokenizer_config_json = tokenizer_config_json();
    o.output = folder / name;
    o.threads = 2;
    o.quiet = true;
    return o;
  }
  static const Tokenizer& tokenizer() {
    static const Tokenizer t = [] {
      std::vector<CountedWord> words;
      for (const char* w : {"the", " the", " and", " sea", " ship", " whale", "ing", " of"}) words.push_back({w, 10});
      return Tokenizer::from_vocabulary(train_bpe(words, {.vocab_size = 270, .special = {}, .on_merge = {}}), "small");
    }();
    return t;
  }
  static std::string tokenizer_json() { return to_tokenizer_json(tokenizer()); }
  static std::string tokenizer_config_json() { return to_tokenizer_config_json(tokenizer()); }

  test::TempFolder folder;
};

// A text that no other (seed, index) has, of about n words.
inline std::string some_text(uint64_t seed, uint64_t index, uint64_t n) {
  static const char* words[] = {"the", "and", "sea", "ship", "whale", "sing", "of", "\u00e9t\u00e9", "12", "\n"};
  std::string text = fmt::format("{} {}:", seed, index);
  for (uint64_t i = 0; i < n; ++i) text += std::string(" ") + words[philox(seed, index, i)[0] % std::size(words)];
  return text;
}

// As JSON lines.
inline std::string json_lines(const std::vector<std::string>& texts) {
  std::string out;
  for (const std::string& text : texts) out += json::serialize(json::object{{"id", 1}, {"text", text}}) + "\n";
  return out;
}

}  // namespace fathom
