#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>

#include "convert/quantize/importance_file.h"
#include "convert/quantize_fixture.h"
#include "load/text.h"
#include "model/transformer.h"
#include "quant/decode.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::Quantize;

TEST_F(Quantize, EveryTypeRunsAndIsNearerTheMoreBitsItHas) {
  const Model exact = load_model(folder_ / "f32");
  const auto logits = [&](const Model& m) {
    Network n = make_network(m.config, m.weights);
    Arena arena;
    Context ctx{.pool = pool_, .arena = arena};
    KvCache cache(cache_layout(m.config, CacheType::f32), 8);
    SequenceCache sequence;
    Batch batch;
    const std::vector<int32_t> ids = {382, 5, 80, 200, 7, 9, 101, 3};
    batch.add(cache, sequence, ids, Batch::Logits::last);
    std::vector<float> out(static_cast<size_t>(m.config.vocab_size));
    transformer_forward(ctx, n, batch, cache, {out.data(), 1, m.config.vocab_size});
    return out;
  };
  const auto want = logits(exact);
  double before = 1e9;
  for (const char* type : {"IQ4_XS", "q5", "q8", "f32"}) {
    const std::string out = std::string(type) + ".gguf";
    const QuantizeSummary summary = quantize(out.c_str(), options(type));
    uint64_t bytes = 0;
    int64_t elements = 0;
    const auto written = open_tensors(folder_ / out);
    for (const TensorInfo& t : written->tensors()) bytes += t.bytes.size(), elements += t.elements();
    EXPECT_EQ(summary.bytes, bytes) << type;
    EXPECT_DOUBLE_EQ(summary.bits_per_weight(), 8.0 * static_cast<double>(bytes) / static_cast<double>(elements));
    const auto got = logits(load_model(folder_ / out));
    double error = 0;
    for (size_t i = 0; i < want.size(); ++i) error += std::pow(double{got[i]} - want[i], 2);
    EXPECT_LT(error, before / 2) << type;
    before = error;
  }
  EXPECT_LT(before, 1e-6) << "f32 loses nothing";
}

TEST_F(Quantize, RulesDecideBeforeTheTypeAndTheFirstOfThem) {
  quantize("m.gguf", options("q4_0", {"lm_head.weight=q8_0", "*.self_attn.q_proj.*=q5_k", "*self_attn*=q6_k",
                                      "model.layers.?.mlp.experts.*.down_proj.weight=q5_k"}));
  EXPECT_EQ(type_of("m.gguf", "output.weight"), DType::q8_0);
  EXPECT_EQ(type_of("m.gguf", "blk.1.attn_q.weight"), DType::q5_k);
  EXPECT_EQ(type_of("m.gguf", "blk.1.attn_output.weight"), DType::q6_k);
  EXPECT_EQ(type_of("m.gguf", "blk.1.attn_k_b.weight"), DType::q8_0) << "rows of 64: what q6_k falls back to";
  EXPECT_EQ(type_of("m.gguf", "blk.1.attn_kv_a_norm.weight"), DType::f32) << "no matrix";
  EXPECT_EQ(type_of("m.gguf", "blk.1.ffn_down_exps.weight"), DType::q5_1);
  EXPECT_EQ(type_of("m.gguf", "blk.1.ffn_up_exps.weight"), DType::q4_0);
  EXPECT_EQ(type_of("m.gguf", "blk.1.ffn_gate_inp.weight"), DType::f32);
}

TEST_F(Quantize, RulesMatchGgufNamesToo) {
  quantize("m.gguf", options("q4_0", {"blk.*.ffn_down_exps.weight=Q8_0", "output.weight=Q5_K"}));
  EXPECT_EQ(type_of("m.gguf", "blk.1.ffn_down_exps.weight"), DType::q8_0);
  EXPECT_EQ(type_of("m.gguf", "output.weight"), DType::q5_k);
}

