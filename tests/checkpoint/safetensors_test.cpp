#include "checkpoint/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "support/files.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;
using test::TempFolder;
using test::write_text;

std::string file_of(std::string_view header, size_t data_bytes) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return text.append(header).append(data_bytes, 'x');
}

std::span<const std::byte> as_bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string refusal_of(const std::string& file) {
  return error_of([&] { parse_safetensors(as_bytes(file), "f.safetensors"); });
}

constexpr std::string_view kTwo =
    R"({"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[8,20]},)"
    R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";

TEST(Safetensors, ReadsNamesShapesAndBytesInTheOrderOfTheData) {
  const std::string file = file_of(kTwo, 20);
  const auto tensors = parse_safetensors(as_bytes(file), "f");
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[1].name, "b");
  EXPECT_EQ(tensors[1].dtype, DType::bf16);
  EXPECT_EQ(tensors[1].shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(tensors[1].bytes.data(), as_bytes(file).data() + 8 + kTwo.size() + 8);
  EXPECT_EQ(tensors[1].bytes.size(), 12u);
}

TEST(Safetensors, MetadataMayBeNull) {
  const std::string file = file_of(R"({"__metadata__":null,"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8);
  EXPECT_EQ(parse_safetensors(as_bytes(file), "f").size(), 1u);
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string file = file_of(kTwo, 20);
  for (size_t n = 0; n < file.size(); ++n) EXPECT_NE(refusal_of(file.substr(0, n)), "") << n;
  EXPECT_TRUE(contains(refusal_of(file.substr(0, file.size() - 1)),
                       "truncated: tensor 'b' ends at byte 20 of the data, the file has 19"));
  EXPECT_TRUE(contains(refusal_of(file.substr(0, 40)), "truncated: the header needs"));
  EXPECT_TRUE(contains(refusal_of(file + "y"), "but the file has 21"));
}

TEST(Safetensors, EveryFlippedBitOfTheHeaderIsRefusedOrStaysInsideTheFile) {
  const std::string file = file_of(kTwo, 20);
  for (size_t bit = 0; bit < 8 * (8 + kTwo.size()); ++bit) {
    std::string broken = file;
    broken[bit / 8] = static_cast<char>(broken[bit / 8] ^ 1 << bit % 8);
    try {
      for (const TensorInfo& t : parse_safetensors(as_bytes(broken), "f")) {
        EXPECT_GE(t.bytes.data(), as_bytes(broken).data());
        EXPECT_LE(t.bytes.data() + t.bytes.size(), as_bytes(broken).data() + broken.size());
      }
    } catch (const Error&) {
    }
  }
}

TEST(Safetensors, HeaderLengthsOutOfRangeAreRefused) {
  for (const uint64_t length :
       {uint64_t{0}, uint64_t{1}, uint64_t{1} << 63, UINT64_MAX, uint64_t{200'000'000}, uint64_t{1000}}) {
    std::string file = file_of(kTwo, 20);
    for (int i = 0; i < 8; ++i) file[static_cast<size_t>(i)] = static_cast<char>(length >> (8 * i) & 0xFF);
    EXPECT_TRUE(contains(refusal_of(file), "header")) << length;
  }
}

TEST(Safetensors, ABrokenEntryIsRefusedWithTheNameOfItsTensor) {
  const struct {
    std::string_view header, message;
  } cases[] = {
      {R"({"t":{"dtype":"F99","shape":[2],"data_offsets":[0,8]}})", "tensor 't': dtype 'F99' is not supported"},
      {R"({"t":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}})", "tensor 't': dtype 'I64' is not supported"},
      {R"({"t":{"dtype":7,"shape":[2],"data_offsets":[0,8]}})", "tensor 't': dtype must be a string"},
      {R"({"t":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "tensor 't': shape has 0 dimensions"},
      {R"({"t":{"dtype":"F32","shape":[1,1,1,1,1,1,1,1,2],"data_offsets":[0,8]}})",
       "tensor 't': shape has 9 dimensions"},
      {R"({"t":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})", "tensor 't': a dimension of shape is 0"},
      {R"({"t":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", "tensor 't': shape must hold whole numbers"},
      {R"({"t":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", "tensor 't': shape must hold whole numbers"},
      {R"({"t":{"dtype":"F32","shape":[281474976710656,65536],"data_offsets":[0,8]}})",
       "tensor 't': shape [281474976710656, 65536] of F32 needs more than 2^63"},
      {R"({"t":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}})", "tensor 't': shape [3] of F32 needs 12 bytes"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", "tensor 't': shape [2] of F32 needs 8 bytes"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", "tensor 't': data_offsets must be an array of two"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})",
       "tensor 't' starts at byte 4 of the data, but the tensor before it ends at 0: there is a gap"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"u":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "tensor 'u' starts at byte 4 of the data, but the tensor before it ends at 8: they overlap"},
      {R"({"t":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", "truncated: tensor 't' ends at byte 16"},
      {R"({"t":{"dtype":"F32","shape":[2]}})", "tensor 't': has no 'data_offsets'"},
      {R"({"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}})", "tensor 't': unknown key 'x'"},
      {R"({"t":[]})", "tensor 't': must be described by an object, found an array"},
      {R"({"":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", "a tensor's name has 0 bytes"},
      {R"({"__metadata__":{"a":1},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
       "__metadata__ entry 'a' must be a string"},
      {R"({"__metadata__":[]})", "__metadata__ must be an object"},
      {R"({"t":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"t":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})",
       "header"},
      {R"({"t":[[[[[[1]]]]]]})", "header"},
  };
  for (const auto& c : cases) EXPECT_TRUE(contains(refusal_of(file_of(c.header, 8)), c.message));
  const std::string long_name(1 << 20, 'n');
  EXPECT_TRUE(contains(refusal_of(file_of("{\"" + long_name + "\":{}}", 0)), "a tensor's name has 1048576 bytes"));
}

