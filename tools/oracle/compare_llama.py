#!/usr/bin/env python3
"""Holds a fathom binary against llama.cpp, live: the same GGUF files, written by fathom, read by both.

    python tools/oracle/compare_llama.py --fathom build/release/fathom --llama DIR
        [--tokenizer FOLDER] [--vocab A.gguf ...]

DIR is where node-llama-cpp was installed (llama_oracle.py). Three parts:
  fixtures  every committed checkpoint through `fathom convert`: logits and 64 greedy tokens at F32, and at BF16 the
            greedy tokens of those prompts for which llama.cpp's own rounding (llama_oracle.py) decides none of them
  synth     V2-, Lite-, Coder-V2-, MoE-16B- and 67B-shaped files of `fathom synth`: at F32 logits and greedy tokens, at
            BF16 greedy tokens, at Q8_0, Q4_0 and Q4_K_M how far the two engines' own roundings are apart
  text      token ids of the strings of hard_strings.py, with and without special tokens parsed: the GGUF files of
            --vocab, and a file that `fathom synth --tokenizer FOLDER` wrote
Exit code 1 when anything differs that should not.

Where llama.cpp computes something else than DeepSeek's code, it is no oracle; that is reported, not failed (KNOWN).
"""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

import hard_strings
from llama_oracle import Llama
from oracle_common import Fathom, RELATIVE_TOLERANCE, read_json, relative_difference

GREEDY_TOKENS = 64

YARN = dict(type="yarn", factor=40, original_max_position_embeddings=64, beta_fast=32, beta_slow=1, mscale=0.707,
            mscale_all_dim=0.707)
LITE = dict(architectures=["DeepseekV2ForCausalLM"], model_type="deepseek_v2", vocab_size=512, hidden_size=256,
            intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4, q_lora_rank=None,
            kv_lora_rank=64, qk_nope_head_dim=32, qk_rope_head_dim=16, v_head_dim=32, n_routed_experts=16,
            num_experts_per_tok=4, n_shared_experts=2, moe_intermediate_size=256, n_group=1, topk_group=1,
            topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False, first_k_dense_replace=1,
            max_position_embeddings=2560, rms_norm_eps=1e-6, rope_theta=10000, rope_scaling=YARN, bos_token_id=510,
            eos_token_id=511, hidden_act="silu", tie_word_embeddings=False, scoring_func="softmax")
# Routed plainly: llama.cpp limits groups by another rule (KNOWN).
V2 = LITE | dict(q_lora_rank=128, n_shared_experts=1, routed_scaling_factor=16.0)
SHAPES = {
    "lite": LITE,
    "lite, 27 layers": LITE | dict(num_hidden_layers=27, hidden_size=128, moe_intermediate_size=64,
                                   intermediate_size=256, n_routed_experts=8),
    "v2": V2,
    "coder-v2": V2 | dict(rope_scaling=YARN | dict(mscale=1.0, mscale_all_dim=1.0)),
    "moe-16b": dict(architectures=["DeepseekForCausalLM"], model_type="deepseek", vocab_size=512, hidden_size=256,
                    intermediate_size=512, num_hidden_layers=4, num_attention_heads=4, num_key_value_heads=4,
                    n_routed_experts=16, num_experts_per_tok=4, n_shared_experts=2, moe_intermediate_size=256,
                    first_k_dense_replace=1, norm_topk_prob=False, max_position_embeddings=4096, rms_norm_eps=1e-6,
                    rope_theta=10000, rope_scaling=None, bos_token_id=510, eos_token_id=511, hidden_act="silu",
                    tie_word_embeddings=False, scoring_func="softmax"),
    "dense-67b": dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=512, hidden_size=256,
                      intermediate_size=768, num_hidden_layers=4, num_attention_heads=8, num_key_value_heads=2,
                      max_position_embeddings=4096, rms_norm_eps=1e-6, rope_theta=10000, rope_scaling=None,
                      bos_token_id=510, eos_token_id=511, hidden_act="silu", tie_word_embeddings=False),
}
QUANTISED = ("q8_0", "q4_0", "q4_k_m")
# llama.cpp rounds activations to 8 bits per block before each product with a quantised weight, fathom does not: the
# logits are this far apart at most, as the median over positions, relative to the largest logit.
QUANTISED_NOISE = 0.05

GROUPS = "llama.cpp v0.5.0 scores expert groups by the sum of their two best (V3's rule); V2's rule is the best one"
AMPLITUDE = "without mscale_all_dim llama.cpp v0.5.0 scales the whole score, DeepSeek's code only the rotated part"
# The first was checked: with that rule put into transformers, it and llama.cpp agree to 1.1e-5 on all of these.
KNOWN = {"v2_group_limited": GROUPS, "coder_v2_mscale_1": GROUPS, "v2_one_group_kept": GROUPS,
         "v2_two_dense_layers": GROUPS, "v2_odd_sizes": GROUPS, "v2_fp8_blocks": GROUPS, "reference_v2": GROUPS,
         "lite_yarn_without_mscale": AMPLITUDE}
