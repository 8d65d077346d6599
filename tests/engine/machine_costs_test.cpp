// The file of this machine's costs: what is refused, who writes it, and that engines choose by it only when told to.
#include "engine/tuning/machine_costs.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <thread>

#include "base/file/file.h"
#include "kernels/dispatch.h"
#include "support/engine.h"
#include "support/files.h"
#include "support/model_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::replaced;
using Source = MachineCosts::Source;

const MlaCosts kSome = {.naive = 1.3, .fold_packed = 2.4, .fold_plain = 3, .expand_packed = 0.71, .expand_plain = 1.9};
const MachineFile kFile = {.key = {"A CPU, model 1", "avx2", "gcc"}, .measured = 1795800000, .mla = kSome};

std::string refusal(const std::string& text) {
  return error_of([&] { parse_machine_file(text, "costs.json"); });
}

TEST(MachineFile, ReadsBackAsWritten) {
  const MachineFile read = parse_machine_file(machine_text(kFile), "costs.json");
  EXPECT_EQ(read.key, kFile.key);
  EXPECT_EQ(read.measured, kFile.measured);
  EXPECT_EQ(read.mla, kSome);
}

TEST(MachineFile, CutOffAnywhereOrWithAnyBitFlippedIsRefused) {
  const std::string text = machine_text(kFile);
  for (size_t n = 0; n < text.size(); ++n) EXPECT_NE(refusal(text.substr(0, n)), "") << n;
  for (size_t i = 0; i < text.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = text;
      flipped[i] = static_cast<char>(flipped[i] ^ 1 << bit);
      const std::string why = refusal(flipped);
      EXPECT_TRUE(contains(why, "costs.json: ")) << i << " " << bit;
    }
}

TEST(MachineFile, SaysWhatIsWrong) {
  const std::string text = machine_text(kFile);
  EXPECT_TRUE(contains(refusal(replaced(text, "1.3", "1.4")), "its checksum differs"));
  EXPECT_TRUE(contains(refusal(replaced(text, "\"cpu\"", "\"more\": 1, \"cpu\"")), "its checksum differs"));
  EXPECT_TRUE(contains(refusal(replaced(text, "\"naive\": 1.3,", "")), "naive"));
  EXPECT_TRUE(contains(refusal(replaced(text, fmt::format("\"version\": {}", kMachineVersion), "\"version\": 99")),
                       "of version 99"));
  for (const char* foreign : {"{}", "[1]", "{\"what\": \"something else\"}", "null"})
    EXPECT_TRUE(contains(refusal(foreign), "is no file of machine costs")) << foreign;
}

class Costs : public ::testing::Test {
 protected:
  void SetUp() override {
    if (kernels().isa == Isa::ref) GTEST_SKIP() << "reference kernels are not measured";
  }
  MachineCosts costs(const fs::path& folder, Measure when = Measure::when_needed) {
    notices_.clear();
    return machine_costs(
        folder, [&](const std::string& s) { notices_.push_back(s); }, when,
        [&] {
          ++n_measured_;
          return next_;
        });
  }
  fs::path path() const { return machine_path(cache_, this_machine()); }
  void write_file(const MlaCosts& mla) {
    fs::create_directories(path().parent_path());
    test::write_text(path(), machine_text({.key = this_machine(), .measured = 1, .mla = mla}));
  }

  test::TempFolder folder_;
  fs::path cache_ = folder_ / "cache";
  MlaCosts next_ = kSome;
  int n_measured_ = 0;
  std::vector<std::string> notices_;
};

TEST_F(Costs, AreMeasuredOnceAndReadFromThenOn) {
  const MachineCosts first = costs(cache_);
  EXPECT_EQ(first.source, Source::measured);
  EXPECT_EQ(first.mla, kSome);
  EXPECT_EQ(first.path, path());
  const MappedFile before(path());
  next_.naive = 9;
  const MachineCosts second = costs(cache_);
  EXPECT_EQ(second.source, Source::file);
  EXPECT_EQ(second.mla, kSome);
  EXPECT_EQ(second.measured, first.measured);
  EXPECT_EQ(MappedFile(path()).identity().inode, before.identity().inode) << "it was written again";
  EXPECT_EQ(n_measured_, 1);
  EXPECT_TRUE(notices_.empty());
  EXPECT_EQ(costs(cache_, Measure::again).mla, next_);
  EXPECT_EQ(costs(cache_).mla, next_);
  EXPECT_EQ(std::distance(fs::directory_iterator(machine_folder(cache_)), {}), 1) << "a partial file is left";
}