TEST(Safetensors, FilesOfOtherKindsAreExplained) {
  const TempFolder folder;
  const struct {
    std::string_view text, message;
  } cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"},
      {"<!DOCTYPE html><html><body>404</body></html>", "HTML page"},
      {"  <html>", "HTML page"},
      {"", "is empty"},
      {std::string_view("PK\x03\x04rest-of-a-zip", 17), "zip archive"},
      {"\x80\x02}q\x00.", "pickle"},
      {std::string_view("\x08\x07\x12\x07pytorch", 11), "ONNX"},
      {"GGUF\x03", "GGUF file"},
      {"{\"weight_map\": {}}", "JSON text"},
      {"{\"error\": \"Repository not found\"}", "is a message ('{\"error\": \"Repository not found\"}')"},
      {"Entry not found", "is a message ('Entry not found'), not a file of tensors"},
      {"<?xml version=\"1.0\"?><Error/>", "is XML"},
      {"\x1F\x8B\x08\x08", "gzip"},
      {"\x28\xB5\x2F\xFD\x04", "zstd"},
      {"\x89HDF\r\n\x1A\n", "HDF5"},
      {"abc", "truncated"},
  };
  for (const auto& c : cases) {
    write_text(folder / "m.safetensors", c.text);
    EXPECT_TRUE(contains(error_of([&] { SafetensorsSource(folder / "m.safetensors"); }), c.message));
  }
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource(folder / "absent.safetensors"); }), "cannot be opened"));
  ASSERT_EQ(::mkfifo((folder / "fifo.safetensors").c_str(), 0600), 0);
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource(folder / "fifo.safetensors"); }), "is a FIFO"));
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource("/dev/zero"); }), "is a device"));
  const TempFolder empty;
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource(empty.path()); }), "holds neither model.safetensors nor"));
}

std::vector<PlannedTensor> small_plan() {
  return {{"a", DType::bf16, {3}}, {"b", DType::f32, {2, 2}}, {"c", DType::f8_e4m3, {5}}, {"d", DType::f16, {4}}};
}

void write_plan(SafetensorsWriter& writer) {
  for (const PlannedTensor& t : writer.plan()) {
    const std::string bytes(t.bytes(), t.name[0]);
    writer.write(as_bytes(bytes).first(1));  // pieces of any length
    writer.write(as_bytes(bytes).subspan(1));
  }
}

void expect_plan(const SafetensorsSource& source) {
  ASSERT_EQ(source.tensors().size(), 4u);
  for (const PlannedTensor& p : small_plan()) {
    const TensorInfo* t = source.find(p.name);
    ASSERT_NE(t, nullptr) << p.name;
    EXPECT_EQ(t->dtype, p.dtype);
    EXPECT_EQ(t->shape, p.shape);
    ASSERT_EQ(t->bytes.size(), p.bytes());
    for (const std::byte b : t->bytes) EXPECT_EQ(static_cast<char>(b), p.name[0]);
  }
  EXPECT_EQ(source.find("e"), nullptr);
}

TEST(Safetensors, WhatIsWrittenIsReadBackInOneFileAndInShards) {
  const TempFolder folder;
  for (const uint64_t max_shard : {uint64_t{1} << 30, uint64_t{16}, uint64_t{1}}) {
    const auto out = folder / std::to_string(max_shard);
    SafetensorsWriter writer(out, small_plan(), max_shard);
    write_plan(writer);
    writer.commit();
    EXPECT_EQ(std::filesystem::exists(out / "model.safetensors"), max_shard > 100);
    expect_plan(SafetensorsSource(out));
  }
  EXPECT_TRUE(std::filesystem::exists(folder.path() / "1" / "model-00004-of-00004.safetensors"));
  SafetensorsWriter writer(folder / "one.safetensors", small_plan(), 1);
  write_plan(writer);
  writer.commit();
  expect_plan(SafetensorsSource(folder / "one.safetensors"));
}