TEST_F(Quantize, TypesThatStandInForOthersAreReported) {
  const QuantizeSummary s = quantize("m.gguf", options("q4_k", {"*.experts.*.down_proj.*=q6_k"}));
  EXPECT_EQ(s.fallbacks.size(), 2u);
  EXPECT_EQ(s.fallbacks.at({"q4_k", "q5_0"}).front(), "model.layers.0.self_attn.k_b_proj.weight");
  EXPECT_EQ(s.fallbacks.at({"q6_k", "q8_0"}).front(), "model.layers.1.mlp.experts.0.down_proj.weight");
  EXPECT_TRUE(quantize("n.gguf", options("q4_0")).fallbacks.empty());
}

// A number that no block can hold, in the stored f32 weights.
TEST_F(Quantize, NumbersThatAreNotFiniteAreRefusedByTheNameOfTheirTensor) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity(), 3e38f}) {
    size_t at = 0;
    {
      const auto source = open_tensors(folder_ / "f32");
      const auto& tensor = *source->find("model.layers.0.self_attn.o_proj.weight");
      at = static_cast<size_t>(tensor.bytes.data() - source->files()[0].bytes().data()) + 4 * 256 * 5;
    }
    std::fstream file(folder_ / "f32" / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.write(reinterpret_cast<const char*>(&bad), sizeof bad);
    file.close();
    for (const char* type : {"q4_0", "IQ4_XS", "iq4_nl", "q4_k", "q4"})
      EXPECT_TRUE(
          contains(refusal("x.gguf", options(type)), "tensor model.layers.0.self_attn.o_proj.weight, row 5: holds"))
          << type << " " << bad;
    EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
  }
}

TEST_F(Quantize, KvBProjNamesBothOfItsParts) {
  quantize("m.gguf", options("q4_0", {"*.kv_b_proj.weight=q8_0"}));
  EXPECT_EQ(type_of("m.gguf", "blk.0.attn_k_b.weight"), DType::q8_0);
  EXPECT_EQ(type_of("m.gguf", "blk.0.attn_v_b.weight"), DType::q8_0);
}

TEST_F(Quantize, WithoutImportanceGgufsTypesAreThePlainBytes) {
  quantize("a.gguf", options("q4_0"));
  ThreadPool pool(1);
  convert_model(pool, folder_ / "f32", folder_ / "b.gguf", {.type = parse_written_type("q4_0")}, {});
  EXPECT_EQ(test::read_text(folder_ / "a.gguf"), test::read_text(folder_ / "b.gguf"));
}

TEST_F(Quantize, TheBytesDoNotDependOnThreads) {
  quantize("one.gguf", calibrated("q4"), 1);
  quantize("three.gguf", calibrated("q4"), 3);
  EXPECT_EQ(test::read_text(folder_ / "one.gguf"), test::read_text(folder_ / "three.gguf"));
}

TEST_F(Quantize, ImportanceDataSavedAndReadGivesTheSameFile) {
  QuantizeOptions first = calibrated("q4_k"), second = options("q4_k");
  first.save_importance = folder_ / "importance.safetensors";
  second.importance = first.save_importance;
  quantize("a.gguf", first);
  quantize("b.gguf", second);
  EXPECT_EQ(test::read_text(folder_ / "a.gguf"), test::read_text(folder_ / "b.gguf"));
  quantize("c.gguf", options("q4_k"));
  EXPECT_NE(test::read_text(folder_ / "a.gguf"), test::read_text(folder_ / "c.gguf"));
}

TEST_F(Quantize, EveryMatrixButTheEmbeddingHasImportanceData) {
  const QuantizeSummary s = quantize("a.gguf", calibrated("q4_0"));
  EXPECT_EQ(s.without_importance, std::vector<std::string>{"model.embed_tokens.weight"});
}

