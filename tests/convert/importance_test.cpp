// Importance data in our own files and in llama.cpp's, and what is told of it.
#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "checkpoint/imatrix.h"
#include "convert/quantize/importance_file.h"
#include "convert/quantize_fixture.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::Quantize;

std::string expert(int layer, int i, const char* part = "up_proj") {
  return fmt::format("model.layers.{}.mlp.experts.{}.{}.weight", layer, i, part);
}

ColumnStatistics statistics(int64_t cols, double rows, float x) {
  return {.groups = 1, .cols = cols, .rows = rows, .mean_squares = std::vector(static_cast<size_t>(cols), x)};
}

// Numbers whose sums over the rows are exact, so that no form loses a bit: few digits, counts that are powers of two.
Importance with_short_numbers(const Importance& importance) {
  Importance::Tensors tensors = importance.tensors();
  for (auto& [name, t] : tensors) {
    t.rows = std::exp2(std::round(std::log2(t.rows)));
    for (float& x : t.mean_squares) x = bf16_to_f32(f32_to_bf16(x));
  }
  return Importance(std::move(tensors));
}

void write_old_form(const Imatrix& imatrix, const fs::path& path) {
  std::string out;
  const auto put = [&](auto n) { out.append(reinterpret_cast<const char*>(&n), sizeof n); };
  put(static_cast<int32_t>(imatrix.entries.size()));
  for (const ImatrixEntry& e : imatrix.entries) {
    put(static_cast<int32_t>(e.name.size()));
    out += e.name;
    put(int32_t{2});
    put(static_cast<int32_t>(e.mean_squares.size()));
    for (float x : e.mean_squares) put(2 * x);
  }
  put(static_cast<int32_t>(imatrix.chunks));
  test::write_text(path, out);
}

Imatrix imatrix_of(std::vector<ImatrixEntry> entries) {
  return {.entries = std::move(entries), .counted = true, .chunks = 1, .chunk_size = 512, .datasets = {"t"}};
}

TEST_F(Quantize, LlamaCppsFormOfTheSameDataGivesTheSameModel) {
  const Model model = load_model(folder_ / "f32");
  QuantizeOptions o = calibrated("q4_k");
  o.save_importance = folder_ / "learnt.safetensors";
  quantize("learnt.gguf", o);
  const Importance data = with_short_numbers(read_importance(*o.save_importance, model.config).importance);
  save_importance(data, model.config, {}, folder_ / "own.safetensors");
  save_importance(data, model.config, {.text = "text"}, folder_ / "llama.gguf");
  for (const char* file : {"own.safetensors", "llama.gguf"}) {
    QuantizeOptions with = options("iq4_xs");
    with.importance = folder_ / file;
    const QuantizeSummary s = quantize((std::string("from-") + file + ".gguf").c_str(), with);
    EXPECT_EQ(s.without_importance, std::vector<std::string>{"model.embed_tokens.weight"}) << file;
    EXPECT_TRUE(s.importance->unknown.empty()) << s.importance->unknown[0];
  }
  EXPECT_EQ(test::read_text(folder_ / "from-own.safetensors.gguf"), test::read_text(folder_ / "from-llama.gguf.gguf"));
  QuantizeOptions without = options("iq4_xs");
  quantize("without.gguf", without);
  EXPECT_NE(test::read_text(folder_ / "without.gguf"), test::read_text(folder_ / "from-llama.gguf.gguf"));
}

TEST_F(Quantize, TheOldFormGivesTheSameMatricesAsTheNewOne) {
  const Imatrix imatrix = imatrix_of({{"blk.0.attn_q.weight", std::vector<float>(256, 3), {1024}},
                                      {"output.weight", std::vector<float>(256, 0.5f), {1024}}});
  write_imatrix(imatrix, folder_ / "i.gguf");
  write_old_form(imatrix, folder_ / "i.dat");
  const ImportanceFile a = read_importance(folder_ / "i.gguf", test::small_model()),
                       b = read_importance(folder_ / "i.dat", test::small_model());
  EXPECT_TRUE(a.counted);
  EXPECT_FALSE(b.counted);
  for (const char* name : {"model.layers.0.self_attn.q_proj.weight", "lm_head.weight"}) {
    EXPECT_EQ(a.importance.tensors().at(name).mean_squares, b.importance.tensors().at(name).mean_squares);
    EXPECT_EQ(b.importance.tensors().at(name).rows, 1024);
  }
}

