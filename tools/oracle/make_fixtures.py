#!/usr/bin/env python3
"""Writes tests/golden/models/NAME/: tiny random checkpoints and what transformers computes from them.

    python tools/oracle/make_fixtures.py [--only NAME ...] [--into tests/golden/models]

Every folder holds a checkpoint (config.json, safetensors), expected.json (prompts, 64 greedy tokens each) and, for the
prompts that name one, float32 logits at every position (npy, C order). docs/oracles.md tells how to read them.

A fixture is kept only if it can tell right from wrong: greedy tokens lead by far more than the tolerance, no router
decision is a near-tie, the 64 tokens are not one loop of a few, softmax scale and device limit change the result.
The seed is the first for which that holds, so the script is deterministic for given versions of torch and transformers.
"""
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import DeepseekV2Config, DeepseekV2ForCausalLM, LlamaConfig, LlamaForCausalLM

import deepseek_moe
from oracle_common import fixture_arguments, greedy_of, load_model, logits_of, relative_difference, write_json

GREEDY_TOKENS = 64
MIN_LEAD = 1e-3           # of the largest logit: ten times the tolerance of a comparison
MAX_FLOAT32_NOISE = 1e-5  # float32 against float64 logits: what is left of the tolerance for the engine
MIN_ROUTER_GAP = 2e-5     # between the last expert (or group) taken and the first one left, in softmax probability
BOS, EOS = 0, 1


def yarn(mscale=0.707, mscale_all_dim=0.707, factor=40, original=64, theta=10000.0, beta_fast=32):
    rope = dict(rope_type="yarn", rope_theta=theta, factor=factor, original_max_position_embeddings=original,
                beta_fast=beta_fast, beta_slow=1)
    if mscale is not None:
        rope |= dict(mscale=mscale, mscale_all_dim=mscale_all_dim)
    return rope


LITE = dict(vocab_size=144, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=3,
            num_key_value_heads=3, q_lora_rank=None, kv_lora_rank=32, qk_nope_head_dim=16, qk_rope_head_dim=16,
            v_head_dim=16, n_routed_experts=8, num_experts_per_tok=3, n_shared_experts=2, moe_intermediate_size=16,
            n_group=1, topk_group=1, topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False,
            first_k_dense_replace=1, max_position_embeddings=2560, rope_parameters=yarn(),
            bos_token_id=BOS, eos_token_id=EOS)
V2 = LITE | dict(vocab_size=128, q_lora_rank=24, n_routed_experts=16, num_experts_per_tok=4, moe_intermediate_size=12,
                 n_group=8, topk_group=3, topk_method="group_limited_greedy", routed_scaling_factor=16.0)
LLAMA = dict(vocab_size=144, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=4, max_position_embeddings=4096, rms_norm_eps=1e-6, bos_token_id=BOS, eos_token_id=EOS,
             rope_parameters=dict(rope_type="default", rope_theta=10000.0))
NO_YARN = dict(rope_type="default", rope_theta=10000.0)


MOE_16B = dict(vocab_size=144, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=3,
               num_key_value_heads=3, max_position_embeddings=4096, rms_norm_eps=1e-6, n_routed_experts=8,
               num_experts_per_tok=3, n_shared_experts=2, moe_intermediate_size=16, first_k_dense_replace=1,
               bos_token_id=BOS, eos_token_id=EOS)


class Fixture:
    def __init__(self, what, config, dtype="bfloat16", layout="rope_parameters", shard=None, patches=(), fp8=False,
                 family=DeepseekV2ForCausalLM, long_prompt=72):
        self.what, self.config, self.dtype, self.layout = what, config, dtype, layout
        self.shard, self.patches, self.fp8, self.family = shard, list(patches), fp8, family
        self.long_prompt = long_prompt


def llama(what, config, **more):
    return Fixture(what, LLAMA | config, family=LlamaForCausalLM, long_prompt=48, **more)


