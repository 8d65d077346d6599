"""DeepSeekMoE 16B (model_type "deepseek") out of parts of transformers, which has no class of that name.

Its attention is Llama's (half-split rope, no biases), its expert layer is DeepseekV2's with greedy routing and
routed_scaling_factor 1. The two are put together here; tools/oracle/compare_llama.py holds the result against
llama.cpp, which does implement the family.
"""
import json
import pathlib

import torch
from safetensors.torch import load_file, save_file
from transformers import DeepseekV2Config, LlamaConfig, LlamaForCausalLM
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

# The keys of the released config.json that a tiny one does not set itself.
RELEASED_KEYS = dict(
    architectures=["DeepseekForCausalLM"], model_type="deepseek", attention_bias=False, attention_dropout=0.0,
    auto_map={"AutoConfig": "configuration_deepseek.DeepseekConfig", "AutoModel": "modeling_deepseek.DeepseekModel",
              "AutoModelForCausalLM": "modeling_deepseek.DeepseekForCausalLM"},
    aux_loss_alpha=0.001, hidden_act="silu", initializer_range=0.02, moe_layer_freq=1, norm_topk_prob=False,
    pretraining_tp=1, rope_scaling=None, rope_theta=10000, scoring_func="softmax", seq_aux=True,
    tie_word_embeddings=False, transformers_version="4.36.0", use_cache=True)
MOE_KEYS = ("hidden_size", "intermediate_size", "moe_intermediate_size", "n_routed_experts", "num_experts_per_tok",
            "n_shared_experts", "first_k_dense_replace")
LLAMA_KEYS = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads",
              "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "bos_token_id", "eos_token_id")


def build(config):
    model = LlamaForCausalLM(LlamaConfig(
        **{key: config[key] for key in LLAMA_KEYS}, attn_implementation="eager",
        rope_parameters=dict(rope_type="default", rope_theta=float(config.get("rope_theta", 10000)))))
    experts = DeepseekV2Config(**{key: config[key] for key in MOE_KEYS}, topk_method="greedy", n_group=1, topk_group=1,
                               num_attention_heads=config["num_attention_heads"], routed_scaling_factor=1.0,
                               experts_implementation="eager")
    for layer in model.model.layers[config["first_k_dense_replace"]:]:
        layer.mlp = DeepseekV2Moe(experts)
    return model


def to_checkpoint_names(state, config):
    """The names of the released files: one gate_proj, up_proj and down_proj an expert."""
    out = {}
    for name, value in state.items():
        if ".mlp.experts." not in name:
            out[name] = value.contiguous()
            continue
        prefix = name[:name.index("experts.") + len("experts.")]
        parts = {"down_proj": value}
        if name.endswith("gate_up_proj"):
            gate, up = value.chunk(2, dim=1)
            parts = {"gate_proj": gate, "up_proj": up}
        for part, stack in parts.items():
            for expert in range(config["n_routed_experts"]):
                out[f"{prefix}{expert}.{part}.weight"] = stack[expert].contiguous().clone()
    return out


def from_checkpoint_names(tensors, config):
    state = {name: value for name, value in tensors.items() if ".mlp.experts." not in name}
    for layer in range(config["first_k_dense_replace"], config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}.mlp.experts."
        stack = {part: torch.stack([tensors[f"{prefix}{expert}.{part}.weight"]
                                    for expert in range(config["n_routed_experts"])])
                 for part in ("gate_proj", "up_proj", "down_proj")}
        state[prefix + "gate_up_proj"] = torch.cat([stack["gate_proj"], stack["up_proj"]], dim=1)
        state[prefix + "down_proj"] = stack["down_proj"]
    return state


def save(model, config, folder):
    folder = pathlib.Path(folder)
    dtype = next(model.parameters()).dtype
    save_file(to_checkpoint_names(model.state_dict(), config), folder / "model.safetensors", metadata={"format": "pt"})
    written = RELEASED_KEYS | config | {"torch_dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(written, indent=2, sort_keys=True) + "\n")


def load(folder, dtype=torch.float32):
    folder = pathlib.Path(folder)
    config = json.loads((folder / "config.json").read_text())
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    model = build(config)
    model.load_state_dict(from_checkpoint_names(tensors, config), strict=True)
    return model.to(dtype).eval()
