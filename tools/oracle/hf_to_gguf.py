#!/usr/bin/env python3
"""Writes a GGUF file from a tiny Hugging Face folder, with PyPI gguf: the independent twin of `fathom convert`.

    python tools/oracle/hf_to_gguf.py FOLDER OUT.gguf [--type f32|f16|bf16] [--mla split|joined]

For the oracles only: no vocabulary (tokenizer.ggml.model "none"), all tensors in memory. Keys and shapes are those that
llama.cpp's own converter writes for deepseek2, deepseek and llama; --mla joined is the older deepseek2 layout with
attn_kv_b and no *_mla keys.
"""
import argparse
import json
import pathlib

import gguf
import numpy as np
import torch
from safetensors.torch import load_file

TYPES = dict(f32=gguf.GGMLQuantizationType.F32, f16=gguf.GGMLQuantizationType.F16, bf16=gguf.GGMLQuantizationType.BF16)
ARCHITECTURES = dict(deepseek_v2="deepseek2", deepseek="deepseek", llama="llama")
BLOCK_NAMES = {
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
    "self_attn.q_a_proj": "attn_q_a", "self_attn.q_a_layernorm": "attn_q_a_norm", "self_attn.q_b_proj": "attn_q_b",
    "self_attn.kv_a_proj_with_mqa": "attn_kv_a_mqa", "self_attn.kv_a_layernorm": "attn_kv_a_norm",
    "self_attn.kv_b_proj": "attn_kv_b", "mlp.gate": "ffn_gate_inp", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down", "mlp.shared_experts.gate_proj": "ffn_gate_shexp",
    "mlp.shared_experts.up_proj": "ffn_up_shexp", "mlp.shared_experts.down_proj": "ffn_down_shexp",
}
TOP_NAMES = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}


def read_folder(folder):
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return config, {name: value.float().numpy() for name, value in tensors.items()}


def rope_of(config):
    """(theta, scaling or None) from either layout of config.json."""
    old = (config.get("rope_scaling") or {}) | {"rope_theta": config.get("rope_theta")}
    rope = config.get("rope_parameters") or old
    kind = rope.get("rope_type") or rope.get("type") or "default"
    return float(rope.get("rope_theta") or 10000.0), None if kind == "default" else rope


def to_interleaved(weight, heads):
    """Rows of q or k from halves that rotate together to neighbours that do: what GGUF holds for llama and deepseek."""
    return weight.reshape(heads, 2, weight.shape[0] // heads // 2, -1).swapaxes(1, 2).reshape(weight.shape)


def common_keys(writer, config):
    theta, scaling = rope_of(config)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(theta)
    if scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(float(scaling["factor"]))
        writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
        if scaling.get("mscale_all_dim"):
            writer.add_rope_scaling_yarn_log_mul(0.1 * scaling["mscale_all_dim"])
        if scaling.get("beta_fast") and scaling["beta_fast"] != 32:
            writer.add_rope_scaling_yarn_beta_fast(float(scaling["beta_fast"]))
    writer.add_tokenizer_model("none")


def expert_keys(writer, config, groups):
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_weights_scale(float(config.get("routed_scaling_factor", 1.0)))
    if groups:
        writer.add_expert_weights_norm(bool(config.get("norm_topk_prob")))
        writer.add_expert_gating_func(gguf.ExpertGatingFuncType.SOFTMAX)
        if config.get("topk_method") == "group_limited_greedy":
            writer.add_expert_group_count(config["n_group"])
            writer.add_expert_group_used_count(config["topk_group"])


def mla_keys(writer, config, joined):
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    writer.add_q_lora_rank(config.get("q_lora_rank") or 0)  # llama.cpp demands the key unless there are 26 or 27 layers
    writer.add_kv_lora_rank(config["kv_lora_rank"])
    writer.add_rope_dimension_count(rope)
    if joined:
        writer.add_head_count_kv(config["num_attention_heads"])
        writer.add_key_length(nope + rope)
        writer.add_value_length(value)
        return
    writer.add_head_count_kv(1)  # the latent is one key head
    writer.add_key_length(config["kv_lora_rank"] + rope)
    writer.add_value_length(config["kv_lora_rank"])
    writer.add_key_length_mla(nope + rope)
    writer.add_value_length_mla(value)


def write_keys(writer, config, joined):
    common_keys(writer, config)
    family = config["model_type"]
    if family == "deepseek_v2":
        mla_keys(writer, config, joined)
    else:
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_rope_dimension_count(head_dim)
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    if family != "llama":
        expert_keys(writer, config, groups=family == "deepseek_v2")


def gguf_tensors(config, tensors, joined):
    """(name, array) in GGUF's names, shapes and row order."""
    for source, target in TOP_NAMES.items():
        if source + ".weight" in tensors:
            yield target + ".weight", tensors[source + ".weight"]
    heads = config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        prefix, block = f"model.layers.{layer}.", f"blk.{layer}."
        for source, target in BLOCK_NAMES.items():
            weight = tensors.get(prefix + source + ".weight")
            if weight is None:
                continue
            if config["model_type"] != "deepseek_v2" and target in ("attn_q", "attn_k"):
                weight = to_interleaved(weight, heads if target == "attn_q" else config["num_key_value_heads"])
            if target == "attn_kv_b" and not joined:
                per_head = weight.reshape(heads, -1, config["kv_lora_rank"])
                nope = config["qk_nope_head_dim"]
                yield block + "attn_k_b.weight", np.ascontiguousarray(per_head[:, :nope].swapaxes(1, 2))
                yield block + "attn_v_b.weight", np.ascontiguousarray(per_head[:, nope:])
                continue
            yield block + target + ".weight", weight
        for part in ("gate", "up", "down"):
            stack = [tensors.get(f"{prefix}mlp.experts.{expert}.{part}_proj.weight")
                     for expert in range(config.get("n_routed_experts") or 0)]
            if stack and stack[0] is not None:
                yield f"{block}ffn_{part}_exps.weight", np.stack(stack)


def convert(folder, out, kind="f32", joined=False):
    config, tensors = read_folder(pathlib.Path(folder))
    writer = gguf.GGUFWriter(str(out), ARCHITECTURES[config["model_type"]])
    write_keys(writer, config, joined)
    for name, array in gguf_tensors(config, tensors, joined):
        plain = array.ndim == 1 or "ffn_gate_inp" in name  # norms and routers stay float32
        if plain or kind == "f32":
            writer.add_tensor(name, array.astype(np.float32))
        else:
            writer.add_tensor(name, gguf.quantize(array, TYPES[kind]), raw_shape=None, raw_dtype=TYPES[kind])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--type", choices=TYPES, default="f32")
    parser.add_argument("--mla", choices=("split", "joined"), default="split")
    arguments = parser.parse_args()
    convert(arguments.folder, arguments.out, arguments.type, arguments.mla == "joined")


if __name__ == "__main__":
    main()
