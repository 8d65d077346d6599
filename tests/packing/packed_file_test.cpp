#include "packing/packed_file.h"

#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "base/xxh64.h"
#include "support/files.h"
#include "support/model_file.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;

ModelConfig small_config() {
  ModelConfig c = testing::packable_v2_config();
  c.n_routed_experts = 4;
  c.num_hidden_layers = 2;
  return c;
}

PackedHeader small_header() {
  PackedHeader h{.fingerprint = 0x1234, .file_bytes = 0, .model = "/models/lite.gguf", .tensors = {}};
  for (const DType type : {DType::q4_0, DType::q8_0, DType::q6_k})
    h.tensors.push_back({.name = fmt::format("tensor.{}", name(type)),
                         .dtype = type,
                         .rows = 11,
                         .cols = 256,
                         .offset = 0,
                         .checksum = 77});
  place_tensors(h);
  return h;
}

std::string refusal(std::string_view bytes, uint64_t file_bytes) {
  const std::vector<char> copy(bytes.begin(), bytes.end());  // ends where the text does: a sanitizer sees one byte more
  return error_of([&] { parse_packed_header(std::as_bytes(std::span(copy)), file_bytes, "x.panels"); });
}

// A model in a file, and where its packed weights go.
struct Fixture {
  explicit Fixture(DType type = DType::q4_0) : random(small_config(), 3) {
    random.quantise(type);
    model = testing::model_in_file(random, folder / "model.gguf");
    weights = packable_weights(model.config, model.weights);
    fingerprint = packed_fingerprint(model.source.get(), weights);
    path = packed_file_path(cache(), *fingerprint);
  }
  fs::path cache() const { return folder / "cache"; }
  void write() { write_packed_file(pool, path, model.path, *fingerprint, weights); }
  size_t n_files() const { return static_cast<size_t>(std::distance(fs::directory_iterator(cache()), {})); }

  test::TempFolder folder;
  testing::RandomModel random;
  Model model;
  std::vector<NamedWeight> weights;
  std::optional<uint64_t> fingerprint;
  fs::path path;
  ThreadPool pool{2};
};

TEST(PackedHeader, IsReadAsItWasWritten) {
  const PackedHeader h = small_header();
  const std::string bytes = packed_header_bytes(h);
  const PackedHeader read = parse_packed_header(std::as_bytes(std::span(bytes)), h.file_bytes, "x");
  EXPECT_EQ(read.fingerprint, h.fingerprint);
  EXPECT_EQ(read.model, h.model);
  ASSERT_EQ(read.tensors.size(), h.tensors.size());
  EXPECT_EQ(packed_header_bytes(read), bytes);
  EXPECT_EQ(read.tensors[0].offset, uint64_t{1} << 21);
  for (const PackedTensor& t : read.tensors) EXPECT_EQ(t.offset % kPackedAlign, 0u);
}

TEST(PackedHeader, EveryTruncationIsRefused) {
  const PackedHeader h = small_header();
  const std::string bytes = packed_header_bytes(h);
  for (size_t n = 0; n < bytes.size(); ++n) {
    EXPECT_NE(refusal(std::string_view(bytes).substr(0, n), h.file_bytes), "") << n;
    EXPECT_NE(refusal(std::string_view(bytes).substr(0, n), n), "") << n;
  }
  for (const uint64_t size : {h.file_bytes - 1, h.file_bytes + 1, uint64_t{1} << 21, uint64_t{0}})
    EXPECT_TRUE(contains(refusal(bytes, size), fmt::format("it has {} bytes", size)));
}

TEST(PackedHeader, EveryFlippedBitIsRefused) {
  const PackedHeader h = small_header();
  std::string bytes = packed_header_bytes(h);
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
    EXPECT_NE(refusal(bytes, h.file_bytes), "") << bit;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ 1 << bit % 8);
  }
  EXPECT_EQ(refusal(bytes, h.file_bytes), "");
}

