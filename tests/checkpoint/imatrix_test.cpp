#include "checkpoint/imatrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "support/files.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;

// The old form, made by hand.
class OldBytes {
 public:
  explicit OldBytes(int32_t n_entries) { number(n_entries); }
  OldBytes& number(int32_t n) {
    bytes_.append(reinterpret_cast<const char*>(&n), sizeof n);
    return *this;
  }
  OldBytes& text(std::string_view t) {
    number(static_cast<int32_t>(t.size()));
    bytes_ += t;
    return *this;
  }
  OldBytes& entry(std::string_view name, int32_t calls, const std::vector<float>& values) {
    text(name).number(calls).number(static_cast<int32_t>(values.size()));
    bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return *this;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

// A copy that ends where the text does, so that a sanitizer sees the first byte read beyond it.
Imatrix parse(std::string_view text) {
  const std::vector<char> copy(text.begin(), text.end());
  return parse_imatrix(std::as_bytes(std::span(copy)), "x.dat");
}
bool recognised(std::string_view text) { return is_imatrix(std::as_bytes(std::span(text))); }

TEST(Imatrix, ReadsTheOldForm) {
  const std::string bytes = OldBytes(2)
                                .entry("blk.0.attn_q.weight", 4, {8, 2, 0})
                                .entry("output.weight", 0, {5})
                                .number(4)
                                .text("wiki train.txt")
                                .bytes();
  EXPECT_TRUE(recognised(bytes));
  const Imatrix i = parse(bytes);
  ASSERT_EQ(i.entries.size(), 2u);
  EXPECT_EQ(i.entries[0].name, "blk.0.attn_q.weight");
  EXPECT_EQ(i.entries[0].mean_squares, (std::vector<float>{2, 0.5f, 0}));
  EXPECT_EQ(i.entries[0].rows, std::vector<double>{4 * 512});
  EXPECT_EQ(i.entries[1].mean_squares, std::vector<float>{5}) << "no calls: as they are";
  EXPECT_EQ(i.chunks, 4);
  EXPECT_FALSE(i.counted);
  EXPECT_EQ(i.datasets, std::vector<std::string>{"wiki train.txt"});
}

TEST(Imatrix, TheOldestFormEndsAfterItsEntries) {
  EXPECT_EQ(parse(OldBytes(1).entry("output.weight", 1, {5}).bytes()).datasets.size(), 0u);
}

// tools/oracle/compare_importance.py --write-goldens: the same run of llama-imatrix (llama.cpp v0.5.0) in both forms.
TEST(Imatrix, ReadsWhatLlamaImatrixWrote) {
  const std::filesystem::path folder = std::filesystem::path(FATHOM_GOLDEN_DIR) / "imatrix";
  const Imatrix gguf = parse(test::read_text(folder / "llama.gguf")),
                old = parse(test::read_text(folder / "llama.dat"));
  EXPECT_TRUE(gguf.counted);
  EXPECT_FALSE(old.counted);
  EXPECT_EQ(gguf.chunk_size, 16);
  for (const Imatrix* i : {&gguf, &old}) {
    EXPECT_EQ(i->entries.size(), 22u);
    EXPECT_EQ(i->chunks, 1);
    EXPECT_EQ(i->datasets, std::vector<std::string>{"text.txt"});
  }
  size_t never = 0;
  for (size_t at = 0; at < 22; ++at) {
    const ImatrixEntry &a = gguf.entries[at], &b = old.entries[at];
    ASSERT_EQ(a.name, b.name);
    ASSERT_EQ(a.mean_squares.size(), b.mean_squares.size());
    const size_t cols = a.mean_squares.size() / a.rows.size();
    never += static_cast<size_t>(std::count(a.rows.begin(), a.rows.end(), 0.0));
    for (size_t i = 0; i < a.mean_squares.size(); ++i)
      EXPECT_FLOAT_EQ(b.mean_squares[i], a.rows[i / cols] > 0 ? a.mean_squares[i] : 1) << a.name << ' ' << i;
  }
  EXPECT_EQ(never, 9u) << "three experts, each of three matrices";
}

TEST(Imatrix, GgufFormComesBackAsItWasWritten) {
  TempFolder folder;
  const Imatrix written{
      .entries = {{"blk.1.ffn_up_exps.weight", {1, 2, 0, 0, 5, 6}, {4, 0, 8}}, {"output.weight", {0.25f, 3}, {1000}}},
      .counted = true,
      .chunks = 2,
      .chunk_size = 512,
      .datasets = {"a.txt", "b.txt"}};
  write_imatrix(written, folder / "x.gguf");
  const std::string bytes = test::read_text(folder / "x.gguf");
  EXPECT_TRUE(recognised(bytes));
  const Imatrix read = parse(bytes);
  ASSERT_EQ(read.entries.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(read.entries[i].name, written.entries[i].name);
    EXPECT_EQ(read.entries[i].mean_squares, written.entries[i].mean_squares);
    EXPECT_EQ(read.entries[i].rows, written.entries[i].rows);
  }
  EXPECT_TRUE(read.counted);
  EXPECT_EQ(read.chunks, 2);
  EXPECT_EQ(read.chunk_size, 512);
  EXPECT_EQ(read.datasets, written.datasets);
}

TEST(Imatrix, IsKnownByItsBytes) {
  EXPECT_FALSE(recognised(""));
  EXPECT_FALSE(recognised("GGUF"));
  EXPECT_FALSE(recognised(std::string(64, '\0')));
  EXPECT_FALSE(recognised("A text that somebody took for importance data, and more of it."));
  EXPECT_FALSE(recognised(std::string("\x40\0\0\0\0\0\0\0{\"a\":{\"dtype\":\"F32\"}}", 30))) << "safetensors";
  EXPECT_FALSE(recognised(OldBytes(1).entry("no\nname", 1, {1, 2, 3, 4}).bytes()));
  EXPECT_FALSE(recognised(OldBytes(1 << 20).entry("output.weight", 1, {1, 2}).bytes())) << "more entries than fit";
}

TEST(Imatrix, RefusesBadFilesOfTheOldFormAndNamesTheEntry) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const std::string good = OldBytes(2).entry("a.weight", 1, {1, 2}).entry("b.weight", 1, {3}).bytes();
  for (size_t n = 0; n < good.size(); ++n)
    EXPECT_TRUE(contains(error_of([&] { parse(good.substr(0, n)); }), "x.dat")) << n;
  EXPECT_EQ(error_of([&] { parse(good); }), "");
  const auto refusal = [](const std::string& bytes) { return error_of([&] { parse(bytes); }); };
  EXPECT_TRUE(contains(refusal(OldBytes(1).entry("a.weight", 1, {1, nan}).bytes()), "'a.weight' holds nan"));
  EXPECT_TRUE(contains(refusal(OldBytes(1).entry("a.weight", 1, {inf, 1}).bytes()), "holds inf"));
  EXPECT_TRUE(contains(refusal(OldBytes(1).entry("a.weight", 1, {-1, 1}).bytes()), "holds -1"));
  EXPECT_TRUE(contains(refusal(OldBytes(1).entry("a.weight", -3, {1, 2}).bytes()), "comes of -3 calls"));
  EXPECT_TRUE(contains(refusal(OldBytes(1).entry("a.weight", 1, {}).number(0).bytes()), "of no columns"));
  EXPECT_TRUE(contains(refusal(OldBytes(2).entry("a.w", 1, {1}).entry("a.w", 1, {1}).bytes()), "is there twice"));
  EXPECT_TRUE(contains(refusal(OldBytes(0).bytes()), "0 entries"));
  EXPECT_TRUE(contains(refusal(OldBytes(-1).entry("a.w", 1, {1}).bytes()), "4294967295 entries"));
  EXPECT_TRUE(
      contains(refusal(OldBytes(1).number(-5).text("a.w, and some more letters").bytes()), "the file ends after"));
  EXPECT_TRUE(contains(refusal(OldBytes(1).text("a.w").number(1).number(-1).number(7).bytes()), "the file ends after"));
}

// A GGUF file of tensors and their numbers, with the keys of an importance file or with none.
std::string gguf_of(const std::vector<std::pair<GgufTensorPlan, std::vector<float>>>& tensors,
                    const char* type = "imatrix") {
  TempFolder folder;
  GgufMetadata metadata;
  metadata.set_string("general.type", type);
  std::vector<GgufTensorPlan> plan;
  for (const auto& [t, values] : tensors) plan.push_back(t);
  GgufWriter writer(folder / "x.gguf", metadata, plan);
  for (const auto& [t, values] : tensors)
    writer.append(std::as_bytes(std::span(values))
                      .first(static_cast<size_t>(t.shape[0] * (t.shape.size() > 1 ? t.shape[1] : 1) *
                                                 info(t.dtype).block_bytes)));
  writer.finish();
  return test::read_text(folder / "x.gguf");
}

TEST(Imatrix, RefusesBadGgufFormsAndNamesTheEntry) {
  using Tensors = std::vector<std::pair<GgufTensorPlan, std::vector<float>>>;
  const auto refusal = [](const Tensors& t, const char* type = "imatrix") {
    return error_of([&] { parse(gguf_of(t, type)); });
  };
  const GgufTensorPlan sums{"a.in_sum2", DType::f32, {4}}, counts{"a.counts", DType::f32, {1}};
  EXPECT_EQ(refusal({{sums, {1, 2, 3, 4}}, {counts, {2}}}), "") << "the other keys say nothing that is needed";
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}}), "'a' comes without its counts"));
  EXPECT_TRUE(contains(refusal({{counts, {2}}}), "'a.counts' comes without its sums"));
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}, {{"a.counts", DType::f32, {3}}, {1, 1, 1}}}), "4 sums for 3"));
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}, {{"a.counts", DType::f16, {1}}, {1}}}), "is not f32"));
  EXPECT_TRUE(contains(refusal({{sums, {1, -2, 3, 4}}, {counts, {2}}}), "holds -2"));
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}, {counts, {-2}}}), "of -2 rows"));
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}, {counts, {0.5f}}}), "of 0.5 rows"));
  EXPECT_TRUE(contains(refusal({{{"a.weight", DType::f32, {1}}, {2}}}), "neither sums"));
  EXPECT_TRUE(contains(refusal({}), "of no tensor"));
  EXPECT_TRUE(contains(refusal({{sums, {1, 2, 3, 4}}, {counts, {2}}}, "model"), "'general.type' is 'model'"));
}

}  // namespace
}  // namespace fathom