FIXTURES = {
    "lite_f32": Fixture("V2-Lite's switches: q_proj, greedy, mscale 0.707; f32 weights", 
                        LITE | dict(n_routed_experts=6), dtype="float32"),
    "lite_released_layout": Fixture("config.json as V2-Lite was released (rope_scaling, rope_theta, torch_dtype); bf16",
                                    LITE | dict(num_hidden_layers=3), layout="rope_scaling", long_prompt=104),
    "lite_no_yarn": Fixture("4K pretraining: rope_scaling null, scale 1/sqrt(d_qk)",
                            LITE | dict(rope_parameters=NO_YARN), layout="rope_scaling", long_prompt=48),
    "lite_mscale_differs": Fixture("mscale 1.0, mscale_all_dim 0.707: cos and sin have an amplitude",
                                   LITE | dict(rope_parameters=yarn(1.0, 0.707, beta_fast=2))),
    "lite_yarn_without_mscale": Fixture("YaRN without mscale keys: amplitude 0.1 ln s + 1, plain softmax scale; f16",
                                        LITE | dict(rope_parameters=yarn(None, factor=8, theta=50000.0),
                                                    max_position_embeddings=512),
                                        dtype="float16"),
    "lite_norm_topk": Fixture("norm_topk_prob true with routed_scaling_factor 16",
                              LITE | dict(norm_topk_prob=True, routed_scaling_factor=16.0), patches=["norm_topk_prob"],
                              long_prompt=48),
    "lite_all_moe": Fixture("first_k_dense_replace 0, one shared expert", LITE | dict(
        first_k_dense_replace=0, n_shared_experts=1), layout="rope_scaling", long_prompt=48),
    "lite_eps": Fixture("rms_norm_eps 1e-2 reaches every norm, the latent ones too", LITE | dict(rms_norm_eps=1e-2),
                        patches=["latent_norm_eps"], long_prompt=48),
    "lite_tied": Fixture("tie_word_embeddings true: no lm_head.weight in the file",
                         LITE | dict(tie_word_embeddings=True), long_prompt=48),
    "lite_dense_only": Fixture("no expert layer: first_k_dense_replace = num_hidden_layers; f16; q_lora_rank 20",
                               LITE | dict(first_k_dense_replace=2, q_lora_rank=20), dtype="float16",
                               long_prompt=48),
    "v2_group_limited": Fixture("V2's switches: q_lora_rank, 3 of 8 groups, factor 16, mscale 0.707; released layout",
                                V2, layout="rope_scaling", long_prompt=120),
    "coder_v2_mscale_1": Fixture("Coder-V2 236B and V2.5: as V2 with mscale 1.0; f16; sharded", V2 | dict(
        rope_parameters=yarn(1.0, 1.0)), dtype="float16", shard="60KB"),
    "v2_one_group_kept": Fixture("2 groups of 6, topk_group 1: the limit bites at most tokens", V2 | dict(
        n_routed_experts=12, n_group=2, topk_group=1, num_experts_per_tok=4, routed_scaling_factor=2.5),
        long_prompt=40),
    "v2_two_dense_layers": Fixture("first_k_dense_replace 2 of 3 layers; bf16; sharded; released layout", V2 | dict(
        first_k_dense_replace=2, num_hidden_layers=3), layout="rope_scaling", shard="50KB", long_prompt=48),
    "v2_greedy_with_q_lora": Fixture("q_lora_rank with plain greedy routing, n_group null", V2 | dict(
        topk_method="greedy", n_group=None, topk_group=None, routed_scaling_factor=1.0), long_prompt=48),
    "v2_odd_sizes": Fixture("no size a multiple of 32: v_head_dim != qk_nope_head_dim, vocab 151", V2 | dict(
        vocab_size=151, hidden_size=66, intermediate_size=75, num_attention_heads=3, num_key_value_heads=3,
        q_lora_rank=26, kv_lora_rank=22, qk_nope_head_dim=14, qk_rope_head_dim=10, v_head_dim=12, n_routed_experts=15,
        n_group=5, topk_group=2, num_experts_per_tok=3, moe_intermediate_size=10, n_shared_experts=1), long_prompt=72),
    "v2_fp8_blocks": Fixture("F8_E4M3 with weight_scale_inv over 128 x 128 blocks, ragged at both edges", V2 | dict(
        hidden_size=136, intermediate_size=132, num_attention_heads=4, num_key_value_heads=4, n_routed_experts=8,
        n_group=4, topk_group=2, num_experts_per_tok=3, moe_intermediate_size=16, q_lora_rank=48, vocab_size=96,
        kv_lora_rank=40), fp8=True, long_prompt=48),
    "llama_mha": llama("DeepSeek LLM 7B: as many key heads as query heads; f32", {}, dtype="float32"),
    "llama_gqa": llama("DeepSeek LLM 67B: 2 key heads for 8 query heads; bf16; sharded; old layout", dict(
        num_attention_heads=8, num_key_value_heads=2, num_hidden_layers=3), shard="60KB", layout="rope_scaling"),
    "llama_gqa_odd": llama("GQA of 6 over 3, head_dim 10, vocab 199, eps 1e-5; f16", dict(
        vocab_size=199, hidden_size=60, num_attention_heads=6, num_key_value_heads=3, intermediate_size=74,
        rms_norm_eps=1e-5), dtype="float16"),
    "moe_16b": Fixture("DeepSeekMoE 16B: multi-head attention and experts; config.json as it was released", MOE_16B,
                       family=deepseek_moe, long_prompt=48),
}

