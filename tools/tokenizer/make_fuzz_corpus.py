#!/usr/bin/env python3
"""Writes the seeds of the tokenizer's fuzz targets: python3 tools/tokenizer/make_fuzz_corpus.py tests/fuzz/corpus

tokenizer_json: small files with every part that fathom reads. detokenize: hard texts and ids.
"""
import json
import os
import sys

SPLIT = lambda p: {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
V3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
      "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")


def document(stages, spellings, merges, added, **model):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
            "normalizer": {"type": "Sequence", "normalizers": []}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages},
            "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {s: i for i, s in enumerate(spellings)}, "merges": merges, **model}}


def token(i, content, **flags):
    return {"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def template(text, i):
    return {"type": "TemplateProcessing", "pair": [], "special_tokens": {text: {"id": text, "ids": [i], "tokens": [text]}},
            "single": [{"SpecialToken": {"id": text, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]}


def json_seeds():
    plain = document([SPLIT("[\r\n]"), SPLIT("\\s?\\p{L}+"), {"type": "Digits", "individual_digits": True}, LEVEL],
                     ["a", "b", "\u0120", "ab", "\u0120ab"], ["a b", "\u0120 ab"], [token(5, "<s>"), token(6, "x", special=False, lstrip=True)])
    v3 = document([SPLIT("\\p{N}{1,3}"), SPLIT("[\u4e00-\u9fa5]+"), SPLIT(V3), LEVEL], ["<s>", "a", "b", "ab"], [["a", "b"]],
                  [token(0, "<s>", rstrip=True)], ignore_merges=True, unk_token="<s>", fuse_unk=True)
    v3["post_processor"] = {"type": "Sequence", "processors": [{"type": "ByteLevel"}, template("<s>", 0)]}
    gpt2 = document([{**LEVEL, "use_regex": True}], ["a", "'", "s"], [], [])
    config = {"add_bos_token": True, "bos_token": {"content": "<s>"}, "eos_token": "<s>", "pad_token": None,
              "added_tokens_decoder": {"5": {"content": "<s>", "special": True}}}
    return [json.dumps(plain) + "\0" + json.dumps(config) + "\0ab <s> x\n", json.dumps(v3) + "\0\0a\x01b<s>  ab",
            json.dumps(gpt2) + "\0{}\0a's", json.dumps({"model": {"vocab": {}, "merges": []}})]


def text_seeds():
    texts = ["Hello  world\r\n 1234 <s><s> \u00f8 it's", "\u4e2d\u6587\u3002\uac00\u3042 \u0301\u200d\U0001f600 \u00bd\u0663", " \n \n\t x ", "\0\0"]
    out = [bytes([pick]) + t.encode() for pick in range(4) for t in texts] + [bytes([p]) + b"\xff\xe4\xb8 \xf0\x9f\x80 \xc0" for p in range(4)]
    return out + [b"\x04" + bytes(range(256)), b"\x04" + b"\x00\xe4\x00\xb8\x00\xad\x01\x0c\x00\xf0"]


def main(folder):
    for name, seeds in (("tokenizer_json", [s.encode() for s in json_seeds()]), ("detokenize", text_seeds())):
        os.makedirs(os.path.join(folder, name), exist_ok=True)
        for i, seed in enumerate(seeds):
            with open(os.path.join(folder, name, f"seed-{i:02}"), "wb") as f:
                f.write(seed)


if __name__ == "__main__":
    main(sys.argv[1])