TEST_F(Quantize, FormsAreToldByTheirBytesNotByTheirNames) {
  save_importance(Importance({{"lm_head.weight", statistics(256, 4, 1)}}), test::small_model(), {}, folder_ / "a.gguf");
  save_importance(Importance({{"lm_head.weight", statistics(256, 4, 1)}}), test::small_model(), {},
                  folder_ / "b.safetensors");
  fs::rename(folder_ / "a.gguf", folder_ / "imatrix_unsloth.dat");
  fs::rename(folder_ / "b.safetensors", folder_ / "a.gguf");
  for (const char* name : {"imatrix_unsloth.dat", "a.gguf"})
    EXPECT_EQ(read_importance(folder_ / name, test::small_model()).importance.tensors().at("lm_head.weight").cols, 256);
}

// Four experts of up_proj, 256 columns each: one count for each, or one for all.
TEST_F(Quantize, StacksOfExpertsComeApartWithTheirCounts) {
  std::vector<float> up;
  for (int e = 0; e < 4; ++e) up.insert(up.end(), 256, static_cast<float>(e + 1));
  write_imatrix(imatrix_of({{"blk.1.ffn_up_exps.weight", up, {64, 0, 8, 1}}}), folder_ / "each.gguf");
  write_imatrix(imatrix_of({{"blk.1.ffn_up_exps.weight", up, {64}}}), folder_ / "all.gguf");
  const Importance each = read_importance(folder_ / "each.gguf", test::small_model()).importance;
  EXPECT_EQ(each.tensors().at(expert(1, 2)).mean_squares, std::vector<float>(256, 3));
  EXPECT_EQ(each.tensors().at(expert(1, 2)).rows, 8);
  EXPECT_FALSE(each.tensors().contains(expert(1, 1))) << "never chosen";
  EXPECT_EQ(each.find(expert(1, 1)).cols, 256) << "so the mean of its layer";
  const ImportanceReport report = report_on(each, test::small_model());
  EXPECT_EQ(report.experts, 4);
  EXPECT_EQ(report.few, 2);
  EXPECT_EQ(report.never, std::vector<std::string>{"model.layers.1.mlp.experts.1"});
  const Importance all = read_importance(folder_ / "all.gguf", test::small_model()).importance;
  EXPECT_EQ(all.tensors().at(expert(1, 1)).rows, 64);
}

TEST_F(Quantize, InTheOldFormAnExpertOfOnesWasNeverChosen) {
  std::vector<float> up(4 * 256);
  for (size_t i = 0; i < up.size(); ++i) up[i] = i / 256 == 2 ? 1.0f : static_cast<float>(i % 7);
  Imatrix imatrix = imatrix_of({{"blk.1.ffn_up_exps.weight", up, {1}}});
  write_old_form(imatrix, folder_ / "i.dat");
  const Importance importance = read_importance(folder_ / "i.dat", test::small_model()).importance;
  EXPECT_FALSE(importance.tensors().contains(expert(1, 2)));
  EXPECT_EQ(importance.tensors().at(expert(1, 3)).rows, 1024 * 2 / 4) << "two of four experts for each token";
  imatrix.chunks = 8;
  write_old_form(imatrix, folder_ / "i.dat");
  const Importance longer = read_importance(folder_ / "i.dat", test::small_model()).importance;
  EXPECT_EQ(longer.tensors().at(expert(1, 3)).rows, 8 * 512 * 2 / 4) << "of the whole run";
}

