// --weights cached and auto: the same bits as packed in memory, and what happens when the file is not as it should be.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include "support/engine.h"
#include "support/files.h"
#include "support/model_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;

class CachedWeights : public ::testing::Test {
 protected:
  CachedWeights() : random_(testing::packable_v2_config(), 3) {
    random_.quantise(DType::q8_0);
    model_ = testing::model_in_file(random_, folder_ / "model.gguf");
    want_ = logits(WeightPlace::packed);
    EXPECT_EQ(notices_.size(), 0u);
  }

  // Of a new engine, with what it said in notices_ and whether it mapped a file in mapped_.
  std::vector<float> logits(WeightPlace place) {
    notices_.clear();
    testing::TestEngine engine_parts(model_, {.threads = 2,
                                              .context_tokens = 64,
                                              .numerics = Numerics::quantised(),
                                              .weights = place,
                                              .cache_folder = cache_,
                                              .notice = [&](const std::string& s) { notices_.push_back(s); }});
    Engine& engine = engine_parts.engine;
    EXPECT_GT(engine_parts.weights.packed_bytes(), 0);
    mapped_ = engine_parts.weights.packed_file() != nullptr;
    SequenceCache sequence;
    const auto row = engine.append(sequence, testing::random_ids(20, 97, 4));
    return {row.begin(), row.end()};
  }
  void expect_same_bits(WeightPlace place, bool mapped, size_t n_notices) {
    EXPECT_TRUE(testing::same_bits(logits(place), want_));
    EXPECT_EQ(mapped_, mapped);
    EXPECT_EQ(notices_.size(), n_notices) << (notices_.empty() ? "" : notices_[0]);
  }
  std::vector<fs::path> files() const {
    std::vector<fs::path> found;
    if (fs::exists(cache_))
      for (const auto& entry : fs::directory_iterator(cache_)) found.push_back(entry.path());
    return found;
  }

  test::TempFolder folder_;
  fs::path cache_ = folder_ / "cache";
  testing::RandomModel random_;
  Model model_;
  std::vector<float> want_;
  std::vector<std::string> notices_;
  bool mapped_ = false;
};

TEST_F(CachedWeights, GiveTheBitsOfPackedOnesAndAreWrittenOnce) {
  expect_same_bits(WeightPlace::automatic, false, 0);
  EXPECT_TRUE(files().empty()) << "auto never writes";
  expect_same_bits(WeightPlace::cached, true, 0);
  ASSERT_EQ(files().size(), 1u);
  const MappedFile first(files()[0]);
  for (const WeightPlace place : {WeightPlace::cached, WeightPlace::automatic}) {
    expect_same_bits(place, true, 0);
    EXPECT_EQ(MappedFile(files()[0]).identity().inode, first.identity().inode) << "it was written again";
  }
  expect_same_bits(WeightPlace::packed, false, 0);
}

TEST_F(CachedWeights, AFileThatIsNotAsItShouldBeIsNamedAndReplacedOnlyWhenAsked) {
  logits(WeightPlace::cached);
  const fs::path path = files()[0];
  const std::string whole = test::read_text(path);
  const std::vector<std::pair<std::string, std::function<void(std::string&)>>> damages = {
      {"it has 1000 bytes", [](std::string& b) { b.resize(1000); }},
      {"does not begin with FTHMPNL", [](std::string& b) { b = "something else"; }},
      {"does not begin with FTHMPNL", [](std::string& b) { b.clear(); }},
      {"of version 2", [](std::string& b) { b[8] = 2; }},
      {"of version 1, layout 2", [](std::string& b) { b[12] = 2; }},
      {"checksum of its header differs", [](std::string& b) { b[100] ^= 1; }},
      {"checksum of 'model.layers", [](std::string& b) { b[(1 << 21) + 7] ^= 1; }},
      {"of another model", [&](std::string& b) {
         PackedHeader h = PackedFile(path).header();
         ++h.fingerprint;
         const std::string header = packed_header_bytes(h);
         std::copy(header.begin(), header.end(), b.begin());
       }}};
  for (const auto& [sentence, damage] : damages) {
    std::string bytes = whole;
    damage(bytes);
    test::write_text(path, bytes);
    expect_same_bits(WeightPlace::automatic, false, 1);
    EXPECT_TRUE(contains(notices_.at(0), path.string() + ": ")) << "no file is named";
    EXPECT_TRUE(contains(notices_.at(0), sentence));
    EXPECT_EQ(test::read_text(path), bytes) << "auto never writes";
    expect_same_bits(WeightPlace::cached, true, 1);
    EXPECT_TRUE(contains(notices_.at(0), "it is written again"));
    EXPECT_EQ(test::read_text(path), whole);
  }
}

TEST_F(CachedWeights, AnotherModelOfThatPathDoesNotUseIt) {
  logits(WeightPlace::cached);
  testing::RandomModel other(testing::packable_v2_config(), 4);
  other.quantise(DType::q8_0);
  model_ = testing::model_in_file(other, folder_ / "model.gguf");
  const std::vector<float> want = logits(WeightPlace::packed);
  EXPECT_TRUE(testing::same_bits(logits(WeightPlace::automatic), want));
  EXPECT_FALSE(mapped_);
  EXPECT_TRUE(testing::same_bits(logits(WeightPlace::cached), want));
  EXPECT_EQ(files().size(), 2u);
}

TEST_F(CachedWeights, WhereNothingCanBeWrittenTheRunGoesOn) {
  test::write_text(folder_ / "file", "");
  cache_ = folder_ / "file" / "cache";
  expect_same_bits(WeightPlace::cached, false, 1);
  EXPECT_TRUE(contains(notices_.at(0), "Not a directory"));
  EXPECT_EQ(notices_.at(0).find('\n'), std::string::npos);
  cache_.clear();
  expect_same_bits(WeightPlace::cached, false, 1);
  EXPECT_TRUE(contains(notices_.at(0), "FATHOM_CACHE_DIR"));
  expect_same_bits(WeightPlace::automatic, false, 0);
}

TEST_F(CachedWeights, AFullDiskLeavesNothingBehindAndTheRunGoesOn) {
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{.rlim_cur = (rlim_t{1} << 21) + 100, .rlim_max = limit.rlim_max};  // in the middle of the weights
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_same_bits(WeightPlace::cached, false, 1);
  ::setrlimit(RLIMIT_FSIZE, &limit);
  ::signal(SIGXFSZ, before);
  EXPECT_TRUE(contains(notices_.at(0), "writing stopped after"));
  EXPECT_TRUE(files().empty());
}

TEST_F(CachedWeights, MayBeDeletedWhileTheyAreUsed) {
  logits(WeightPlace::cached);
  testing::TestEngine engine_parts(model_, {.threads = 2,
                                            .context_tokens = 64,
                                            .numerics = Numerics::quantised(),
                                            .weights = WeightPlace::automatic,
                                            .cache_folder = cache_});
  Engine& engine = engine_parts.engine;
  ASSERT_NE(engine_parts.weights.packed_file(), nullptr);
  fs::remove_all(cache_);
  SequenceCache sequence;
  EXPECT_TRUE(testing::same_bits(engine.append(sequence, testing::random_ids(20, 97, 4)), want_));
}

}  // namespace
}  // namespace fathom
