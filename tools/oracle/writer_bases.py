"""The tiny checkpoints that writers.py gives to other programs: one for each family, with a real tokenizer.

A base is a folder as transformers' save_pretrained writes it: random weights (make_fixtures.initialise), a vocabulary
padded as the published models pad theirs, three ids that end a text (the last is one that greedy decoding reaches, so
that a reader who loses it runs on), sampling defaults and a chat template.
"""
import json
import shutil

import torch
import transformers

import deepseek_moe
import make_fixtures
from oracle_common import greedy_of, load_model, read_json

PADDED_TO = 64
N_GREEDY = 12
STOPS_AT = 7
MERGES_KEPT = 1200
MIN_LEAD = 2e-3  # of the largest logit: bfloat16 files are read as float32 by both sides, so this is ample
PROMPT = [70, 84, 300, 91, 555, 102, 1001, 77, 64, 410, 95, 88]

WIDE = dict(hidden_size=256, intermediate_size=512, kv_lora_rank=256, moe_intermediate_size=256, num_attention_heads=4,
            num_key_value_heads=4, qk_nope_head_dim=32, v_head_dim=64)  # rows of 256, which k-quants need
CONFIGS = {
    "lite": (make_fixtures.LITE, transformers.DeepseekV2ForCausalLM),
    "lite_wide": (make_fixtures.LITE | WIDE, transformers.DeepseekV2ForCausalLM),
    "v2": (make_fixtures.V2, transformers.DeepseekV2ForCausalLM),
    "moe_16b": (make_fixtures.MOE_16B, deepseek_moe),
    "llama": (make_fixtures.LLAMA, transformers.LlamaForCausalLM),
    "llama_tied": (make_fixtures.LLAMA | dict(tie_word_embeddings=True), transformers.LlamaForCausalLM),
}


def small_tokenizer(source, folder):
    """A real tokenizer with its first merges only: the same rules for text, about 2000 tokens in place of 128815."""
    tokenizer = read_json(source / "tokenizer.json")
    model, added = tokenizer["model"], tokenizer["added_tokens"]
    merges = model["merges"][:MERGES_KEPT]
    joined = {"".join(merge) if isinstance(merge, list) else merge.replace(" ", "") for merge in merges}
    special = {token["content"] for token in added}
    kept = [text for text in sorted(model["vocab"], key=model["vocab"].get)
            if text not in special and (len(text) == 1 or text in joined)]
    number = {text: at for at, text in enumerate(kept + [token["content"] for token in added])}
    model["vocab"], model["merges"] = {text: number[text] for text in kept}, merges
    tokenizer["added_tokens"] = [token | {"id": number[token["content"]]} for token in added]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    shutil.copy(source / "tokenizer_config.json", folder)


def tokenizer_of(folder):
    """By its own files: AutoTokenizer would ask whether it may run the Python code that some config.json names."""
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def put_tokenizer(source, folder, whole):
    if whole:
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(source / name, folder)
    else:
        small_tokenizer(source, folder)
    return tokenizer_of(folder)


def write_weights(name, seed, text, folder):
    config, family = CONFIGS[name]
    config = config | dict(vocab_size=-(-(len(text) + 1) // PADDED_TO) * PADDED_TO, bos_token_id=text.bos_token_id,
                           eos_token_id=text.eos_token_id)
    fixture = make_fixtures.Fixture("", config, dtype="float32", family=family)
    model = make_fixtures.build(fixture, seed)
    with torch.no_grad():  # ids beyond the tokenizer are never chosen by a trained model
        model.get_output_embeddings().weight[len(text):] *= 0.01
    if family is deepseek_moe:
        deepseek_moe.save(model, config, folder)
    else:
        model.save_pretrained(folder)


def write_generation_config(folder, text, stop):
    ends = [text.eos_token_id, text.convert_tokens_to_ids("<\uff5cUser\uff5c>"), stop]
    settings = dict(bos_token_id=text.bos_token_id, eos_token_id=ends, do_sample=True, temperature=0.3, top_p=0.95,
                    top_k=40, repetition_penalty=1.05)
    (folder / "generation_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def make_base(name, source, folder, whole=False):
    """Writes the base and returns the greedy tokens after PROMPT; those from STOPS_AT on come after a stop id."""
    for seed in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        text = put_tokenizer(source, folder, whole)
        write_weights(name, seed, text, folder)
        greedy, lead = greedy_of(load_model(folder), PROMPT, N_GREEDY)
        stop = greedy[STOPS_AT]
        if lead >= MIN_LEAD and stop not in greedy[:STOPS_AT] and stop < len(text) - len(text.all_special_ids):
            write_generation_config(folder, text, stop)
            return greedy
    raise SystemExit(f"{name}: no seed gives greedy tokens that lead clearly")


def released_layout(base, folder):
    """The same with config.json as the releases spell it, for programs that know only that."""
    shutil.copytree(base, folder)
    if read_json(folder / "config.json").get("rope_parameters"):
        make_fixtures.write_released_layout(folder, None)


def other_weights(base, folder):
    """The same with other random weights, for programs that merge."""
    name = base.name.removesuffix("_whole")
    shutil.copytree(base, folder)
    write_weights(name, 900, tokenizer_of(base), folder)
    shutil.copy(base / "generation_config.json", folder)
