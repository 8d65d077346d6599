#include "checkpoint/gguf.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

#include "support/files.h"
#include "support/gguf_bytes.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;
using test::GgufBytes;
using test::parse_copy;

std::filesystem::path golden(std::string_view name) { return std::filesystem::path(FATHOM_GOLDEN_DIR) / "gguf" / name; }

std::vector<float> floats_of(const TensorInfo& t) {
  std::vector<float> values(t.bytes.size() / sizeof(float));
  std::memcpy(values.data(), t.bytes.data(), t.bytes.size());
  return values;
}

void expect_golden_metadata(const GgufMetadata& m) {
  EXPECT_EQ(m.get_string("general.architecture"), "test");
  EXPECT_EQ(m.get_int("t.u8"), 200);
  EXPECT_EQ(m.get_int("t.i8"), -100);
  EXPECT_EQ(m.get_int("t.u16"), 60000);
  EXPECT_EQ(m.get_int("t.i16"), -30000);
  EXPECT_EQ(m.get_int("t.u32"), 4'000'000'000);
  EXPECT_EQ(m.get_int("t.i32"), -2'000'000'000);
  EXPECT_EQ(m.get_int("t.i64"), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(m.get_float("t.f32"), double{0.1f});
  EXPECT_EQ(m.get_float("t.f64"), 0.1);
  EXPECT_EQ(m.get_bool("t.bool"), true);
  EXPECT_EQ(m.get_string("t.string"), "two\nlines \u00E9 \U0001F999");
  EXPECT_EQ(m.get_strings("t.strings"), (std::vector<std::string>{"<bos>", "", "\u0120t"}));
  EXPECT_EQ(m.get_ints("t.ints"), (std::vector<int64_t>{1, -2, 3}));
  EXPECT_EQ(m.get_floats("t.floats"), (std::vector<float>{0.5f, -1.25f}));
  EXPECT_EQ(m.get_int("t.absent"), std::nullopt);
}

void expect_golden_tensors(const GgufSource& source) {
  ASSERT_EQ(source.tensors().size(), 4u);
  const TensorInfo* a = source.find("a.weight");
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(floats_of(*a), (std::vector<float>{0, 1, 2, 3, 4, 5}));
  const TensorInfo* norm = source.find("b.norm.weight");
  ASSERT_NE(norm, nullptr);
  EXPECT_EQ(norm->dtype, DType::f16);
  EXPECT_EQ(norm->shape, (std::vector<int64_t>{2}));
  const TensorInfo* q8 = source.find("blk.0.q8.weight");
  ASSERT_NE(q8, nullptr);
  EXPECT_EQ(q8->dtype, DType::q8_0);
  EXPECT_EQ(q8->bytes.size(), 4u * 68);
  const TensorInfo* stack = source.find("blk.0.stack.weight");
  ASSERT_NE(stack, nullptr);
  EXPECT_EQ(stack->shape, (std::vector<int64_t>{2, 3, 4}));
  EXPECT_EQ(floats_of(*stack)[23], 23.0f);
  EXPECT_EQ(source.find("a.weights"), nullptr);
}

TEST(Gguf, ReadsWhatPyPiGgufWrote) {
  const auto source = GgufSource::open(golden("whole.gguf"));
  expect_golden_metadata(source->metadata());
  expect_golden_tensors(*source);
}

TEST(Gguf, ReadsASplitModelFromAnyOfItsFiles) {
  for (const char* shard : {"split-00001-of-00002.gguf", "split-00002-of-00002.gguf"}) {
    const auto source = GgufSource::open(golden(shard));
    expect_golden_metadata(source->metadata());
    expect_golden_tensors(*source);
    EXPECT_TRUE(contains(source->find("blk.0.q8.weight")->file, "split-00002-of-00002.gguf"));
  }
}

TEST(Gguf, AGetterOfTheWrongTypeNamesKeyAndType) {
  const auto source = GgufSource::open(golden("whole.gguf"));
  const GgufMetadata& m = source->metadata();
  EXPECT_TRUE(contains(error_of([&] { m.get_int("t.f32"); }), "whole.gguf: key 't.f32' is f32; an integer is needed"));
  EXPECT_TRUE(contains(error_of([&] { m.get_float("t.i32"); }), "a float is needed"));
  EXPECT_TRUE(contains(error_of([&] { m.get_string("t.strings"); }), "is an array of string; a string is needed"));
  EXPECT_TRUE(
      contains(error_of([&] { m.get_strings("t.ints"); }), "is an array of i32; an array of strings is needed"));
  EXPECT_TRUE(contains(error_of([&] { m.get_bool("t.u8"); }), "a bool is needed"));
  EXPECT_TRUE(contains(error_of([&] { m.get_int("t.u64"); }), "18446744073709551615, beyond the range"));
}

TEST(Gguf, TextShowsValuesShortened) {
  GgufMetadata m;
  std::vector<int32_t> many(1000, 7);
  m.set_i32s("many", many);
  m.set_f32("eps", 1e-6f);
  m.set_bool("flag", true);
  EXPECT_EQ(m.text("many"), "[7, 7, 7, 7, 7, 7, 7, 7, ... 1000 in all]");
  EXPECT_EQ(m.text("eps"), "1e-06");
  EXPECT_EQ(m.text("flag"), "true");
  EXPECT_EQ(m.text("absent"), "");
}

TEST(Gguf, ErasedKeysKeepTheOthersInOrder) {
  GgufMetadata m;
  for (const char* key : {"a", "b", "c"}) m.set_string(key, key);
  m.erase("b");
  m.set_u32("a", 1);
  EXPECT_EQ(m.keys(), (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(m.get_string("c"), "c");
  EXPECT_EQ(m.get_int("a"), 1);
}

struct BadFile {
  const char* name;
  std::string bytes;
  const char* message;
};

std::vector<BadFile> bad_headers() {
  const auto u8 = GgufType::u8, text = GgufType::string, array = GgufType::array;
  return {
      {"only the magic", "GGUF", "the version at byte 4 takes 4 bytes, but the file ends after 0 more"},
      {"version 1", GgufBytes(0, 0, 1).bytes(), "is GGUF version 1"},
      {"version 0", GgufBytes(0, 0, 0).bytes(), "is GGUF version 0"},
      {"version 4", GgufBytes(0, 0, 4).bytes(), "is GGUF version 4; fathom reads versions 2 and 3"},
      {"big-endian", GgufBytes(0, 0, 0x03000000).bytes(), "is a big-endian GGUF file"},
      {"keys beyond the file", GgufBytes(0, uint64_t{1} << 63).bytes(), "names 9223372036854775808 keys"},
      {"tensors beyond the file", GgufBytes(~uint64_t{0}, 0).bytes(), "names 18446744073709551615 tensors"},
      {"key longer than the file", GgufBytes(0, 1).u64(~uint64_t{0}).raw("0123456789").bytes(), "key number '0'"},
      {"key empty", GgufBytes(0, 1).key("", u8).u8(1).raw("12345678").bytes(), "key number 0 is empty"},
      {"key too long", GgufBytes(0, 1).key(std::string(65536, 'k'), u8).u8(1).bytes(), "at most 65535 are allowed"},
      {"key no UTF-8", GgufBytes(0, 1).key("k\xFF", u8).u8(1).bytes(), "is no valid UTF-8: 'k\\xFF'"},
      {"key twice", GgufBytes(0, 2).key("kk", u8).u8(1).key("kk", u8).u8(1).bytes(), "key 'kk' occurs twice"},
      {"value type 13", GgufBytes(0, 1).string("k").u32(13).u64(0).bytes(), "key 'k' has value type 13"},
      {"array of arrays", GgufBytes(0, 1).key("k", array).u32(9).u64(1).bytes(), "key 'k' is an array of arrays"},
      {"array type 99", GgufBytes(0, 1).key("k", array).u32(99).u64(1).bytes(), "key 'k' has value type 99"},
      {"array length wraps", GgufBytes(0, 1).key("k", array).u32(10).u64(uint64_t{1} << 61).bytes(),
       "has 2305843009213693952 values"},
      {"strings beyond the file", GgufBytes(0, 1).key("k", array).u32(8).u64(2).u64(0).bytes(),
       "has 2 values of type string"},
      {"string beyond the file", GgufBytes(0, 1).key("k", text).u64(100).raw("abc").bytes(), "the value of key 'k'"},
      {"bool 2", GgufBytes(0, 1).key("k", GgufType::boolean).u8(2).bytes(), "key 'k' holds a bool that is neither"},
      {"alignment 0", GgufBytes(0, 1).key("general.alignment", GgufType::u32).u32(0).bytes(),
       "'general.alignment' is 0; a power of two"},
      {"alignment 48", GgufBytes(0, 1).key("general.alignment", GgufType::u32).u32(48).bytes(),
       "is 48; a power of two"},
      {"alignment -32", GgufBytes(0, 1).key("general.alignment", GgufType::i32).u32(0xFFFFFFE0).bytes(),
       "is -32; a power of two"},
      {"alignment a string", GgufBytes(0, 1).key("general.alignment", text).string("32").bytes(),
       "is string; an integer is needed"},
  };
}

std::vector<BadFile> bad_tensors() {
  const auto one = [](std::string_view name, std::initializer_list<uint64_t> dims, uint32_t type, uint64_t offset) {
    return GgufBytes(1, 0).tensor(name, dims, type, offset).data(256).bytes();
  };
  const uint64_t huge = uint64_t{1} << 62;
  return {
      {"no name", one("", {4}, 0, 0), "the name of tensor number 0 is empty"},
      {"name of 2000 bytes", one(std::string(2000, 'n'), {4}, 0, 0), "at most 1024 are allowed"},
      {"no dimensions", one("t", {}, 0, 0) + std::string(8, '\0'), "tensor 't' has 0 dimensions"},
      {"five dimensions", one("t", {1, 1, 1, 1, 1}, 0, 0), "tensor 't' has 5 dimensions"},
      {"dimension 0", one("t", {4, 0}, 0, 0), "tensor 't' has a dimension of 0"},
      {"dimension 2^63", one("t", {uint64_t{1} << 63}, 0, 0), "has a dimension of 9223372036854775808"},
      {"elements wrap", one("t", {huge, 4}, 0, 0), "multiply to more than 2^63"},
      {"bytes wrap", one("t", {huge}, 0, 0), "is larger than any file"},
      {"type iq2_xxs", one("t", {256}, 16, 0), "tensor 't' has element type 16 (iq2_xxs), one of llama.cpp's"},
      {"type 4", one("t", {4}, 4, 0), "has element type 4 (q4_2), a type that llama.cpp took out"},
      {"type q4_0_8_8", one("t", {4}, 33, 0), "(q4_0_8_8), a repacked type"},
      {"type mxfp4", one("t", {4}, 39, 0), "(mxfp4), a 4-bit floating-point type"},
      {"type tq1_0", one("t", {4}, 34, 0), "(tq1_0), one of llama.cpp's types of ternary numbers"},
      {"type iq5_ks", one("t", {4}, 152, 0), "(iq5_ks), one of ik_llama.cpp's own types"},
      {"type q4_0_r8", one("t", {4}, 202, 0), "(q4_0_r8), a type that ik_llama.cpp repacks weights to"},
      {"type i32", one("t", {4}, 26, 0), "(i32), a type of numbers that are no weights"},
      {"type q8_k", one("t", {4}, 15, 0), "(q8_k), a type of activations"},
      {"type 100", one("t", {4}, 100, 0), "has element type 100, which has no name"},
      {"type 4294967295", one("t", {4}, ~uint32_t{0}, 0), "has element type 4294967295, which has no name"},
      {"no whole blocks", one("t", {48}, 2, 0), "rows of 48 elements, but q4_0 is stored in blocks of 32"},
      {"offset unaligned", one("t", {4}, 0, 16), "offset 16, which is no multiple of the alignment 32"},
      {"past the end", one("t", {64, 2}, 0, 0), "tensor 't' needs 512 bytes from offset 0"},
      {"offset past the end", one("t", {4}, 0, 1024), "needs 16 bytes from offset 1024"},
      {"offset wraps", one("t", {64}, 0, ~uint64_t{0} - 31), "needs 256 bytes from offset 18446744073709551584"},
      {"overlap", GgufBytes(2, 0).tensor("b", {16}, 0, 32).tensor("a", {16}, 0, 0).data(256).bytes(),
       "tensors 'a' and 'b' overlap"},
      {"same place", GgufBytes(2, 0).tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 0).data(256).bytes(), "overlap"},
      {"tensor twice", GgufBytes(2, 0).tensor("a", {4}, 0, 0).tensor("a", {4}, 0, 32).data(256).bytes(),
       "tensor 'a' occurs twice"},
      {"record cut", GgufBytes(1, 0).string("tensor").u32(1).u64(4).u32(0).raw("0123456").bytes(),
       "the offset of tensor 'tensor'"},
  };
}

TEST(Gguf, RefusesBadHeadersAndNamesThePlace) {
  for (const BadFile& bad : bad_headers()) {
    const std::string error = error_of([&] { parse_copy(bad.bytes); });
    EXPECT_TRUE(contains(error, "x.gguf: ")) << bad.name;
    EXPECT_TRUE(contains(error, bad.message)) << bad.name;
  }
}

TEST(Gguf, RefusesBadTensorsAndNamesThem) {
  for (const BadFile& bad : bad_tensors()) {
    const std::string error = error_of([&] { parse_copy(bad.bytes); });
    EXPECT_TRUE(contains(error, "x.gguf: ")) << bad.name;
    EXPECT_TRUE(contains(error, bad.message)) << bad.name;
  }
}

TEST(Gguf, AcceptsVersion2OtherAlignmentsGapsAndAnyOrder) {
  GgufBytes b(2, 1, 2);
  b.key("general.alignment", GgufType::u32).u32(8).tensor("b", {4}, 0, 64).tensor("a", {1}, 0, 8).data(128);
  const GgufFile file = parse_copy(b.bytes());
  EXPECT_EQ(file.version, 2u);
  EXPECT_EQ(file.tensors.size(), 2u);
}

TEST(Gguf, EveryTruncationOfAFileIsRefused) {
  const std::string whole = test::read_text(golden("whole.gguf"));
  const GgufFile parsed = parse_gguf(std::as_bytes(std::span(whole.data(), whole.size())), "whole.gguf");
  const TensorInfo& last = parsed.tensors.back();
  const auto end =
      static_cast<size_t>(reinterpret_cast<const char*>(last.bytes.data()) - whole.data()) + last.bytes.size();
  for (size_t n = 0; n < whole.size(); ++n) {  // what follows the last tensor is padding
    const std::string error = error_of([&] { parse_copy(std::string_view(whole).substr(0, n), "cut.gguf"); });
    EXPECT_EQ(error.empty(), n >= end) << n;
    EXPECT_TRUE(error.empty() || contains(error, "cut.gguf: ")) << n;
  }
}

// A flipped bit may still be a valid file (another name, another number); what matters is that nothing worse than an
// Error happens.
TEST(Gguf, EveryFlippedBitOfAFileIsReadOrRefused) {
  std::string bytes = test::read_text(golden("whole.gguf"));
  int refused = 0;
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
    refused += !error_of([&] { parse_copy(bytes); }).empty();
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << (bit % 8)));
  }
  EXPECT_GT(refused, 1000);
}

TEST(Gguf, SaysWhatAnotherFileIs) {
  const test::TempFolder folder;
  const auto error_for = [&](std::string_view content) {
    test::write_text(folder / "x.gguf", content);
    EXPECT_FALSE(looks_like_gguf(folder / "x.gguf"));
    return error_of([&] { GgufSource::open(folder / "x.gguf"); });
  };
  EXPECT_TRUE(contains(error_for(""), "x.gguf: is empty"));
  EXPECT_TRUE(contains(error_for("version https://git-lfs.github.com/spec/v1\n"), "git-lfs pointer"));
  EXPECT_TRUE(contains(error_for("<!DOCTYPE html><html>"), "HTML page"));
  EXPECT_TRUE(contains(error_for(std::string("PK\x03\x04zip", 7)), "zip archive"));
  EXPECT_TRUE(contains(error_for("\x80\x02pickle"), "pickle"));
  EXPECT_TRUE(contains(error_for(std::string("\x10\0\0\0\0\0\0\0{\"a\":1}        ", 24)), "safetensors"));
  EXPECT_TRUE(contains(error_for("GGU"), "is no GGUF file"));
  EXPECT_TRUE(contains(error_of([&] { GgufSource::open(folder.path()); }), "is a directory"));
  EXPECT_TRUE(contains(error_of([&] { GgufSource::open(folder / "none.gguf"); }), "cannot be opened"));
  EXPECT_TRUE(looks_like_gguf(golden("whole.gguf")));
}

TEST(Gguf, SplitFilesThatDoNotBelongTogetherAreRefused) {
  const test::TempFolder folder;
  const std::string first = test::read_text(golden("split-00001-of-00002.gguf"));
  const std::string second = test::read_text(golden("split-00002-of-00002.gguf"));
  const auto open = [&](std::string_view name) { return error_of([&] { GgufSource::open(folder / name); }); };
  test::write_text(folder / "m-00001-of-00002.gguf", first);
  EXPECT_TRUE(
      contains(open("m-00001-of-00002.gguf"), "m-00002-of-00002.gguf: file 2 of 2 of the split model is missing"));
  test::write_text(folder / "renamed.gguf", first);
  EXPECT_TRUE(contains(open("renamed.gguf"), "its name does not end in -0000K-of-00002.gguf"));
  test::write_text(folder / "m-00001-of-00003.gguf", first);
  EXPECT_TRUE(contains(open("m-00001-of-00003.gguf"),
                       "its name says that the model has 3 files, but its key 'split.count' says 2"));
  test::write_text(folder / "m-00002-of-00002.gguf", first);
  EXPECT_TRUE(contains(open("m-00001-of-00002.gguf"), "m-00002-of-00002.gguf: by its name it is shard 2 of 2"));
  test::write_text(folder / "m-00002-of-00002.gguf", second.substr(0, 200));
  EXPECT_TRUE(contains(open("m-00001-of-00002.gguf"), "m-00002-of-00002.gguf"));
  test::write_text(folder / "m-00002-of-00002.gguf", second);
  EXPECT_EQ(open("m-00002-of-00002.gguf"), "");
}

// llama-gguf-split --merge writes split.count 0 and leaves the other keys as the first part had them.
TEST(Gguf, AMergedFileIsWhole) {
  const test::TempFolder folder;
  for (uint32_t count : {0u, 1u}) {
    GgufBytes b(2, 3);
    b.key("split.no", GgufType::u32).u32(0).key("split.count", GgufType::u32).u32(count);
    b.key("split.tensors.count", GgufType::u32).u32(2);
    test::write_text(folder / "merged.gguf", b.tensor("a", {4}, 0, 0).tensor("b", {4}, 0, 32).data(48).bytes());
    EXPECT_EQ(GgufSource::open(folder / "merged.gguf")->tensors().size(), 2u) << count;
  }
}

TEST(Gguf, ATensorInTwoShardsIsRefused) {
  const test::TempFolder folder;
  for (uint32_t no : {0u, 1u}) {
    GgufBytes b(1, 3);
    b.key("split.no", GgufType::u32).u32(no).key("split.count", GgufType::u32).u32(2);
    b.key("split.tensors.count", GgufType::u32).u32(2).tensor("same", {4}, 0, 0).data(16);
    test::write_text(folder / ("m-0000" + std::to_string(no + 1) + "-of-00002.gguf"), b.bytes());
  }
  const std::string error = error_of([&] { GgufSource::open(folder / "m-00001-of-00002.gguf"); });
  EXPECT_TRUE(contains(error, "m-00002-of-00002.gguf: tensor 'same' lies in "));
}

TEST(Gguf, AMissingTensorOfASplitModelIsNoticed) {
  const test::TempFolder folder;
  for (uint32_t no : {0u, 1u}) {
    GgufBytes b(1, 3);
    b.key("split.no", GgufType::u32).u32(no).key("split.count", GgufType::u32).u32(2);
    b.key("split.tensors.count", GgufType::u32).u32(5).tensor(no == 0 ? "a" : "b", {4}, 0, 0).data(16);
    test::write_text(folder / ("m-0000" + std::to_string(no + 1) + "-of-00002.gguf"), b.bytes());
  }
  const std::string error = error_of([&] { GgufSource::open(folder / "m-00001-of-00002.gguf"); });
  EXPECT_TRUE(contains(error, "'split.tensors.count' is 5, but the 2 files hold 2 tensors"));
}

TEST(Gguf, ReadsTheSharedVocabulary) {
  const char* folder = std::getenv("FATHOM_VOCAB_DIR");
  const auto path = std::filesystem::path(folder != nullptr ? folder : "") / "ggml-vocab-deepseek-llm.gguf";
  if (!std::filesystem::exists(path))
    GTEST_SKIP() << "not found; set FATHOM_VOCAB_DIR to the folder that holds " << path.filename();
  const auto source = GgufSource::open(path);
  const auto tokens = source->metadata().get_strings("tokenizer.ggml.tokens");
  ASSERT_TRUE(tokens.has_value());
  EXPECT_EQ(tokens->size(), 102400u);
  EXPECT_EQ((*tokens)[185], "\u010A");  // LF, spelled by the byte-to-letter table
  EXPECT_EQ(source->metadata().get_string("tokenizer.ggml.pre"), "deepseek-llm");
  EXPECT_EQ(source->metadata().get_ints("tokenizer.ggml.token_type")->size(), 102400u);
  EXPECT_TRUE(source->tensors().empty());
}

}  // namespace
}  // namespace fathom