// k_b: 4 heads of 64 columns. v_b: the latent's 256, as llama.cpp sees them in each head, or once; kv_b stands for it.
TEST_F(Quantize, SplitAttentionHasAGroupForEachHead) {
  std::vector<float> k(4 * 64), v(4 * 256);
  for (size_t i = 0; i < k.size(); ++i) k[i] = static_cast<float>(i);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(i / 256);
  const auto read = [&](std::vector<ImatrixEntry> entries) {
    fs::remove(folder_ / "i.gguf");
    write_imatrix(imatrix_of(std::move(entries)), folder_ / "i.gguf");
    return read_importance(folder_ / "i.gguf", test::small_model()).importance;
  };
  const Importance heads = read({{"blk.0.attn_k_b.weight", k, {512}}, {"blk.0.attn_v_b.weight", v, {512}}});
  EXPECT_EQ(heads.find("model.layers.0.self_attn.k_b_proj.weight").groups, 4);
  EXPECT_EQ(heads.find("model.layers.0.self_attn.k_b_proj.weight").mean_squares, k);
  EXPECT_EQ(heads.find("model.layers.0.self_attn.v_b_proj.weight").groups, 4);
  const Importance whole = read({{"blk.0.attn_kv_b.weight", std::vector<float>(256, 2), {512}}});
  EXPECT_EQ(whole.find("model.layers.0.self_attn.v_b_proj.weight").cols, 256);
  EXPECT_EQ(whole.find("model.layers.0.self_attn.k_b_proj.weight").cols, 0);
  QuantizeOptions o = options("q4_k");
  write_imatrix(imatrix_of({{"blk.0.attn_k_b.weight", k, {512}}, {"blk.0.attn_v_b.weight", v, {512}}}),
                folder_ / "heads.gguf");
  o.importance = folder_ / "heads.gguf";
  const QuantizeSummary s = quantize("x.gguf", o);
  EXPECT_EQ(s.importance->report.tokens, 512);
  EXPECT_EQ(s.without_importance.front(), "model.embed_tokens.weight");
}

TEST_F(Quantize, DataOfAnotherModelIsRefusedByNameOrReported) {
  const auto with = [&](std::vector<ImatrixEntry> entries) {
    fs::remove(folder_ / "i.gguf");
    write_imatrix(imatrix_of(std::move(entries)), folder_ / "i.gguf");
    QuantizeOptions o = options("q4_0");
    o.importance = folder_ / "i.gguf";
    return refusal("x.gguf", o);
  };
  EXPECT_TRUE(contains(with({{"blk.0.attn_q.weight", std::vector<float>(128, 1), {1}}}),
                       "blk.0.attn_q.weight for 128 columns (1 counts), but the model's has 1 x 256"));
  EXPECT_TRUE(contains(with({{"blk.1.ffn_up_exps.weight", std::vector<float>(256, 1), {1}}}), "has 4 x 256"));
  EXPECT_TRUE(contains(with({{"blk.1.ffn_up_exps.weight", std::vector<float>(1024, 1), {1, 1}}}), "2 counts"));
  EXPECT_TRUE(contains(with({{"blk.7.attn_q.weight", std::vector<float>(256, 1), {1}}}), "none of the model's"));
  EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
  fs::remove(folder_ / "i.gguf");
  write_imatrix(imatrix_of({{"output.weight", std::vector<float>(256, 1), {1}},
                            {"blk.61.nextn.eh_proj.weight", std::vector<float>(64, 1), {1}}}),
                folder_ / "i.gguf");
  QuantizeOptions o = options("q4_0");
  o.importance = folder_ / "i.gguf";
  EXPECT_EQ(quantize("x.gguf", o).importance->unknown, std::vector<std::string>{"blk.61.nextn.eh_proj.weight"});
}

TEST_F(Quantize, WhatIsNoImportanceDataIsNamed) {
  const auto of = [&](const fs::path& path) { return error_of([&] { read_importance(path, test::small_model()); }); };
  quantize("model.gguf", options("q4_0"));
  EXPECT_TRUE(contains(of(folder_ / "model.gguf"), "is a GGUF file; importance data is what"));
  EXPECT_TRUE(contains(of(folder_ / "f32" / "config.json"), "is JSON text"));
  EXPECT_TRUE(contains(of(folder_ / "text"), "no file of importance data"));
  test::write_text(folder_ / "empty", "");
  EXPECT_TRUE(contains(of(folder_ / "empty"), "is empty"));
  EXPECT_TRUE(contains(of(folder_ / "absent"), "absent"));
}

