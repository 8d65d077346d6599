#!/usr/bin/env python3
"""Element types by tensor: `fathom quantize --type NAME` against llama.cpp's own llama_model_quantize, for every mix.

    npm install --prefix DIR --ignore-scripts node-llama-cpp @node-llama-cpp/linux-x64
    tools/oracle/compare_llama_types.py --llama DIR --fathom build/release/fathom

Models of random weights, made here: of each family, of 27 layers (so that eighths and sixteenths differ), with rows that
are whole blocks of 256 and rows that are not, with grouped queries, and with eight experts. Exit code 1 when a tensor
has another type.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from llama_oracle import Llama

FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11,
              "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18,
              "Q2_K_S": 21, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32}
COMMON = {"vocab_size": 320, "hidden_size": 256, "num_hidden_layers": 27, "intermediate_size": 512,
          "max_position_embeddings": 128, "hidden_act": "silu", "rms_norm_eps": 1e-6, "num_attention_heads": 4,
          "num_key_value_heads": 4, "attention_bias": False, "rope_theta": 10000.0, "bos_token_id": 0, "eos_token_id": 1,
          "tie_word_embeddings": False, "torch_dtype": "float32"}
EXPERTS = {"n_routed_experts": 4, "n_shared_experts": 1, "num_experts_per_tok": 2, "moe_intermediate_size": 256,
           "first_k_dense_replace": 1, "moe_layer_freq": 1, "norm_topk_prob": False, "scoring_func": "softmax"}
LATENT = {"q_lora_rank": None, "kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64,
          "topk_method": "greedy", "n_group": 1, "topk_group": 1, "routed_scaling_factor": 1.0}
V2 = {**COMMON, **EXPERTS, **LATENT, "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2"}
SHAPES = {
    "v2": V2,
    "v2, narrow experts": {**V2, "moe_intermediate_size": 96},
    "v2, tied": {**V2, "tie_word_embeddings": True},
    "v2, eight experts": {**V2, "n_routed_experts": 8},
    "deepseek": {**COMMON, **EXPERTS, "architectures": ["DeepseekForCausalLM"], "model_type": "deepseek"},
    "deepseek, eight experts": {**COMMON, **EXPERTS, "n_routed_experts": 8, "architectures": ["DeepseekForCausalLM"],
                                "model_type": "deepseek"},
    "llama": {**COMMON, "architectures": ["LlamaForCausalLM"], "model_type": "llama"},
    "llama, grouped": {**COMMON, "num_key_value_heads": 1, "architectures": ["LlamaForCausalLM"],
                       "model_type": "llama"},
}


def tensors_of(fathom, path):
    out = subprocess.run([fathom, "inspect", path, "--tensors", "--json"], check=True, capture_output=True, text=True)
    return json.loads(out.stdout)["tensors"]


def types_of(fathom, path):
    return {t["name"]: t["dtype"] for t in tensors_of(fathom, path)}


def columns_of(fathom, path):
    """Of matrices: columns times matrices of a stack."""
    return {t["name"]: t["shape"][-1] * (t["shape"][0] if len(t["shape"]) == 3 else 1)
            for t in tensors_of(fathom, path) if len(t["shape"]) > 1}


def compare(fathom, llama, folder, source, name, importance):
    ours, theirs = folder / "ours.gguf", folder / "theirs.gguf"
    for path in (ours, theirs):
        path.unlink(missing_ok=True)
    given = ["--importance", folder / "none.gguf"] if importance else []
    subprocess.run([fathom, "quantize", "-q", "-m", source, "--type", name, "-o", ours, *given], check=True)
    llama.quantize(source, theirs, FILE_TYPES[name], columns_of(fathom, source) if importance else {})
    a, b = types_of(fathom, ours), types_of(fathom, theirs)
    if a.keys() != b.keys():
        return [f"other tensors: {sorted(a.keys() ^ b.keys())[:4]}"]
    return [f"{t}: {a[t]} and {b[t]}" for t in a if a[t] != b[t]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llama", required=True)
    parser.add_argument("--fathom", default="build/release/fathom")
    args = parser.parse_args()
    llama, failed = Llama(args.llama), 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for shape, config in SHAPES.items():
            (folder / "config.json").write_text(json.dumps(config))
            source = folder / "source.gguf"
            source.unlink(missing_ok=True)
            subprocess.run([args.fathom, "synth", "-q", "--shape", folder / "config.json", "--type", "f32", source],
                           check=True)
            (folder / "text").write_text("Some words, so that there is importance data of something at all.\n" * 4)
            for importance in (False, True):
                if importance:
                    for path in (folder / "none.gguf", folder / "scrap.gguf"):
                        path.unlink(missing_ok=True)
                    subprocess.run([args.fathom, "quantize", "-q", "-m", source, "--type", "q8_0", "-o",
                                    folder / "scrap.gguf", "--calibration", folder / "text", "--save-importance",
                                    folder / "none.gguf"], check=True)
                for mix in FILE_TYPES:
                    if mix == "Q2_K_S" and not importance:
                        continue  # llama.cpp refuses it without importance data
                    differences = compare(args.fathom, llama, folder, source, mix, importance)
                    failed += bool(differences)
                    print(f"{shape:24} {mix:7} {'with importance' if importance else '':16}",
                          "same" if not differences else f"{len(differences)} differ: {differences[:3]}", flush=True)
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
