#include "checkpoint/names.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Names, HuggingFaceAndGgufNamesMapToEachOther) {
  const struct {
    const char *hf, *gguf;
  } pairs[] = {
      {"model.embed_tokens.weight", "token_embd.weight"},
      {"model.norm.weight", "output_norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
      {"model.layers.59.self_attn.kv_a_proj_with_mqa.weight", "blk.59.attn_kv_a_mqa.weight"},
      {"model.layers.1.self_attn.k_b_proj.weight", "blk.1.attn_k_b.weight"},
      {"model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp.weight"},
      {"model.layers.2.mlp.gate.e_score_correction_bias", "blk.2.exp_probs_b.bias"},
      {"model.layers.0.mlp.gate_proj.weight", "blk.0.ffn_gate.weight"},
      {"model.layers.1.mlp.shared_experts.down_proj.weight", "blk.1.ffn_down_shexp.weight"},
  };
  for (const auto& p : pairs) {
    const auto from_hf = parse_hf_name(p.hf), from_gguf = parse_gguf_name(p.gguf);
    ASSERT_TRUE(from_hf && from_gguf) << p.hf;
    EXPECT_EQ(*from_hf, *from_gguf);
    EXPECT_EQ(gguf_name(*from_hf), p.gguf);
    EXPECT_EQ(hf_name(*from_gguf), p.hf);
  }
}

TEST(Names, ExpertsOfALayerShareOneGgufTensor) {
  const auto name = parse_hf_name("model.layers.3.mlp.experts.159.up_proj.weight");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->layer, 3);
  EXPECT_EQ(name->expert, 159);
  EXPECT_EQ(gguf_name(*name), "blk.3.ffn_up_exps.weight");
  EXPECT_EQ(hf_name(*name), "model.layers.3.mlp.experts.159.up_proj.weight");
  EXPECT_EQ(parse_gguf_name("blk.3.ffn_up_exps.weight")->part, name->part);
}

TEST(Names, WhatIsNotInTheTableIsNoName) {
  for (const char* text : {"", ".weight", "model.layers..mlp.gate.weight", "model.layers.01.mlp.gate.weight",
                           "model.layers.-1.mlp.gate.weight", "model.layers.1234567.mlp.gate.weight",
                           "model.layers.1.mlp.gate.bias", "model.layers.1.mlp.gate.e_score_correction_bias.weight",
                           "model.layers.1.mlp.gate", "lm_head", "model.layers.1.mlp.experts.x.up_proj.weight",
                           "model.layers.1.mlp.experts.up_proj.weightx", "model.layers.1", "blk.0.attn_norm.weight"})
    EXPECT_FALSE(parse_hf_name(text)) << text;
  for (const char* text : {"", "blk.0.exp_probs_b", "blk.0.exp_probs_b.weight", "blk.0.attn_norm.bias", "output.bias",
                           "rope_freqs.weight", "blk.x.attn_norm.weight", "model.norm.weight"})
    EXPECT_FALSE(parse_gguf_name(text)) << text;
}

}  // namespace
}  // namespace fathom