NO_GGUF_FORM = {"lite_mscale_differs"}
# llama.cpp makes tokens of these names control tokens whatever the file says; fathom and Hugging Face follow the file,
# where they are ordinary added tokens and so found in any text. Compared only with special tokens parsed.
OVERRIDDEN_TOKENS = "fim\u2581"


class Report:
    def __init__(self):
        self.checks = self.failed = 0

    def check(self, passed, what):
        self.checks += 1
        self.failed += not passed
        print(("ok      " if passed else "FAILED  ") + what, flush=True)


def prompts_of(n_usable, seed):
    generator = np.random.default_rng(seed)
    return [generator.integers(3, n_usable, n).tolist() for n in (2, 13, 96)]


def part_fixtures(fathom, llama, report, scratch, models):
    for folder in sorted(models.iterdir()):
        if folder.name in NO_GGUF_FORM or not (folder / "expected.json").exists():
            continue
        gguf = scratch / f"{folder.name}.gguf"
        fathom.run("convert", folder, gguf, "--type", "f32")
        expected = read_json(folder / "expected.json")
        worst, same = 0.0, True
        with llama.open(gguf) as model:
            for prompt in expected["prompts"]:
                theirs = model.logits(prompt["ids"])
                worst = max(worst, relative_difference(fathom.logits(gguf, prompt["ids"]), theirs)[0])
                same = same and model.greedy(prompt["ids"], GREEDY_TOKENS) == prompt["greedy"]
        if folder.name in KNOWN:
            print(f"no oracle  {folder.name}: {worst:.1e} apart: {KNOWN[folder.name]}", flush=True)
            continue
        report.check(worst <= RELATIVE_TOLERANCE and same,
                     f"{folder.name}: logits {worst:.1e}, greedy tokens {'identical' if same else 'differ'}")
        half = scratch / f"{folder.name}-bf16.gguf"
        fathom.run("convert", folder, half, "--type", "bf16")
        fathom.run("convert", half, scratch / "widened.gguf", "--type", "f32")
        robust = robust_runs(llama, half, scratch / "widened.gguf", [prompt["ids"] for prompt in expected["prompts"]])
        (scratch / "widened.gguf").unlink()
        same = [fathom.greedy(half, ids, GREEDY_TOKENS) == tokens for ids, tokens in robust]
        report.check(all(same), f"{folder.name}, BF16: {sum(same)} of {len(same)} comparable runs identical")


def robust_runs(llama, half, full, prompts):
    """(prompt, tokens) where llama.cpp chooses the same tokens from the BF16 file and from the F32 file of the same
    values, so that its own rounding of activations to bfloat16 decides none. fathom has no say in it."""
    with llama.open(half) as rounded, llama.open(full) as plain:
        runs = [(ids, rounded.greedy(ids, GREEDY_TOKENS), plain.greedy(ids, GREEDY_TOKENS)) for ids in prompts]
    return [(ids, tokens) for ids, tokens, again in runs if tokens == again]


def robust_seed(fathom, llama, scratch, name, config):
    """The first seed whose three prompts are all robust runs; its two files, and the runs."""
    shape = scratch / "shape.json"
    shape.write_text(json.dumps(config))
    for seed in range(400):
        half, full = scratch / f"{seed}-bf16.gguf", scratch / f"{seed}-f32.gguf"
        fathom.run("synth", "--shape", shape, "--type", "bf16", "--seed", seed, half)
        fathom.run("convert", half, full, "--type", "f32")
        prompts = prompts_of(config["vocab_size"] - 4, seed)
        runs = robust_runs(llama, half, full, prompts)
        if len(runs) == len(prompts):
            return seed, half, full, runs
        half.unlink()
        full.unlink()
    raise SystemExit(f"{name}: no seed of 400 makes llama.cpp agree with itself")