TEST_F(Quantize, RefusesWhatItCannotDoBeforeAnyWork) {
  quantize("q.gguf", options("q4_0"));
  EXPECT_TRUE(contains(refusal("x.gguf", options("q4_0"), "q.gguf"), "is q4_0 already"));
  EXPECT_TRUE(contains(refusal("x.gguf", options("q4_0"), "q.gguf"), "--requantize"));
  QuantizeOptions again = options("q5_0");
  again.requantize = true;
  EXPECT_EQ(refusal("again.gguf", again, "q.gguf"), "");
  EXPECT_TRUE(contains(refusal("folder", options("q4_0")), "end in .gguf"));
  EXPECT_TRUE(contains(refusal("q.gguf", options("q4_0")), "exists already"));
  EXPECT_TRUE(contains(refusal("q.gguf", again, "q.gguf"), "exists already")) << "the output is the input";
  EXPECT_TRUE(contains(refusal("x.gguf", options("q4_0", {"*.q_projj.*=q8_0"})), "matches no matrix"));
  EXPECT_TRUE(contains(refusal("x.gguf", options("q4_0", {"*norm.weight=q8_0"})), "matches no matrix"));
  EXPECT_TRUE(contains(refusal("x.gguf", options("q4_0", {"*.experts.2.*=q8_0"})), "matches 1 of the 4 experts"));
  QuantizeOptions both = calibrated("q4_0");
  both.importance = folder_ / "text";
  EXPECT_TRUE(contains(refusal("x.gguf", both), "give one of them"));
  EXPECT_FALSE(fs::exists(folder_ / "x.gguf"));
}

// Against sums over the activations, made here from the pieces of the network.
TEST_F(Quantize, CollectsMeanSquaresOfTheInputs) {
  const Model model = load_model(folder_ / "f32");
  const std::vector<int32_t> ids = {1, 5, 80, 200, 7};
  const Importance importance = collect_importance(pool_, model, ids, 382, {.window = 3, .max_tokens = 4}, {});
  // Of the first layer's kv_a_proj_with_mqa: the normed embeddings of 382 (bos), 5, 80 and 382 (the second window's).
  std::vector<double> want(256);
  std::vector<float> weight(256), x(256);
  decode_row(model.weights.layers[0].input_layernorm, 0, weight.data());
  for (int32_t id : {382, 5, 80, 382}) {
    decode_row(model.weights.embed_tokens, id, x.data());
    double mean = 0;
    for (float v : x) mean += double{v} * v / 256;
    for (size_t i = 0; i < 256; ++i) want[i] += std::pow(x[i] / std::sqrt(mean + 1e-6) * weight[i], 2) / 4;
  }
  const auto& got = importance.tensors().at("model.layers.0.self_attn.kv_a_proj_with_mqa.weight");
  EXPECT_EQ(got.rows, 4);
  for (size_t i = 0; i < 256; ++i) EXPECT_NEAR(got.mean_squares[i], want[i], 1e-5 * want[i]) << i;
  // The columns of k_b_proj, in each head: q_n = rows of q_proj times the same input. Two tokens that are alike.
  const auto& k_b = importance.tensors().at("model.layers.0.self_attn.k_b_proj.weight");
  EXPECT_EQ(k_b.groups, 4);
  EXPECT_EQ(k_b.cols, 64);
  const Importance one = collect_importance(pool_, model, ids, 382, {.window = 1, .max_tokens = 1}, {});
  const auto& q = one.tensors().at("model.layers.0.self_attn.k_b_proj.weight").mean_squares;
  const auto& in = one.tensors().at("model.layers.0.self_attn.q_proj.weight").mean_squares;
  decode_row(model.weights.embed_tokens, 382, x.data());
  std::vector<float> row(256);
  decode_row(model.weights.layers[0].self_attn.index() == 0
                 ? std::get<MlaWeights>(model.weights.layers[0].self_attn).q_proj
                 : Weight{},
             2 * 72 + 3, row.data());  // head 2 (N + R = 72), column 3
  double dot = 0;
  for (size_t i = 0; i < 256; ++i) dot += row[i] * std::copysign(std::sqrt(double{in[i]}), double{x[i]} * weight[i]);
  EXPECT_NEAR(q[2 * 64 + 3], dot * dot, 1e-4 * dot * dot);
}

}  // namespace
}  // namespace fathom