# What the released config.json files hold and the native class drops when it saves.
RELEASED_KEYS = dict(aux_loss_alpha=0.001, ep_size=1, moe_layer_freq=1, scoring_func="softmax", seq_aux=True,
                     auto_map={"AutoConfig": "configuration_deepseek.DeepseekV2Config",
                               "AutoModel": "modeling_deepseek.DeepseekV2Model",
                               "AutoModelForCausalLM": "modeling_deepseek.DeepseekV2ForCausalLM"})


def initialise(model, seed):
    """Random weights under which every part matters: unit-scale activations, peaked attention, uneven experts."""
    generator = torch.Generator().manual_seed(seed)
    gains = dict(embed_tokens=0.0, lm_head=2.0, q_proj=1.6, q_b_proj=1.6, kv_b_proj=1.4, o_proj=1.0, down_proj=1.0)
    scaling = getattr(model.config, "routed_scaling_factor", 1.0)
    gates = [module for module in model.modules() if hasattr(module, "top_k")]
    experts = gates[0].top_k if gates else 1
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            part = name.split(".")[-2]
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 1:
                parameter.copy_(1.0 + 0.25 * noise)
            elif part == "embed_tokens":
                parameter.copy_(0.8 * noise)
            elif part == "gate":
                parameter.copy_(noise * 2.0 / parameter.shape[-1] ** 0.5)
            elif "experts.down_proj" in name and "shared" not in name:  # gates are about 1/K each; undo the factor
                parameter.copy_(noise * 2.0 * experts / max(scaling, 1.0) ** 0.75 / parameter.shape[-1] ** 0.5)
            else:
                parameter.copy_(noise * gains.get(part, 1.2) / parameter.shape[-1] ** 0.5)
    return model


def build(fixture, seed):
    if fixture.family is deepseek_moe:
        return initialise(deepseek_moe.build(fixture.config), seed)
    config_class = LlamaConfig if fixture.family is LlamaForCausalLM else DeepseekV2Config
    config = config_class(**json.loads(json.dumps(fixture.config)))
    model = fixture.family(config)
    if config.tie_word_embeddings:
        model.tie_weights()
    return initialise(model, seed)


def write_released_layout(folder, config):
    """config.json as the releases spell it: rope_theta beside a rope_scaling whose "type" is the rope type."""
    path = folder / "config.json"
    found = json.loads(path.read_text())
    rope = found.pop("rope_parameters")
    for key in ("head_dim", "mlp_bias", "qk_head_dim", "output_router_logits", "pad_token_id"):
        found.pop(key, None)
    found["torch_dtype"] = found.pop("dtype")
    found["rope_theta"] = int(rope.pop("rope_theta"))
    kind = rope.pop("rope_type")
    found["rope_scaling"] = None if kind == "default" else rope | {"type": kind}
    if found["model_type"] == "deepseek_v2":
        found |= RELEASED_KEYS
    found["transformers_version"] = "4.39.3"
    path.write_text(json.dumps(found, indent=2) + "\n")