TEST(Safetensors, ShardsAreReadWithoutTheirIndexAndFromAnyOfThem) {
  const TempFolder folder;
  const std::filesystem::path out = folder / "m";
  {
    SafetensorsWriter writer(out, small_plan(), 1);
    write_plan(writer);
    writer.commit();
  }
  expect_plan(SafetensorsSource(out / "model-00002-of-00004.safetensors"));
  std::filesystem::remove(out / "model.safetensors.index.json");
  EXPECT_TRUE(holds_safetensors(out));
  expect_plan(SafetensorsSource(out));
  std::filesystem::copy_file(out / "model-00001-of-00004.safetensors", out / "other-00001-of-00002.safetensors");
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource{out}; }), "holds shards of more than one model"));
  std::filesystem::remove(out / "other-00001-of-00002.safetensors");
  std::filesystem::rename(out / "model-00003-of-00004.safetensors", folder / "away");
  for (const auto& named : {out, out / "model-00002-of-00004.safetensors"})
    EXPECT_TRUE(
        contains(error_of([&] { SafetensorsSource{named}; }), "model-00003-of-00004.safetensors is not in its folder"));
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource{out / "model-00002-of-00004.safetensors"}; }),
                       "is one of 4 files of a sharded model"));
  std::filesystem::copy_file(out / "model-00001-of-00004.safetensors", out / "model-00003-of-00004.safetensors");
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource{out}; }), "lies in"));
}

TEST(Safetensors, ASingleFileOfAnotherNameIsTheModelOfItsFolder) {
  const TempFolder folder;
  const auto write = [&](const char* name) {
    SafetensorsWriter writer(folder / name, small_plan(), 1);
    write_plan(writer);
    writer.commit();
  };
  EXPECT_FALSE(holds_safetensors(folder.path()));
  write("adapter_model.safetensors");
  EXPECT_FALSE(holds_safetensors(folder.path()));
  write("lite.safetensors");
  expect_plan(SafetensorsSource(folder.path()));
  write("chat.safetensors");
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource{folder.path()}; }), "holds 2 .safetensors files"));
}

TEST(Safetensors, EveryWrittenTensorIsAlignedToItsElements) {
  const TempFolder folder;
  SafetensorsWriter writer(folder / "f.safetensors", small_plan(), 1);
  write_plan(writer);
  writer.commit();
  const SafetensorsSource source(folder / "f.safetensors");
  const auto* begin = source.tensors().front().bytes.data();
  for (const TensorInfo& t : source.tensors())
    EXPECT_EQ((t.bytes.data() - begin) % info(t.dtype).block_bytes, 0) << t.name;
  EXPECT_EQ(reinterpret_cast<uintptr_t>(begin) % 8, 0u);
}

TEST(Safetensors, AnAbandonedWriteLeavesNothingBehind) {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "out", small_plan(), 1);
    writer.write(as_bytes(std::string(20, 'x')));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder / "out"));
}

TEST(Safetensors, AnIndexThatLeavesItsFolderOrDisagreesWithItsShardsIsRefused) {
  const TempFolder folder;
  {
    SafetensorsWriter writer(folder / "m", small_plan(), 1);
    write_plan(writer);
    writer.commit();
  }
  const auto index = folder.path() / "m" / "model.safetensors.index.json";
  const std::string good = test::read_text(index);
  const auto refusal = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
      text.replace(at, from.size(), to);
    EXPECT_NE(text, good);
    write_text(index, text);
    return error_of([&] { SafetensorsSource(folder / "m"); });
  };
  EXPECT_TRUE(contains(refusal("model-00001-of", "../model-00001-of"), "only files beside the index are allowed"));
  EXPECT_TRUE(contains(refusal("model-00001-of", "/model-00001-of"), "only files beside the index are allowed"));
  EXPECT_TRUE(contains(refusal("model-00001-of", "sub\\\\model-00001-of"), "only files beside the index are allowed"));
  EXPECT_TRUE(contains(refusal("00001-of-00004.safetensors", "00001-of-00004.bin"), "shards end in .safetensors"));
  EXPECT_TRUE(contains(refusal("model-00001-of", "model-00009-of"), "which is not in the folder"));
  EXPECT_TRUE(contains(refusal("model-00001-of", "model-00002-of"), "which does not hold it"));
  EXPECT_TRUE(contains(refusal("\"a\"", "\"z\""), "but weight_map does not place it there"));
  EXPECT_TRUE(contains(refusal("weight_map", "weights"), "unknown key 'weights'"));
  EXPECT_TRUE(contains(refusal("\"a\": \"model-00001-of-00004.safetensors\"", "\"a\": 7"), "must be a file name"));
  write_text(index, good);
  std::filesystem::copy_file(folder.path() / "m" / "model-00001-of-00004.safetensors",
                             folder.path() / "m" / "model-00002-of-00004.safetensors",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_TRUE(contains(error_of([&] { SafetensorsSource(folder / "m"); }),
                       "does not place it there"));  // one tensor in two shards
}

}  // namespace
}  // namespace fathom