TEST_F(Quantize, TheReportCountsTokensAndExperts) {
  QuantizeOptions o = calibrated("q4_0");
  o.calibration.max_tokens = 3;  // six choices of two among four experts
  const QuantizeSummary s = quantize("a.gguf", o);
  ASSERT_TRUE(s.importance);
  EXPECT_EQ(s.importance->report.tokens, 3);
  EXPECT_EQ(s.importance->report.experts, 4);
  EXPECT_EQ(s.importance->report.few + std::ssize(s.importance->report.never), 4);
}

TEST_F(Quantize, EmptyTextsAndNamesAreRefusedBeforeAnyWork) {
  test::write_text(folder_ / "empty", "");
  QuantizeOptions o = calibrated("q4_0");
  o.calibration_text = folder_ / "empty";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "is empty"));
  o = options("q4_0");
  o.save_importance = folder_ / "i.safetensors";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "nothing to save"));
  o = calibrated("q4_0");
  o.save_importance = folder_ / "i.dat";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "end in .safetensors or .gguf"));
  o.save_importance = folder_ / "nowhere" / "i.gguf";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "there is no folder"));
  o.save_importance = folder_ / "x.gguf";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "different names"));
  fs::create_directory(folder_ / "folder.gguf");
  o.save_importance = folder_ / "folder.gguf";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "is a directory"));
  for (const char* weights : {"model.safetensors", "model-00001-of-00001.safetensors"})
    if (fs::exists(folder_ / "f32" / weights)) o.save_importance = folder_ / "f32" / weights;
  EXPECT_TRUE(contains(refusal("x.gguf", o), "is also an input"));
  fs::copy_file(folder_ / "text", folder_ / "text.gguf");
  o.calibration_text = o.save_importance = folder_ / "text.gguf";
  EXPECT_TRUE(contains(refusal("x.gguf", o), "is also an input"));
  EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
}

TEST_F(Quantize, RefusesImportanceDataOfAnotherModelAndOfNone) {
  const auto with = [&](const Importance::Tensors& tensors) {
    fs::remove(folder_ / "i.safetensors");
    save_importance(Importance(tensors), test::small_model(), {}, folder_ / "i.safetensors");
    QuantizeOptions o = options("q4_0");
    o.importance = folder_ / "i.safetensors";
    return refusal("x.gguf", o);
  };
  EXPECT_TRUE(contains(with({{"lm_head.weight", statistics(128, 9, 1)}}), "128 columns, but the model's has 256"));
  EXPECT_TRUE(
      contains(with({{"model.layers.7.self_attn.o_proj.weight", statistics(256, 9, 1)}}), "none of the model's"));
  EXPECT_TRUE(contains(with({{"lm_head.weight", statistics(256, 9, -1)}}), "holds -1"));
  EXPECT_TRUE(contains(with({{"lm_head", statistics(256, 9, 1)}}), "is named like no weight"));
  test::write_text(folder_ / "i.safetensors", "not one");
  EXPECT_TRUE(
      contains(error_of([&] { read_importance(folder_ / "i.safetensors", test::small_model()); }), "i.safetensors"));
  EXPECT_TRUE(contains(error_of([&] { read_importance(folder_ / "f32" / "model.safetensors", test::small_model()); }),
                       "count of rows"));
}

TEST(Importance, ExpertsWithFewRowsLeanOnTheirLayer) {
  const auto of = [](double rows, float x) {
    return ColumnStatistics{.groups = 1, .cols = 2, .rows = rows, .mean_squares = {x, 2 * x}};
  };
  const Importance importance({{expert(1, 0), of(96, 1)}, {expert(1, 1), of(32, 5)}, {"lm_head.weight", of(3, 7)}});
  const float mean = (96 * 1 + 32 * 5) / 128.0f;
  EXPECT_FLOAT_EQ(importance.find(expert(1, 2)).mean_squares[0], mean) << "saw none";
  EXPECT_FLOAT_EQ(importance.find(expert(1, 1)).mean_squares[1],
                  2 * (32 * 5 + Importance::kPriorRows * mean) / (32 + Importance::kPriorRows));
  EXPECT_FLOAT_EQ(importance.find("lm_head.weight").mean_squares[0], 7);
  EXPECT_EQ(importance.find("model.layers.2.mlp.experts.0.up_proj.weight").cols, 0);
  EXPECT_EQ(importance.find("model.layers.1.mlp.experts.0.down_proj.weight").cols, 0);
}

}  // namespace
}  // namespace fathom