def part_synth(fathom, llama, report, folder):
    for number, (name, config) in enumerate(SHAPES.items()):
        scratch = folder / f"shape-{number}"
        scratch.mkdir()
        seed, half, full, runs = robust_seed(fathom, llama, scratch, name, config)
        prompts, tokens = [ids for ids, _tokens in runs], [chosen for _ids, chosen in runs]
        with llama.open(full) as plain:
            tables = [plain.logits(ids) for ids in prompts]
        worst = max(relative_difference(fathom.logits(full, ids), table)[0] for ids, table in zip(prompts, tables))
        report.check(worst <= RELATIVE_TOLERANCE, f"{name} (seed {seed}), F32: logits {worst:.1e}")
        for file, kind in ((full, "F32"), (half, "BF16")):
            same = [fathom.greedy(file, ids, GREEDY_TOKENS) == want for ids, want in zip(prompts, tokens)]
            different = len({token for chain in tokens for token in chain})
            report.check(all(same), f"{name}, {kind}: {sum(same)} of {len(same)} runs of {GREEDY_TOKENS} greedy tokens "
                                    f"identical ({different} different tokens)")
        for kind in QUANTISED:
            file = scratch / f"{seed}-{kind}.gguf"
            fathom.run("convert", full, file, "--type", kind)
            with llama.open(file) as model:
                theirs = model.logits(prompts[-1])
            ours = fathom.logits(file, prompts[-1])
            apart = float(np.median(np.abs(ours - theirs).max(axis=1) / np.abs(theirs).max(axis=1)))
            report.check(apart <= QUANTISED_NOISE, f"{name}, {kind.upper()}: {apart:.3f} apart (median position)")


def fathom_ids(fathom, model, text, parse_special):
    options = ["--special"] if parse_special else []
    done = subprocess.run([fathom.program, "tokenize", "-m", str(model), "--ids", "--no-bos", *options, "-"],
                          input=text.encode(), capture_output=True)
    if done.returncode:
        return f"exit {done.returncode}: {done.stderr.decode(errors='replace')[-200:]}"
    return [int(word) for word in done.stdout.split()]


def part_text(fathom, llama, report, scratch, vocabularies, tokenizer, n_random):
    if tokenizer:
        shape, file = scratch / "text.json", scratch / "text.gguf"
        shape.write_text(json.dumps(LITE | dict(vocab_size=129280, hidden_size=32, moe_intermediate_size=32,
                                                intermediate_size=32, bos_token_id=0, eos_token_id=1)))
        fathom.run("synth", "--shape", shape, "--type", "f16", "--tokenizer", tokenizer, file)
        vocabularies = [*vocabularies, file]
    # fathom reads them as text files: these hold no NUL, and a byte order mark in front says how they are encoded.
    corpus = [text for text in hard_strings.corpus(n_random) if "\0" not in text and not text.startswith("\ufeff")]
    for vocabulary in vocabularies:
        with llama.open(vocabulary, vocab_only=True) as model:
            for parse_special in (False, True):
                texts = [text for text in corpus if parse_special or OVERRIDDEN_TOKENS not in text]
                wanted = [model.tokenize(text, parse_special=parse_special) for text in texts]
                with concurrent.futures.ThreadPoolExecutor(2) as pool:
                    got = list(pool.map(lambda text: fathom_ids(fathom, vocabulary, text, parse_special), texts))
                wrong = [text for text, ours, theirs in zip(texts, got, wanted) if ours != theirs]
                for text in wrong[:8]:
                    i = texts.index(text)
                    print(f"   {ascii(text[:80])}: {str(got[i])[:160]} for {str(wanted[i])[:160]}")
                how = "parsed" if parse_special else "as text"
                report.check(not wrong, f"{vocabulary.name}, special tokens {how}: "
                                        f"{len(texts) - len(wrong)} of {len(texts)} strings identical")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--fathom", type=pathlib.Path, required=True)
    parser.add_argument("--llama", type=pathlib.Path, required=True)
    parser.add_argument("--models", type=pathlib.Path, default=root / "tests/golden/models")
    parser.add_argument("--tokenizer", type=pathlib.Path, help="folder with a tokenizer.json to write into a GGUF file")
    parser.add_argument("--vocab", type=pathlib.Path, nargs="*", default=[], help="GGUF files with a vocabulary")
    parser.add_argument("--random-strings", type=int, default=150)
    parser.add_argument("--parts", nargs="+", choices=("fixtures", "synth", "text"),
                        default=("fixtures", "synth", "text"))
    arguments = parser.parse_args()
    fathom, llama, report = Fathom(arguments.fathom.resolve()), Llama(arguments.llama), Report()
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        if "fixtures" in arguments.parts:
            part_fixtures(fathom, llama, report, scratch, arguments.models)
        if "synth" in arguments.parts:
            part_synth(fathom, llama, report, scratch)
        if "text" in arguments.parts:
            part_text(fathom, llama, report, scratch, arguments.vocab, arguments.tokenizer, arguments.random_strings)
    print(f"llama.cpp {llama.release}: {report.checks} checks, {report.failed} failed")
    sys.exit(1 if report.failed else 0)


if __name__ == "__main__":
    main()
