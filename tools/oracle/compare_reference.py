#!/usr/bin/env python3
"""Holds a fathom binary against DeepSeek's own inference code, inference/model.py of its V3 repository.

    python tools/oracle/compare_reference.py --model-py PATH/inference/model.py --fathom build/release/fathom
    python tools/oracle/compare_reference.py --model-py PATH/inference/model.py --write-goldens

The file is read where it lies and no line of it is kept here. It wants a module `kernel` (GPU kernels for FP8), for
which a stand-in is given, and one process; its defaults of bfloat16 are set to float32.

Two checkpoints: one Lite-shaped (no q_lora_rank, greedy, mscale 0.707), one V2-shaped (q_lora_rank, 3 of 8 groups,
factor 16, mscale 0.707). Both run with max_seq_len above original_seq_len, since the reference switches YaRN and its
softmax scale off otherwise. Its absorbed and its naive attention are both run. It gives the logits of the last position
only, so every prefix of a prompt is run.

--write-goldens puts them under tests/golden/models/reference_*, in the format of make_fixtures.py.
"""
import argparse
import importlib.util
import json
import pathlib
import shutil
import sys
import tempfile
import types

import numpy as np
import torch

import make_fixtures
from oracle_common import Fathom, RELATIVE_TOLERANCE, load_model, logits_of, relative_difference, write_json

SHAPES = {
    "reference_lite": make_fixtures.Fixture(
        "Lite-shaped, by DeepSeek's own inference code", make_fixtures.LITE | dict(vocab_size=128), long_prompt=80),
    "reference_v2": make_fixtures.Fixture(
        "V2-shaped with 3 of 8 groups, by DeepSeek's own inference code", make_fixtures.V2, layout="rope_scaling",
        long_prompt=80),
}

RENAMED = dict(embed_tokens="embed", self_attn="attn", mlp="ffn", input_layernorm="attn_norm",
               post_attention_layernorm="ffn_norm", q_proj="wq", q_a_proj="wq_a", q_a_layernorm="q_norm",
               q_b_proj="wq_b", kv_a_proj_with_mqa="wkv_a", kv_a_layernorm="kv_norm", kv_b_proj="wkv_b", o_proj="wo",
               gate_proj="w1", down_proj="w2", up_proj="w3", lm_head="head")


