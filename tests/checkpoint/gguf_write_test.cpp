#include <gtest/gtest.h>

#include <cstring>

#include "checkpoint/gguf.h"
#include "support/files.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;

GgufMetadata some_metadata() {
  GgufMetadata m;
  m.set_string("general.architecture", "deepseek2");
  m.set_u8("t.u8", 200);
  m.set_u16("t.u16", 60000);
  m.set_u32("t.u32", 4'000'000'000u);
  m.set_i32("t.i32", -7);
  m.set_u64("t.u64", uint64_t{1} << 40);
  m.set_f32("t.f32", 1e-6f);
  m.set_bool("t.bool", false);
  m.set_string("t.empty", "");
  m.set_strings("t.strings", std::vector<std::string>{"", "\u0120t", "x"});
  m.set_i32s("t.i32s", std::vector<int32_t>{1, -2});
  m.set_u32s("t.u32s", std::vector<uint32_t>{3, 4'000'000'000u});
  m.set_f32s("t.f32s", std::vector<float>{0.5f});
  return m;
}

const std::vector<GgufTensorPlan> kPlan = {{"token_embd.weight", DType::bf16, {10, 6}},
                                           {"output_norm.weight", DType::f32, {6}},
                                           {"blk.1.ffn_up_exps.weight", DType::q4_0, {2, 3, 64}},
                                           {"blk.1.ffn_gate_exps.weight", DType::q6_k, {2, 256}}};

size_t plan_bytes(const GgufTensorPlan& t) {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < t.shape.size(); ++i) rows *= t.shape[i];
  return static_cast<size_t>(rows * row_bytes(t.dtype, t.shape.back()));
}

std::byte byte_of(size_t tensor, size_t i) { return static_cast<std::byte>(tensor * 37 + i * 11); }

// Every tensor in pieces of `piece` bytes.
void write_model(const std::filesystem::path& path, uint64_t max_shard_bytes, size_t piece = 7) {
  GgufWriter writer(path, some_metadata(), kPlan, max_shard_bytes);
  for (size_t t = 0; t < kPlan.size(); ++t) {
    std::vector<std::byte> bytes(plan_bytes(kPlan[t]));
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = byte_of(t, i);
    for (size_t at = 0; at < bytes.size(); at += piece) {
      EXPECT_EQ(writer.current()->name, kPlan[t].name);
      writer.append(std::span(bytes).subspan(at, std::min(piece, bytes.size() - at)));
    }
  }
  EXPECT_EQ(writer.current(), nullptr);
  writer.finish();
}

void expect_model(const GgufSource& source) {
  ASSERT_EQ(source.tensors().size(), kPlan.size());
  for (size_t t = 0; t < kPlan.size(); ++t) {
    const TensorInfo& info = source.tensors()[t];
    EXPECT_EQ(info.name, kPlan[t].name);
    EXPECT_EQ(info.dtype, kPlan[t].dtype);
    EXPECT_EQ(info.shape, kPlan[t].shape);
    ASSERT_EQ(info.bytes.size(), plan_bytes(kPlan[t]));
    for (size_t i = 0; i < info.bytes.size(); ++i) ASSERT_EQ(info.bytes[i], byte_of(t, i)) << info.name << " " << i;
  }
  const GgufMetadata wanted = some_metadata();
  for (const std::string& key : wanted.keys()) {
    const GgufValue *a = wanted.find(key), *b = source.metadata().find(key);
    ASSERT_NE(b, nullptr) << key;
    EXPECT_TRUE(a->type == b->type && a->is_array == b->is_array && a->bytes == b->bytes && a->strings == b->strings)
        << key;
  }
}

TEST(GgufWriter, WhatItWritesReadsBack) {
  const test::TempFolder folder;
  write_model(folder / "m.gguf", 0);
  const auto source = GgufSource::open(folder / "m.gguf");
  expect_model(*source);
  EXPECT_EQ(source->metadata().keys(), some_metadata().keys());
  for (const TensorInfo& t : source->tensors()) {
    const auto at = t.bytes.data() - source->tensors()[0].bytes.data();
    EXPECT_EQ(at % 32, 0) << t.name;
  }
}

TEST(GgufWriter, SplitsWhereAShardWouldBecomeTooLarge) {
  const test::TempFolder folder;
  write_model(folder / "m.gguf", 256);  // padded: 128 + 32 | 224 | 448, which alone is more than the limit
  for (const char* name : {"m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"}) {
    const auto source = GgufSource::open(folder / name);
    expect_model(*source);
    EXPECT_EQ(source->metadata().get_int("split.count"), 3);
    EXPECT_EQ(source->metadata().get_int("split.tensors.count"), 4);
  }
  EXPECT_FALSE(std::filesystem::exists(folder / "m.gguf"));
  write_model(folder / "one.gguf", 1 << 20);
  EXPECT_TRUE(std::filesystem::exists(folder / "one.gguf")) << "one shard is enough";
}

TEST(GgufWriter, NothingAppearsBeforeFinish) {
  const test::TempFolder folder;
  {
    GgufWriter writer(folder / "m.gguf", some_metadata(), kPlan, 256);
    std::vector<std::byte> bytes(plan_bytes(kPlan[0]));
    writer.append(bytes);
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

TEST(GgufWriter, MetadataAloneIsAFile) {
  const test::TempFolder folder;
  GgufWriter writer(folder / "vocab.gguf", some_metadata(), {});
  writer.finish();
  EXPECT_TRUE(GgufSource::open(folder / "vocab.gguf")->tensors().empty());
}

TEST(GgufWriter, RefusesMoreFilesThanTheirCountCanSay) {
  const test::TempFolder folder;
  std::vector<GgufTensorPlan> plan;
  for (int i = 0; i < 65536; ++i) plan.push_back({fmt::format("t{}", i), DType::f32, {1}});
  const std::string error = error_of([&] { GgufWriter(folder / "m.gguf", GgufMetadata(), plan, 1); });
  EXPECT_TRUE(contains(error, "m.gguf: shards of 1 bytes would make 65536 files"));
}

TEST(GgufWriter, RefusesWhatLlamaCppWouldNotLoad) {
  const test::TempFolder folder;
  const auto error_for = [&](GgufTensorPlan t) {
    return error_of([&] { GgufWriter(folder / "m.gguf", GgufMetadata(), {t, {"b", DType::f32, {1}}}); });
  };
  EXPECT_TRUE(contains(error_for({"", DType::f32, {1}}), "1 to 63 are needed"));
  EXPECT_TRUE(contains(error_for({std::string(64, 'n'), DType::f32, {1}}), "has 64 bytes"));
  EXPECT_TRUE(contains(error_for({"b", DType::f32, {1}}), "tensor 'b' is planned twice"));
  EXPECT_TRUE(contains(error_for({"a", DType::f8_e4m3, {128, 128}}), "tensor 'a' of type f8_e4m3 has no GGUF form"));
  EXPECT_TRUE(contains(error_for({"a", DType::q4_k, {2, 128}}), "cannot be stored as q4_k"));
  EXPECT_TRUE(contains(error_for({"a", DType::f32, {}}), "1 to 4 dimensions"));
  EXPECT_TRUE(contains(error_for({"a", DType::f32, {2, 0}}), "1 to 4 dimensions"));
  EXPECT_TRUE(contains(error_for({"a", DType::f32, {int64_t{1} << 40, int64_t{1} << 40}}), "cannot be stored"));
}

TEST(TensorSource, MatricesAreCheckedAgainstTheirBytes) {
  const std::vector<std::byte> bytes(2 * 3 * 4 * 4);
  TensorInfo t{.name = "w", .dtype = DType::f32, .shape = {6, 4}, .bytes = bytes, .file = "f"};
  EXPECT_EQ(as_matrix(t).rows, 6);
  EXPECT_EQ(as_matrix(t).cols, 4);
  t.shape = {24};
  EXPECT_EQ(as_matrix(t).rows, 1);
  t.shape = {2, 3, 4};
  EXPECT_EQ(expert_matrix(t, 1).rows, 3);
  EXPECT_EQ(expert_matrix(t, 1).data, bytes.data() + 48);
  EXPECT_TRUE(
      contains(error_of([&] { as_matrix(t); }), "f: tensor 'w' has shape [2, 3, 4]; a matrix or a vector is needed"));
  EXPECT_TRUE(contains(error_of([&] { expert_matrix(t, 2); }), "holds experts 0 to 1; expert 2"));
  t.shape = {6, 5};
  EXPECT_TRUE(contains(error_of([&] { as_matrix(t); }), "does not fit its 96 bytes"));
  t.shape = {int64_t{1} << 40, int64_t{1} << 40};
  EXPECT_TRUE(contains(error_of([&] { as_matrix(t); }), "does not fit"));
  t.dtype = DType::q4_0;
  t.shape = {2, 48};
  EXPECT_TRUE(contains(error_of([&] { as_matrix(t); }), "no whole number of blocks"));
}

}  // namespace
}  // namespace fathom