// What a checksum cannot find: a writer that was wrong, or someone who means harm.
TEST(PackedHeader, WhatIsSealedAndWrongIsRefusedToo) {
  const auto sealed = [](const std::function<void(PackedHeader&)>& change) {
    PackedHeader h = small_header();
    change(h);
    return refusal(packed_header_bytes(h), h.file_bytes);
  };
  EXPECT_EQ(sealed([](PackedHeader&) {}), "");
  EXPECT_TRUE(
      contains(sealed([](PackedHeader& h) { h.tensors[1].offset += 64; }), "not the one that its tensors need"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[1].rows += 8; }), "beyond its end"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[2].rows -= 8; }), "not the one that its tensors need"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[1].rows = int64_t{1} << 40; }), "beyond its end"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[1].rows = 0; }), "type or shape of 'tensor.q8_0'"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[1].cols = -32; }), "type or shape"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[2].cols = 32; }), "type or shape"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors[0].dtype = DType::q2_k; }), "type or shape"));
  EXPECT_TRUE(contains(sealed([](PackedHeader& h) { h.tensors.pop_back(); }), "not the one that its tensors need"));
}

TEST(PackedHeader, OtherVersionsAndOtherFilesAreNamed) {
  const PackedHeader h = small_header();
  for (const size_t field : {8, 12}) {
    std::string bytes = packed_header_bytes(h);
    bytes[field] = 9;
    EXPECT_TRUE(
        contains(refusal(bytes, h.file_bytes), field == 8 ? "of version 9, layout 1" : "of version 1, layout 9"));
  }
  EXPECT_TRUE(contains(refusal("GGUF" + std::string(100, '\0'), 104), "is no file of packed weights"));
}

TEST(PackedFile, HoldsWhatPackingMakes) {
  for (const DType type : {DType::q4_0, DType::q8_0, DType::f16}) {
    Fixture f(type);
    f.write();
    const PackedFile file(f.path);
    file.verify(f.pool);
    file.attach(*f.fingerprint, f.weights);
    ASSERT_FALSE(f.weights.empty());
    for (const auto& [name, w] : f.weights) {
      std::vector<std::byte> want(static_cast<size_t>(packed_weight_bytes(*w)));
      pack_weight(f.pool, *w, want.data());
      EXPECT_EQ(std::memcmp(w->packed, want.data(), want.size()), 0) << name;
      EXPECT_EQ(reinterpret_cast<uintptr_t>(w->packed) % kPackedAlign, 0u);
    }
    EXPECT_EQ(file.header().model, (f.folder / "model.gguf").string());
    EXPECT_EQ(f.n_files(), 1u);
  }
}

TEST(PackedFile, ADamagedByteOfAnyTensorIsFound) {
  Fixture f;
  f.write();
  const std::string whole = test::read_text(f.path);
  const PackedHeader h = PackedFile(f.path).header();
  for (const PackedTensor& t : h.tensors) {
    for (const uint64_t at : {t.offset, t.offset + t.bytes() / 2, t.offset + t.bytes() - 1}) {
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ 4);
      test::write_text(f.path, bytes);
      EXPECT_TRUE(
          contains(error_of([&] { PackedFile(f.path).verify(f.pool); }), "checksum of '" + t.name + "' differs"));
    }
  }
}

TEST(PackedFile, AShortenedFileIsRefused) {
  Fixture f;
  f.write();
  const uint64_t size = fs::file_size(f.path);
  for (const uint64_t n :
       {size - 1, size / 2, uint64_t{1} << 21, uint64_t{4096}, uint64_t{55}, uint64_t{1}, uint64_t{0}}) {
    fs::resize_file(f.path, n);
    EXPECT_NE(error_of([&] { PackedFile file(f.path); }), "") << n;
  }
}