def quantise_to_fp8(folder):
    """DeepSeek's layout: every linear layer but the router and the head; float32 factor per block of 128 x 128."""
    tensors, out = load_file(folder / "model.safetensors"), {}
    for name, value in tensors.items():
        if value.dim() != 2 or name.split(".")[-2] in ("embed_tokens", "lm_head", "gate"):
            out[name] = value.contiguous()
            continue
        value = value.float()
        rows, cols = value.shape
        scale = torch.empty(-(-rows // 128), -(-cols // 128))
        coded = torch.empty(rows, cols, dtype=torch.float8_e4m3fn)
        for r in range(scale.shape[0]):
            for c in range(scale.shape[1]):
                block = (slice(128 * r, 128 * r + 128), slice(128 * c, 128 * c + 128))
                scale[r, c] = value[block].abs().max() / 448.0
                coded[block] = (value[block] / scale[r, c]).to(torch.float8_e4m3fn)
        out[name], out[name + "_scale_inv"] = coded, scale
    save_file(out, folder / "model.safetensors", metadata={"format": "pt"})
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = dict(activation_scheme="dynamic", fmt="e4m3", quant_method="fp8",
                                         weight_block_size=[128, 128])
    path.write_text(json.dumps(config, indent=2) + "\n")


class RouterWatch:
    """Records, while a model runs, how close router decisions were and how often the group limit changed the choice."""

    def __init__(self, model):
        self.gap, self.tokens, self.limited = float("inf"), 0, 0
        for layer in model.model.layers:
            if hasattr(layer.mlp, "gate"):
                layer.mlp.gate.register_forward_hook(self.see)

    def see(self, router, _inputs, output):
        scores = output[0].softmax(-1)
        plain = scores.topk(router.top_k, -1).indices.sort(-1).values
        chosen = output[2].sort(-1).values
        self.tokens += len(scores)
        self.limited += int((plain != chosen).any(-1).sum())
        if router.topk_method == "group_limited_greedy":
            groups = scores.view(len(scores), router.num_group, -1).amax(-1)
            if router.topk_group < router.num_group:
                self.gap = min(self.gap, cut_gap(groups, router.topk_group))
            kept = groups.topk(router.topk_group, -1).indices
            open_groups = torch.zeros_like(groups).scatter_(1, kept, 1.0)
            open_experts = open_groups.repeat_interleave(scores.shape[1] // router.num_group, 1)
            scores = scores.masked_fill(open_experts == 0, -1.0)
        if router.top_k < scores.shape[1]:
            self.gap = min(self.gap, cut_gap(scores, router.top_k))


def cut_gap(scores, k):
    ordered = scores.detach().sort(-1, descending=True).values
    return float((ordered[:, k - 1] - ordered[:, k]).min())


def without_softmax_scale(model):
    """The mistake of old native classes: softmax scale without mscale^2."""
    for layer in model.model.layers:
        layer.self_attn.scaling = layer.self_attn.qk_head_dim ** -0.5
    return model


def prompts_for(fixture, seed):
    generator = np.random.default_rng(seed)
    return [generator.integers(2, fixture.config["vocab_size"], n).tolist() for n in (2, 13, fixture.long_prompt)]


def write_checkpoint(fixture, seed, folder):
    model = build(fixture, seed).to(getattr(torch, fixture.dtype))
    if fixture.family is deepseek_moe:
        return deepseek_moe.save(model, fixture.config, folder)
    model.save_pretrained(folder, **({"max_shard_size": fixture.shard} if fixture.shard else {}))
    if fixture.fp8:
        quantise_to_fp8(folder)
    if fixture.layout == "rope_scaling":
        write_released_layout(folder, fixture.config)


def attempt(name, fixture, seed, folder):
    """The expected values of this seed, or why the seed will not do."""
    write_checkpoint(fixture, seed, folder)
    model = load_model(folder, fixture.patches)
    watch = RouterWatch(model)
    prompts, worst_lead, tables = [], float("inf"), {}
    for number, ids in enumerate(prompts_for(fixture, seed)):
        table = logits_of(model, ids)
        greedy, lead = greedy_of(model, ids, GREEDY_TOKENS)
        worst_lead = min(worst_lead, lead)
        if lead < MIN_LEAD:
            return None, f"prompt {number}: a greedy token leads by {lead:.1e} only"
        if EOS in greedy or len(set(greedy)) < 12:
            return None, f"prompt {number}: stop token or only {len(set(greedy))} different tokens"
        prompt = dict(ids=ids, greedy=greedy)
        if number != 1:
            prompt["logits"] = f"logits_{number}.npy"
            tables[prompt["logits"]] = table
        prompts.append(prompt)
    if watch.gap < MIN_ROUTER_GAP:
        return None, f"a router decision is a near-tie ({watch.gap:.1e})"
    proof = dict(smallest_greedy_lead=float(f"{worst_lead:.3g}"))
    if watch.tokens:
        proof |= dict(smallest_router_gap=float(f"{watch.gap:.3g}"), router_decisions=watch.tokens)
    if fixture.config.get("topk_method") == "group_limited_greedy":
        proof["decisions_changed_by_group_limit"] = watch.limited
        if watch.limited * 20 < watch.tokens:
            return None, f"the group limit changed only {watch.limited} of {watch.tokens} decisions"
    if fixture.config.get("rope_parameters", {}).get("mscale_all_dim"):
        wrong = logits_of(without_softmax_scale(load_model(folder, fixture.patches)), prompts[0]["ids"])
        first = relative_difference(wrong[:1], tables["logits_0.npy"][:1])[0]
        second = relative_difference(wrong[1:], tables["logits_0.npy"][1:])[0]
        proof["without_mscale_squared"] = dict(position_0=first, position_1=float(f"{second:.3g}"))
        if first != 0.0 or second < 3e-3:
            return None, f"the two-token prompt does not show the softmax scale ({first:.1e}, {second:.1e})"
    exact = load_model(folder, fixture.patches, torch.float64)
    noise = max(relative_difference(tables[prompt["logits"]], logits_of(exact, prompt["ids"]))[0]
                for prompt in prompts if "logits" in prompt)
    proof["float32_against_float64"] = float(f"{noise:.2g}")
    if noise > MAX_FLOAT32_NOISE:
        return None, f"float32 is {noise:.1e} away from float64"
    for file, table in tables.items():
        np.save(folder / file, np.ascontiguousarray(table, dtype=np.float32))
    oracle = f"transformers {type(model).__name__}"
    if fixture.family is deepseek_moe:
        oracle += " with DeepseekV2Moe layers (tools/oracle/deepseek_moe.py), checked against llama.cpp"
    return dict(name=name, what=fixture.what, oracle=oracle, patches=fixture.patches,
                versions=dict(transformers=transformers.__version__, torch=torch.__version__.split("+")[0]), seed=seed,
                activations="float32", relative_tolerance=1e-4, proof=proof, prompts=prompts), None


def make(name, fixture, into):
    first = 1000 * (1 + list(FIXTURES).index(name))
    for seed in range(first, first + 200):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch) / name
            folder.mkdir()
            expected, why = attempt(name, fixture, seed, folder)
            if expected is None:
                print(f"  {name}: seed {seed}: {why}", file=sys.stderr)
                continue
            write_json(folder / "expected.json", expected)
            shutil.rmtree(into / name, ignore_errors=True)
            shutil.copytree(folder, into / name)
            for file in (into / name).iterdir():
                file.chmod(0o644)
            size = sum(file.stat().st_size for file in (into / name).iterdir())
            print(f"{name}: seed {seed}, {size // 1024} KiB, {expected['proof']}", flush=True)
            return
    raise SystemExit(f"{name}: no seed of 200 gives a fixture that can tell right from wrong")


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    arguments = fixture_arguments(__doc__, root / "tests/golden/models", FIXTURES)
    for name in arguments.only:
        make(name, FIXTURES[name], arguments.into)


if __name__ == "__main__":
    main()
