#include "train/run/optimizer_file.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file/file.h"
#include "support/random_model.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// A model after two updates, its optimiser in one part or in two.
struct Trained {
  explicit Trained(bool in_two) : parameters(testing::tiny_v2_config(), MatmulPrecision::bf16) {
    ThreadPool pool(1);
    parameters.initialise(pool, 3, 0.1);
    const int64_t n = parameters.master().size, border = n / 3;
    if (in_two) {
      parts.emplace_back(parameters, ParameterRange{0, border});
      parts.emplace_back(parameters, ParameterRange{border, n});
    } else {
      parts.emplace_back(parameters);
    }
    for (int64_t t = 1; t <= 2; ++t) {
      for (int64_t i = 0; i < n; ++i) parameters.gradients()[i] = static_cast<float>(i % 7 - 3);
      for (AdamW& part : parts) part.update(pool, parameters, {}, {.rate = 1e-2, .t = t});
    }
  }

  OptimizerParts by_parts() const {
    OptimizerParts all;
    for (const AdamW& part : parts) all.ranges.push_back(part.range());
    all.read = [this](FlatTensor tensor, const ParameterRange& range) {
      const AdamW& part = range.begin == 0 ? parts.front() : parts.back();
      const VecView<float> v = tensor == FlatTensor::master         ? parameters.master().sub(range.begin, range.size())
                               : tensor == FlatTensor::first_moment ? part.first_moment()
                                                                    : part.second_moment();
      return std::span<const float>(v.data, static_cast<size_t>(v.size));
    };
    return all;
  }

  Parameters parameters;
  std::vector<AdamW> parts;
};

class OptimizerFile : public ::testing::Test {
 protected:
  OptimizerFile() : folder_(fs::temp_directory_path() / fmt::format("fathom_optimizer_file_{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~OptimizerFile() override { fs::remove_all(folder_); }
  fs::path file(const std::string& name) const { return folder_ / (name + ".safetensors"); }

 private:
  fs::path folder_;
};

TEST_F(OptimizerFile, OptimisersOfTwoRangesWriteTheFileOfOne) {
  const Trained one(false), two(true);
  write_optimizer_file(file("one"), whole_optimizer(one.parameters, one.parts[0]));
  write_optimizer_file(file("two"), two.by_parts());
  EXPECT_EQ(read_file(file("one")), read_file(file("two")));
}

TEST_F(OptimizerFile, EachReadsItsRangeAndAllMasterWeights) {
  const Trained one(false);
  write_optimizer_file(file("one"), whole_optimizer(one.parameters, one.parts[0]));
  Parameters parameters(testing::tiny_v2_config(), MatmulPrecision::bf16);
  const int64_t n = parameters.master().size, border = n / 5;
  for (const ParameterRange& range : {ParameterRange{0, border}, ParameterRange{border, n}, ParameterRange{0, n}}) {
    AdamW part(parameters, range);
    read_optimizer_file(file("one"), parameters, part);
    const auto same = [](VecView<float> a, VecView<float> b) {
      return a.size == b.size && std::memcmp(a.data, b.data, static_cast<size_t>(a.size) * sizeof(float)) == 0;
    };
    EXPECT_TRUE(same(part.first_moment(), one.parts[0].first_moment().sub(range.begin, range.size())));
    EXPECT_TRUE(same(part.second_moment(), one.parts[0].second_moment().sub(range.begin, range.size())));
    EXPECT_TRUE(same(parameters.master(), one.parameters.master()));
  }
}

TEST_F(OptimizerFile, TheFileOfAnotherModelIsRefused) {
  const Trained one(false);
  write_optimizer_file(file("one"), whole_optimizer(one.parameters, one.parts[0]));
  Parameters other(testing::tiny_llama_config(), MatmulPrecision::bf16);
  AdamW optimizer(other);
  EXPECT_THROW(read_optimizer_file(file("one"), other, optimizer), Error);
}

}  // namespace
}  // namespace fathom