TEST(PackedFile, AnotherModelsWeightsAreNotAttached) {
  Fixture f, other(DType::q8_0);
  f.write();
  const PackedFile file(f.path);
  EXPECT_TRUE(contains(error_of([&] { file.attach(*f.fingerprint + 1, f.weights); }), "another model"));
  EXPECT_TRUE(contains(error_of([&] { file.attach(*f.fingerprint, other.weights); }), "another model"));
  EXPECT_TRUE(contains(error_of([&] { file.attach(*f.fingerprint, std::span(f.weights).first(1)); }), "another model"));
  for (const auto& [name, w] : f.weights) EXPECT_EQ(w->packed, nullptr) << name;
}

TEST(PackedFingerprint, ChangesWithTheModelAndNotWithItsPath) {
  Fixture f;
  const auto of = [&](const fs::path& path) {
    f.model.source = GgufSource::open(path);
    for_each_tensor(f.model.weights, f.model.config, [&](const std::string& name, Weight& w, const Shape&) {
      w = as_matrix(*f.model.source->find(name));
    });
    return packed_fingerprint(f.model.source.get(), f.weights);
  };
  const fs::path path = f.folder / "model.gguf", moved = f.folder / "moved.gguf";
  EXPECT_EQ(of(path), f.fingerprint);
  fs::rename(path, moved);
  EXPECT_EQ(of(moved), f.fingerprint);
  fs::copy_file(moved, path);
  EXPECT_NE(of(path), f.fingerprint) << "another inode";
  const auto time = fs::last_write_time(moved);
  fs::last_write_time(moved, time + std::chrono::seconds(1));
  EXPECT_NE(of(moved), f.fingerprint) << "another time";
  // In place and with the time set back: only the sample can tell.
  std::string bytes = test::read_text(moved);
  for (char& c : bytes.erase(0, bytes.size() / 2)) c = static_cast<char>(c + 1);
  {
    std::fstream out(moved, std::ios::binary | std::ios::in | std::ios::out);
    out.seekp(static_cast<std::streamoff>(fs::file_size(moved) - bytes.size()));
    out << bytes;
  }
  fs::last_write_time(moved, time);
  EXPECT_NE(of(moved), f.fingerprint) << "other numbers";
  EXPECT_EQ(packed_fingerprint(nullptr, f.weights), std::nullopt);
  EXPECT_EQ(packed_fingerprint(f.model.source.get(), packable_weights(f.random.config, f.random.weights)), std::nullopt)
      << "weights that lie in memory";
}

TEST(PackedFile, SeveralMayWriteItAtOnce) {
  Fixture f;
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&] {
      ThreadPool pool(1);
      for (int k = 0; k < 3; ++k) write_packed_file(pool, f.path, f.model.path, *f.fingerprint, f.weights);
    });
  for (std::thread& t : writers) t.join();
  PackedFile(f.path).verify(f.pool);
  EXPECT_EQ(f.n_files(), 1u) << "a partial file is left";
}

TEST(PackedFile, WhatKilledWritersLeftIsRemovedAndNoOther) {
  Fixture f;
  fs::create_directories(f.cache());
  const fs::path killed = f.cache() / "0000000000000000.panels.1-0.partial", foreign = f.cache() / "notes.partial";
  test::write_text(killed, "half");
  test::write_text(foreign, "mine");
  FileWriter running(f.path, Partial::own);
  f.write();
  EXPECT_FALSE(fs::exists(killed));
  EXPECT_TRUE(fs::exists(foreign));
  running.commit();  // its partial file is still there
  EXPECT_EQ(fs::file_size(f.path), 0u);
}

TEST(PackedFile, WhereItCannotBeWrittenIsASentence) {
  Fixture f;
  test::write_text(f.folder / "file", "");
  f.path = f.folder / "file" / "sub" / "x.panels";
  EXPECT_TRUE(contains(error_of([&] { f.write(); }), "cannot be made: Not a directory"));
}

}  // namespace
}  // namespace fathom