TEST_F(Costs, ADamagedOrForeignFileIsNamedAndReplaced) {
  write_file(kSome);
  const std::string whole = test::read_text(path());
  const std::string foreign = machine_text(kFile);
  for (const std::string& bad : {std::string(), whole.substr(0, 100), replaced(whole, "1.3", "1.4"), foreign}) {
    test::write_text(path(), bad);
    const MachineCosts again = costs(cache_);
    EXPECT_EQ(again.source, Source::measured);
    ASSERT_EQ(notices_.size(), 1u);
    EXPECT_TRUE(contains(notices_[0], path().string() + ": "));
    EXPECT_TRUE(contains(notices_[0], "measured again"));
    EXPECT_EQ(costs(cache_).source, Source::file);
  }
}

TEST_F(Costs, WhereNothingCanBeWrittenTheyServeThisProcessAlone) {
  test::write_text(folder_ / "file", "");
  for (const fs::path& none : {folder_ / "file" / "cache", fs::path()}) {
    const MachineCosts here = costs(none);
    EXPECT_EQ(here.source, Source::measured);
    EXPECT_EQ(here.mla, kSome);
    EXPECT_TRUE(here.path.empty());
    EXPECT_NE(here.not_kept, "");
    EXPECT_TRUE(notices_.empty());
  }
  fs::create_directories(machine_folder(cache_));
  ::chmod(machine_folder(cache_).c_str(), 0555);  // the superuser may write all the same
  EXPECT_EQ(costs(cache_).mla, kSome);
  ::chmod(machine_folder(cache_).c_str(), 0755);
}

TEST_F(Costs, OfSeveralAtOnceTheFirstMeasuresAndAllHaveItsNumbers) {
  std::vector<MlaCosts> got(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < got.size(); ++i)
    threads.emplace_back([&, i] {
      got[i] = machine_costs(cache_, {}, Measure::when_needed, [&] {
                 std::this_thread::sleep_for(std::chrono::milliseconds(20));
                 MlaCosts own;
                 own.naive = static_cast<double>(i + 1);
                 return own;
               }).mla;
    });
  for (std::thread& t : threads) t.join();
  for (const MlaCosts& g : got) EXPECT_EQ(g, got[0]);
  EXPECT_EQ(costs(cache_).mla, got[0]);
}

TEST_F(Costs, KeptOnesAreShownWithoutMeasuring) {
  EXPECT_EQ(kept_costs(cache_).source, Source::built_in);
  EXPECT_FALSE(fs::exists(cache_));
  write_file(kSome);
  EXPECT_EQ(kept_costs(cache_).mla, kSome);
}

// Costs by which one form is always chosen, in the file, against the form that the built-in ones choose.
class TunedEngine : public Costs {
 protected:
  std::vector<float> logits(Tuning tuning, Numerics numerics = Numerics::quantised()) {
    testing::TestEngine engine_parts(
        model_, {.threads = 2, .context_tokens = 256, .numerics = numerics, .cache_folder = cache_, .tuning = tuning});
    Engine& engine = engine_parts.engine;
    source_ = engine_parts.costs.source;
    SequenceCache sequence;
    const auto row = engine.append(sequence, testing::random_ids(200, random_.config.vocab_size, 4));
    return {row.begin(), row.end()};
  }
  testing::RandomModel random_{testing::tiny_v2_config(), 3};
  Model model_ = testing::model_in_file(random_, folder_ / "model.gguf");
  Source source_ = Source::built_in;
};

TEST_F(TunedEngine, ChoosesByTheFileOnlyWhenToldTo) {
  const std::vector<float> built_in = logits(Tuning::off);
  EXPECT_FALSE(fs::exists(cache_)) << "off measures nothing";
  MlaCosts never_naive;
  never_naive.naive = never_naive.expand_packed = never_naive.expand_plain = 1000;
  write_file(never_naive);
  EXPECT_FALSE(testing::same_bits(logits(Tuning::always), built_in)) << "the form is the same";
  EXPECT_EQ(source_, Source::file);
  for (const Tuning tuning : {Tuning::off, Tuning::large}) {
    EXPECT_TRUE(testing::same_bits(logits(tuning), built_in)) << "a small model is not tuned";
    EXPECT_EQ(source_, Source::built_in);
  }
  const std::vector<float> exact = logits(Tuning::off, Numerics::exact());
  EXPECT_TRUE(testing::same_bits(logits(Tuning::always, Numerics::exact()), exact));
  EXPECT_EQ(source_, Source::built_in);
}

}  // namespace
}  // namespace fathom
