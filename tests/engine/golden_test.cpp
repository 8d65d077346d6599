// Committed checkpoints with the logits and greedy tokens that another implementation computed from them
// (docs/oracles.md says which and how).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>

#include "base/file/file.h"
#include "base/json/json.h"
#include "engine/generation.h"
#include "engine/prompt_reader.h"
#include "support/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> golden_models() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(FATHOM_GOLDEN_DIR) / "models"))
    if (fs::exists(entry.path() / "expected.json")) names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

// The numbers of a float32, C-order .npy file (version 1.0).
std::vector<float> read_npy(const fs::path& path) {
  const std::string bytes = read_file(path);
  const size_t header = 10 + static_cast<uint8_t>(bytes.at(8)) + size_t{256} * static_cast<uint8_t>(bytes.at(9));
  EXPECT_NE(bytes.find("'descr': '<f4'"), std::string::npos) << path;
  EXPECT_NE(bytes.find("'fortran_order': False"), std::string::npos) << path;
  std::vector<float> numbers((bytes.size() - header) / sizeof(float));
  std::memcpy(numbers.data(), bytes.data() + header, numbers.size() * sizeof(float));
  return numbers;
}

std::vector<int32_t> ids_of(const json::value& v) {
  std::vector<int32_t> ids;
  for (const json::value& id : v.as_array()) ids.push_back(static_cast<int32_t>(id.as_int64()));
  return ids;
}

std::vector<float> all_logits(Engine& engine, std::span<const int32_t> ids) {
  std::vector<float> all;
  PromptReader reader(engine);
  reader.add(ids, 0, [&](int64_t, VecView<const float> row) { all.insert(all.end(), row.begin(), row.end()); });
  reader.read_all();
  return all;
}

std::vector<int32_t> greedy(Engine& engine, const std::vector<int32_t>& prompt, int64_t n) {
  std::vector<int32_t> ids;
  ScheduledRequest request{.prompt = prompt};
  request.generate.max_tokens = n;
  request.generate.n_usable_ids = engine.config().vocab_size;
  request.generate.sampling.temperature = 0;
  request.events.on_token = [&](const TokenScore& token) {
    ids.push_back(token.id);
    return true;
  };
  Scheduler scheduler(engine, offline_options(1));
  generate(scheduler, std::move(request));
  return ids;
}

class GoldenModel : public ::testing::TestWithParam<std::string> {};

TEST_P(GoldenModel, LogitsAtEveryPositionAndGreedyTokensAreTheOracles) {
  const fs::path folder = fs::path(FATHOM_GOLDEN_DIR) / "models" / GetParam();
  const json::value expected = parse_json(read_file(folder / "expected.json"), "expected.json");
  const double tolerance = expected.at("relative_tolerance").as_double();
  const Model model = load_model(folder);
  for (const int64_t chunk : {512, 5}) {  // expanded and absorbed attention
    testing::TestEngine engine_parts(model, {.threads = 2, .chunk_tokens = chunk});
    Engine& engine = engine_parts.engine;
    for (const json::value& prompt : expected.at("prompts").as_array()) {
      const std::vector<int32_t> ids = ids_of(prompt.at("ids"));
      if (const json::value* file = prompt.as_object().if_contains("logits")) {
        const std::vector<float> want = read_npy(folder / std::string(file->as_string())),
                                 got = all_logits(engine, ids);
        ASSERT_EQ(got.size(), want.size());
        EXPECT_LE(testing::largest_difference(got, want), tolerance * testing::largest_magnitude(want))
            << "chunk " << chunk << ", prompt of " << ids.size();
      }
      const std::vector<int32_t> want = ids_of(prompt.at("greedy"));
      EXPECT_EQ(greedy(engine, ids, std::ssize(want)), want) << "chunk " << chunk << ", prompt of " << ids.size();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenModel, ::testing::ValuesIn(golden_models()),
                         [](const auto& p) { return p.param; });

}  // namespace
}  // namespace fathom
