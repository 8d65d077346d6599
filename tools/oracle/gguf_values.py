"""What a GGUF file's tensors are in a Hugging Face model, by PyPI gguf alone: the way back from hf_to_gguf.py.

Every block format is widened by gguf.dequantize, and the values go into a model of transformers, which then says what
the logits of the file are. Both layouts of kv_b and stacked experts are undone; rows of q and k of the families without
latent attention are put back into halves.
"""
import functools
import pathlib
import re

import gguf
import numpy as np
import torch

import deepseek_moe
import hf_to_gguf
from oracle_common import load_model

PARTS = {target: source for source, target in hf_to_gguf.BLOCK_NAMES.items()}
TOP = {target + ".weight": source + ".weight" for source, target in hf_to_gguf.TOP_NAMES.items()}


def files_of(path):
    """The file, or all files of a split model whose first one it is."""
    path = pathlib.Path(path).resolve()
    found = re.fullmatch(r"(.*)-\d{5}-of-(\d{5})\.gguf", path.name)
    return sorted(path.parent.glob(f"{found[1]}-*-of-{found[2]}.gguf")) if found else [path]


@functools.lru_cache(maxsize=4)
def opened(file):
    return gguf.GGUFReader(file)  # seconds, with a vocabulary of 128815 strings


def raw_tensors(path):
    out = {}
    for file in files_of(path):
        for tensor in opened(file).tensors:
            shape = [int(n) for n in reversed(tensor.shape)]
            values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)
            out[tensor.name] = torch.from_numpy(np.array(values, dtype=np.float32))
    return out


def from_interleaved(weight, heads):
    return weight.reshape(heads, weight.shape[0] // heads // 2, 2, -1).transpose(1, 2).reshape(weight.shape)


def joined_kv_b(raw, block, heads):
    """llama.cpp writes one matrix for each head, ik_llama.cpp the same rows as one matrix of all heads."""
    keys, values = (raw[f"{block}attn_{part}_b.weight"] for part in "kv")
    keys, values = (part.reshape(heads, -1, part.shape[-1]) for part in (keys, values))
    return torch.cat([keys.transpose(1, 2), values], dim=1).reshape(-1, values.shape[2])


def named_tensors(raw, config):
    """Tensors under the names of a Hugging Face folder, one for each expert."""
    out = {source: raw[target] for target, source in TOP.items() if target in raw}
    for layer in range(config["num_hidden_layers"]):
        prefix, block = f"model.layers.{layer}.", f"blk.{layer}."
        for target, source in PARTS.items():
            weight = raw.get(f"{block}{target}.weight")
            if weight is None:
                continue
            if config["model_type"] != "deepseek_v2" and target in ("attn_q", "attn_k"):
                heads = config["num_attention_heads" if target == "attn_q" else "num_key_value_heads"]
                weight = from_interleaved(weight, heads)
            out[f"{prefix}{source}.weight"] = weight
        if block + "attn_k_b.weight" in raw:
            out[prefix + "self_attn.kv_b_proj.weight"] = joined_kv_b(raw, block, config["num_attention_heads"])
        for part in ("gate", "up", "down"):
            for expert, weight in enumerate(raw.get(f"{block}ffn_{part}_exps.weight", ())):
                out[f"{prefix}mlp.experts.{expert}.{part}_proj.weight"] = weight
    return out


def choose_among_all_experts(model):
    """What a file without groups of experts says: ik_llama.cpp's converter does not write V2's."""
    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate") and hasattr(layer.mlp.gate, "topk_method"):
            layer.mlp.gate.topk_method = "greedy"


def model_of(path, base, config):
    """The base's model with the values of the file in place of its own."""
    tensors = named_tensors(raw_tensors(path), config)
    model = load_model(base)
    state = deepseek_moe.from_checkpoint_names(tensors, config) if "n_routed_experts" in config else tensors
    own = model.state_dict()
    missing = [name for name in own if name not in state and not (name == "lm_head.weight" and own[name].data_ptr() ==
                                                                  own["model.embed_tokens.weight"].data_ptr())]
    if missing:
        raise SystemExit(f"{path}: no values for {missing[:3]}")
    if "deepseek2.expert_group_count" not in opened(files_of(path)[0]).fields:
        choose_among_all_experts(model)
    model.load_state_dict({name: value.reshape(own[name].shape) for name, value in state.items() if name in own},
                          strict=False)
    return model


def field(reader, key):
    found = reader.get_field(key)
    return None if found is None else found.contents()


def stop_ids(path):
    """The ids at which llama.cpp ends a text."""
    reader = opened(files_of(path)[0])
    keys = [field(reader, f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot", "eom")]
    return sorted({int(key) for key in keys if key is not None})


# llama.cpp's converter takes V3's vocabulary for the first of two models that have it.
SAME_RULES = {"joyai-llm": "deepseek-v3"}


def text_keys(path):
    """Everything that a run of text depends on: the vocabulary, its settings, templates, sampling defaults."""
    reader = opened(files_of(path)[0])
    found = {key: field(reader, key) for key in reader.fields
             if key.startswith("tokenizer.") or key.startswith("general.sampling.")}
    pre = found.get("tokenizer.ggml.pre")
    return found | {"tokenizer.ggml.pre": SAME_RULES.get(pre, pre)}


def folder_type(path):
    """What `fathom convert` is told when a folder has no such element type: float32."""
    plain = ("F32", "F16", "BF16")
    held = {tensor.tensor_type.name for file in files_of(path) for tensor in opened(file).tensors}
    return () if held <= set(plain) else ("--type", "f32")
