"""What the oracle scripts share: tiny checkpoints read by transformers in float32, and how two sets of logits compare.

Two differences between transformers and the specification are closed here, each only where a fixture needs it, and
each named in that fixture's expected.json under "patches":

norm_topk_prob    the native DeepseekV2 router of transformers never reads norm_topk_prob. The patch divides the chosen
                  weights by their sum plus 1e-20 before routed_scaling_factor, as DeepSeek's later code does.
latent_norm_eps   the native class (like DeepSeek's own) builds q_a_layernorm and kv_a_layernorm with the class default
                  of 1e-6 and not with rms_norm_eps. The patch sets rms_norm_eps; no release is affected, all use 1e-6.
"""
import argparse
import json
import math
import pathlib
import subprocess
import tempfile

import numpy as np
import torch
import transformers
from safetensors import safe_open
from transformers import AutoModelForCausalLM

import deepseek_moe

RELATIVE_TOLERANCE = 1e-4  # of the largest logit's magnitude: float32 on both sides, sums in another order


def read_json(path):
    return json.loads(pathlib.Path(path).read_text(encoding="utf-8"))


def write_json(path, value):
    """Long lists of numbers stay on one line, so that a fixture's expected.json can be read."""
    text = json.dumps(value, indent=2, ensure_ascii=True)
    lines, held = [], None
    for line in text.split("\n"):
        bare = line.strip()
        if held is not None:
            held += bare if bare.startswith("]") else bare + " "
            if bare.startswith("]"):
                lines.append(held.replace(" ]", "]"))
                held = None
        elif bare.endswith("[") and _opens_number_list(text, line):
            held = line
        else:
            lines.append(line)
    pathlib.Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _opens_number_list(text, line):
    at = text.find(line + "\n")
    after = text[at + len(line):].lstrip()
    return after[:1].isdigit() or after[:1] == "-"


def normalised_router(model):
    """Makes every router of a loaded DeepseekV2 renormalise its chosen weights (see the head of this file)."""
    def renormalise(module, _inputs, output):
        router_logits, weights, indices = output
        weights = weights / module.routed_scaling_factor
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20) * module.routed_scaling_factor
        return router_logits, weights, indices
    for layer in model.model.layers:
        if hasattr(layer.mlp, "gate"):
            layer.mlp.gate.register_forward_hook(renormalise)


def latent_norm_eps(model):
    for layer in model.model.layers:
        for name in ("q_a_layernorm", "kv_a_layernorm"):
            norm = getattr(layer.self_attn, name, None)
            if norm is not None:
                norm.variance_epsilon = model.config.rms_norm_eps


PATCHES = {"norm_topk_prob": normalised_router, "latent_norm_eps": latent_norm_eps}


def is_fp8(folder):
    return "quantization_config" in read_json(pathlib.Path(folder) / "config.json")


def dequantised_fp8(weight, scale, block=128):
    """float32 values of an E4M3 matrix whose 128 x 128 blocks each carry one factor (weight_scale_inv)."""
    rows, cols = weight.shape
    factors = scale.repeat_interleave(block, 0)[:rows].repeat_interleave(block, 1)[:, :cols]
    return weight.to(torch.float32) * factors


def unquantised_copy(folder, into):
    """Writes the float32 twin of an FP8 folder: transformers' own FP8 path needs a GPU."""
    source, target = pathlib.Path(folder), pathlib.Path(into)
    tensors = {}
    for file in sorted(source.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            tensors |= {name: opened.get_tensor(name) for name in opened.keys()}
    plain = {name: dequantised_fp8(value, tensors[name + "_scale_inv"]) if name + "_scale_inv" in tensors else value
             for name, value in tensors.items() if not name.endswith("_scale_inv")}
    from safetensors.torch import save_file
    save_file(plain, target / "model.safetensors", metadata={"format": "pt"})
    config = read_json(source / "config.json")
    del config["quantization_config"]
    (target / "config.json").write_text(json.dumps(config))


def load_model(folder, patches=(), dtype=torch.float32):
    """The checkpoint as transformers reads it: eager attention, experts one by one, CPU."""
    if is_fp8(folder):
        with tempfile.TemporaryDirectory() as plain:
            unquantised_copy(folder, plain)
            return load_model(plain, patches, dtype)
    if read_json(pathlib.Path(folder) / "config.json")["model_type"] == "deepseek":
        return deepseek_moe.load(folder, dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager",
                                                 experts_implementation="eager")
    for name in patches:
        PATCHES[name](model)
    return model.eval()


@torch.no_grad()
def logits_of(model, ids):
    """float32 (len(ids), vocab_size): one forward over the whole prompt, no cache."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()


def greedy_of(model, ids, n):
    """n greedy tokens (no stop token), and the smallest lead of a chosen token relative to the largest logit."""
    ids, chosen, lead = list(ids), [], math.inf
    for _ in range(n):
        row = logits_of(model, ids)[-1]
        order = np.argsort(-row, kind="stable")
        lead = min(lead, float(row[order[0]] - row[order[1]]) / float(np.abs(row).max()))
        chosen.append(int(order[0]))
        ids.append(int(order[0]))
    return chosen, lead


def relative_difference(got, expected):
    """max |got - expected| over max |expected|, per position: the largest over the positions, and where it is."""
    got, expected = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if got.shape != expected.shape:
        raise SystemExit(f"logits have shape {got.shape}, expected {expected.shape}")
    if not np.isfinite(got).all():
        return math.inf, int(np.argwhere(~np.isfinite(got))[0][0])
    per_position = np.abs(got - expected).max(axis=1) / np.abs(expected).max(axis=1)
    return float(per_position.max()), int(per_position.argmax())


EXACT = "exact"  # --arithmetic: an oracle computes with what is stored, so fathom has to as well


class Fathom:
    """The engine's commands, as a person would type them."""

    def __init__(self, program, environment=None):
        self.program, self.environment = str(program), environment

    def run(self, *arguments):
        command = [self.program, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)[:300]}: exit {done.returncode}: {done.stderr[-600:]}")
        return done.stdout

    def logits(self, model, ids, *options, arithmetic=EXACT):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "logits.npy"
            self.run("logits", "-m", model, "--ids", " ".join(map(str, ids)), "--all", "--format", "npy", "-o", out,
                     "--arithmetic", arithmetic, *options)
            return np.load(out)

    def greedy(self, model, ids, n, *options):
        """n tokens from one `fathom generate`, so that its cache and its decode path are what is tested."""
        text = self.run("generate", "-m", model, "--ids", " ".join(map(str, ids)), "-n", n, "--temperature", 0,
                        "--ignore-eos", "--json", "--arithmetic", EXACT, *options)
        return json.loads(text)["ids"]


def fixture_arguments(description, folder, names):
    """--into FOLDER (made if it is not there) and --only NAME ..., with torch set up to give the same bits every time."""
    parser = argparse.ArgumentParser(description=description.split("\n")[0])
    parser.add_argument("--into", type=pathlib.Path, default=folder)
    parser.add_argument("--only", nargs="*", choices=names, default=list(names))
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)
    arguments.into.mkdir(parents=True, exist_ok=True)
    return arguments