def import_reference(path):
    """The module, with its FP8 kernels replaced by functions that refuse: these checkpoints hold no FP8."""
    def refuse(*_arguments, **_options):
        raise RuntimeError("an FP8 kernel was called for a float32 checkpoint")
    kernel = types.ModuleType("kernel")
    kernel.act_quant = kernel.weight_dequant = kernel.fp8_gemm = refuse
    sys.modules["kernel"] = kernel
    spec = importlib.util.spec_from_file_location("deepseek_reference", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["deepseek_reference"] = module
    spec.loader.exec_module(module)
    return module


def arguments_of(module, config):
    rope = config["rope_parameters"]
    grouped = config["topk_method"] == "group_limited_greedy"
    return module.ModelArgs(
        max_batch_size=1, max_seq_len=4 * rope["original_max_position_embeddings"], vocab_size=config["vocab_size"],
        dim=config["hidden_size"], inter_dim=config["intermediate_size"], moe_inter_dim=config["moe_intermediate_size"],
        n_layers=config["num_hidden_layers"], n_dense_layers=config["first_k_dense_replace"],
        n_heads=config["num_attention_heads"], n_routed_experts=config["n_routed_experts"],
        n_shared_experts=config["n_shared_experts"], n_activated_experts=config["num_experts_per_tok"],
        n_expert_groups=config["n_group"] if grouped else 1, n_limited_groups=config["topk_group"] if grouped else 1,
        route_scale=config["routed_scaling_factor"], q_lora_rank=config["q_lora_rank"] or 0,
        kv_lora_rank=config["kv_lora_rank"], qk_nope_head_dim=config["qk_nope_head_dim"],
        qk_rope_head_dim=config["qk_rope_head_dim"], v_head_dim=config["v_head_dim"],
        original_seq_len=rope["original_max_position_embeddings"], rope_theta=rope["rope_theta"],
        rope_factor=rope["factor"], beta_fast=rope["beta_fast"], beta_slow=rope["beta_slow"],
        mscale=rope["mscale_all_dim"])


def renamed(tensors):
    """The reference's names: its own convert.py drops "model." and replaces one part of each name."""
    out = {}
    for name, value in tensors.items():
        parts = name.removeprefix("model.").split(".")
        out[".".join(RENAMED.get(part, part) for part in parts)] = value.float()
    return out


def build_reference(module, config, tensors, attention):
    module.attn_impl = attention
    torch.set_default_dtype(torch.float32)
    # Transformer.__init__ sets Linear.dtype to bfloat16 or FP8; every weight is made float32 again afterwards.
    model = module.Transformer(arguments_of(module, config)).float()
    missing, unexpected = model.load_state_dict(renamed(tensors), strict=False)
    buffers = {name for name in missing if name.endswith("_cache")}
    if unexpected or set(missing) - buffers:
        raise SystemExit(f"names do not match: missing {sorted(set(missing) - buffers)}, unexpected {unexpected}")
    return model.eval()


@torch.no_grad()
def reference_logits(model, ids):
    """float32 (len(ids), vocab_size): one prefill per prefix."""
    rows = [model(torch.tensor([ids[:n]]), 0)[0].float().numpy() for n in range(1, len(ids) + 1)]
    return np.stack(rows)


@torch.no_grad()
def reference_greedy(model, ids, n):
    """n greedy tokens through the reference's own cache, and the smallest lead."""
    row, chosen, lead = model(torch.tensor([ids]), 0)[0], [], float("inf")
    while True:
        best = row.topk(2)
        lead = min(lead, float(best.values[0] - best.values[1]) / float(row.abs().max()))
        chosen.append(int(best.indices[0]))
        if len(chosen) == n:
            return chosen, lead
        row = model(torch.tensor([[chosen[-1]]]), len(ids) + len(chosen) - 1)[0]


def checkpoint_tensors(folder):
    from safetensors.torch import load_file
    return load_file(folder / "model.safetensors")


def evaluate(module, fixture, folder, prompts, n_greedy):
    """(logits per prompt, greedy per prompt, smallest lead), after both attention forms agreed."""
    tensors = checkpoint_tensors(folder)
    absorbed = build_reference(module, fixture.config, tensors, "absorb")
    tables = [reference_logits(absorbed, ids) for ids in prompts]
    greedy = [reference_greedy(absorbed, ids, n_greedy) for ids in prompts]
    naive = build_reference(module, fixture.config, tensors, "naive")
    for ids, table in zip(prompts, tables):
        difference, position = relative_difference(reference_logits(naive, ids), table)
        if difference > RELATIVE_TOLERANCE:
            raise SystemExit(f"the reference's two attention forms differ by {difference:.1e} at position {position}")
    return tables, [tokens for tokens, _lead in greedy], min(lead for _tokens, lead in greedy)


def write_goldens(module, into):
    for number, (name, fixture) in enumerate(SHAPES.items()):
        for seed in range(50000 + 1000 * number, 50200 + 1000 * number):
            with tempfile.TemporaryDirectory() as scratch:
                folder = pathlib.Path(scratch) / name
                folder.mkdir()
                expected, _why = make_fixtures.attempt(name, fixture, seed, folder)
                if expected is None:
                    continue
                prompts = [prompt["ids"] for prompt in expected["prompts"]]
                tables, greedy, lead = evaluate(module, fixture, folder, prompts, make_fixtures.GREEDY_TOKENS)
                if lead < make_fixtures.MIN_LEAD:
                    continue
                for prompt, table, tokens in zip(expected["prompts"], tables, greedy):
                    prompt["greedy"] = tokens
                    if "logits" in prompt:
                        np.save(folder / prompt["logits"], table)
                expected["oracle"] = "inference/model.py of github.com/deepseek-ai/DeepSeek-V3 at commit 9b4e978"
                expected["versions"].pop("transformers")
                write_json(folder / "expected.json", expected)
                shutil.rmtree(into / name, ignore_errors=True)
                shutil.copytree(folder, into / name)
                for file in (into / name).iterdir():
                    file.chmod(0o644)
                print(f"{name}: seed {seed}, {json.dumps(expected['proof'])}")
                break


def compare(module, fathom, models):
    failed = 0
    for name, fixture in SHAPES.items():
        folder = models / name
        expected = json.loads((folder / "expected.json").read_text())
        prompts = [prompt["ids"] for prompt in expected["prompts"]]
        tables, greedy, _lead = evaluate(module, fixture, folder, prompts, make_fixtures.GREEDY_TOKENS)
        theirs = load_model(folder)
        for number, (ids, table, tokens) in enumerate(zip(prompts, tables, greedy)):
            ours = relative_difference(fathom.logits(folder, ids), table)[0]
            absorbed = relative_difference(fathom.logits(folder, ids, "--chunk", 1), table)[0]
            library = relative_difference(logits_of(theirs, ids), table)[0]
            same = fathom.greedy(folder, ids, len(tokens)) == tokens
            passed = max(ours, absorbed) <= RELATIVE_TOLERANCE and same
            failed += not passed
            print(f"{name}, prompt {number} of {len(ids)}: fathom {ours:.2e}, token by token {absorbed:.2e}, "
                  f"transformers {library:.2e}; greedy tokens {'identical' if same else 'DIFFER'}"
                  f"{'' if passed else '  FAILED'}")
    return failed


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model-py", type=pathlib.Path, required=True)
    parser.add_argument("--fathom", type=pathlib.Path)
    parser.add_argument("--models", type=pathlib.Path, default=root / "tests/golden/models")
    parser.add_argument("--write-goldens", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    module = import_reference(arguments.model_py)
    if arguments.write_goldens:
        write_goldens(module, arguments.models)
    if arguments.fathom:
        sys.exit(1 if compare(module, Fathom(arguments.fathom.resolve()), arguments.models) else 0)


if __name__ == "__main__":
    main()
