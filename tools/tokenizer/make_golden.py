#!/usr/bin/env python3
"""Makes tests/golden/tokenizer/: small tokenizers trained on the text below, and what Hugging Face `tokenizers` encodes with them.

    pip install tokenizers==0.23.3
    python3 tools/tokenizer/make_golden.py tests/golden/tokenizer

For each NAME: NAME.tokenizer.json, NAME.config.json (empty: none) and NAME.golden.json,
    {"prefix": ids, "suffix": ids,   what encoding adds
     "rows": [{"text", "ids": special tokens as text, "parsed": special tokens parsed (when not the same), "decoded": of parsed (when not the
               text), "skipped": of parsed without special tokens (when not as decoded)}]}
Together the tokenizers have every part of tokenizer.json that fathom reads; see TOKENIZERS.
"""
import json
import os
import random
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from compare import HARD, PATTERNS, latin_letters

V3 = [
    "\\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]
BOS, EOS, FIM = "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<\uff5cfim\u2581hole\uff5c>"

# Written for this purpose; any text would do that has several scripts, code, numbers and white space in it.
TEXT = """The engine reads the weights, and the weights are read once; then the tokens come one by one, as they should.
It's what they'll see: we're here, I'm there, you've been everywhere, and he'd rather not. Don't worry, it isn't hard.
In 2024 there were 1,234,567 parameters in 27 layers; 64 experts, 6 of them active, 3.14159 times 100 is 314.159.
Der Router w\u00e4hlt f\u00fcr jedes Zeichen sechs Experten aus; \u00fcber die \u00fcbrigen flie\u00dft nichts. \u00c4hnlich gro\u00dfe Gr\u00f6\u00dfen \u00fcberall.
\u042d\u0442\u043e \u043f\u0440\u043e\u0441\u0442\u043e\u0439 \u0442\u0435\u043a\u0441\u0442, \u043a\u043e\u0442\u043e\u0440\u044b\u0439 \u043c\u044b \u043d\u0430\u043f\u0438\u0441\u0430\u043b\u0438, \u0447\u0442\u043e\u0431\u044b \u043e\u0431\u0443\u0447\u0438\u0442\u044c \u043c\u0430\u043b\u0435\u043d\u044c\u043a\u0438\u0439 \u0441\u043b\u043e\u0432\u0430\u0440\u044c. \u0422\u0435\u043a\u0441\u0442 \u043a\u0430\u043a \u0442\u0435\u043a\u0441\u0442.
\u0391\u03c5\u03c4\u03cc \u03b5\u03af\u03bd\u03b1\u03b9 \u03ad\u03bd\u03b1 \u03bc\u03b9\u03ba\u03c1\u03cc \u03ba\u03b5\u03af\u03bc\u03b5\u03bd\u03bf \u03ba\u03b1\u03b9 \u03c4\u03bf \u03ba\u03b5\u03af\u03bc\u03b5\u03bd\u03bf \u03b1\u03c5\u03c4\u03cc \u03b5\u03af\u03bd\u03b1\u03b9 \u03bc\u03b9\u03ba\u03c1\u03cc.
\u6211\u4eec\u5728\u8fd9\u91cc\u5199\u4e00\u6bb5\u4e2d\u6587\u6587\u5b57\uff0c\u6211\u4eec\u7684\u6a21\u578b\u5728\u8fd9\u91cc\u5b66\u4e60\u4e2d\u6587\u3002\u6a21\u578b\u7684\u8f93\u51fa\u662f\u6587\u5b57\u3002\u201c\u4f60\u597d\u201d\uff0c\u4e16\u754c\uff01
\u3053\u308c\u306f\u65e5\u672c\u8a9e\u306e\u6587\u3067\u3059\u3002\u30e2\u30c7\u30eb\u306f\u65e5\u672c\u8a9e\u306e\u6587\u3092\u8aad\u307f\u307e\u3059\u3002\u30c6\u30b9\u30c8\u3001\u30c6\u30b9\u30c8\u3002
\ud55c\uad6d\uc5b4 \ubb38\uc7a5\ub3c4 \uc870\uae08 \uc788\uc2b5\ub2c8\ub2e4. \ud55c\uad6d\uc5b4 \ud14d\uc2a4\ud2b8\uc785\ub2c8\ub2e4.
\u0647\u0630\u0627 \u0646\u0635 \u0639\u0631\u0628\u064a \u0642\u0635\u064a\u0631\u060c \u0647\u0630\u0627 \u0646\u0635. \u05d6\u05d4 \u05d8\u05e7\u05e1\u05d8 \u05e7\u05e6\u05e8, \u05d6\u05d4 \u05d8\u05e7\u05e1\u05d8.
\u092f\u0939 \u0939\u093f\u0928\u094d\u0926\u0940 \u0915\u093e \u090f\u0915 \u0935\u093e\u0915\u094d\u092f \u0939\u0948\u0964 \u092f\u0939 \u0939\u093f\u0928\u094d\u0926\u0940 \u0939\u0948\u0964
int main(int argc, char** argv) {\n    for (int i = 0; i < argc; ++i) {\n        printf("%d: %s\\n", i, argv[i]);\n    }\n    return 0;\n}
def forward(x, weights):\n\tfor layer in weights:\n\t\tx = x + layer(x)\n\treturn x\n\n\n
if (a != b && c == d || !e) { return x->next[0] += 1; } // ==== ---- .... \U0001f600\U0001f600 \U0001f680 \u2713
"""


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def staged(patterns):
    stages = [pre_tokenizers.Digits(individual_digits=True) if p is None else split(p) for p in patterns]
    return pre_tokenizers.Sequence(stages + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


# The 13 bytes that no UTF-8 text has, spelled; DeepSeek's vocabularies have no tokens for them, but some have these letters as added tokens.
NEVER_IN_UTF8 = "\u00c0\u00c1\u00f5\u00f6\u00f7\u00f8\u00f9\u00fa\u00fb\u00fc\u00fd\u00fe\u00ff"
ALPHABET = pre_tokenizers.ByteLevel.alphabet()


def train(pre, n, special=(), alphabet=ALPHABET, unk=None):
    t = Tokenizer(models.BPE(unk_token=unk))
    t.normalizer = normalizers.Sequence([])
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(vocab_size=n, special_tokens=list(special), show_progress=False,
                                  initial_alphabet=alphabet)
    t.train_from_iterator(TEXT.split("\n\n") * 3, trainer)
    return t


def special(text, **flags):
    return AddedToken(text, special=True, normalized=False, **flags)


def like_v2():
    """Added tokens behind the vocabulary, one of them not special; bos from the config, as an object; merges as "a b"."""
    t = train(staged(PATTERNS["deepseek-llm"]), 480, alphabet=[c for c in ALPHABET if c not in NEVER_IN_UTF8])
    t.add_special_tokens([special(BOS), special(EOS)])
    t.add_tokens([AddedToken(FIM, normalized=True, special=False), AddedToken("\u00f8", normalized=False, special=False)])
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": {"__type": "AddedToken", "content": BOS, "lstrip": False},
              "eos_token": {"content": EOS}, "pad_token": EOS, "unk_token": None, "tokenizer_class": "LlamaTokenizerFast"}
    return t, config, lambda d: d["model"].update(merges=[" ".join(m) for m in d["model"]["merges"]])


def like_coder():
    """bos and eos from a TemplateProcessing in a Sequence of processors; merges as pairs; no config."""
    t = train(staged(PATTERNS["deepseek-coder"]), 440)
    t.add_special_tokens([special(BOS), special(EOS), special("<pad>")])
    t.add_tokens([AddedToken("<|EOT|>", normalized=False, special=False)])
    template = processors.TemplateProcessing(single=f"{BOS} $A {EOS}", pair=f"{BOS} $A $B {EOS}",
                                             special_tokens=[(BOS, t.token_to_id(BOS)), (EOS, t.token_to_id(EOS))])
    t.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    return t, None, lambda d: None


def like_v3():
    """Special tokens inside the vocabulary; tokens that overlap, that take white space along, that are found in the second pass."""
    t = train(staged(V3), 460, special=[BOS, EOS])
    t.add_special_tokens([special(BOS), special(EOS), special("<l>", lstrip=True), special("<r>", rstrip=True),
                          special("<b>", lstrip=True, rstrip=True), special("<tool>")])
    t.add_tokens([AddedToken("<tool><tool>", normalized=False), AddedToken("tool>", normalized=True), AddedToken("think", normalized=True),
                  AddedToken("<l", normalized=True, lstrip=True)])
    config = {"add_bos_token": True, "add_eos_token": True, "bos_token": BOS, "eos_token": EOS, "pad_token": None}
    return t, config, lambda d: None


def like_gpt2():
    """ByteLevel with its own pattern; ignore_merges, where the merges do not lead to every token."""
    t = train(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True), 420)
    t.add_special_tokens([special("<|endoftext|>")])
    t.add_tokens([AddedToken("!", normalized=False, special=False)])  # a byte of the vocabulary too

    def drop_merges(d):
        d["model"]["ignore_merges"] = True
        d["model"]["merges"] = [m for i, m in enumerate(d["model"]["merges"]) if i % 3]

    return t, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "add_bos_token": False}, drop_merges


def with_unk():
    """An alphabet that lacks bytes, unk for them, fused; runs of digits; no special tokens at all."""
    t = train(pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), split(" ?[\\p{L}\\p{M}'\\-]+"),
                                       pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]),
              300, special=["<unk>"], alphabet=[], unk="<unk>")
    return t, None, lambda d: d["model"].update(fuse_unk=True)


TOKENIZERS = {"v2": like_v2, "coder": like_coder, "v3": like_v3, "gpt2": like_gpt2, "unk": with_unk}


def strings(added):
    rng = random.Random(7)
    out = ["", "Hello world", "Hello, y'all! How are you \U0001f601 ?\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e",
           "the weights' 1234567 tokens\r\n\r\n\tcome  one   by one  ", " \n = Robert Boulter = \n \n Robert Boulter is",
           "\u4f60\u597d\uff0c\u4e16\u754c\uff01123\u4e2d\u6587 abc \uac00\ub098\ub2e4 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
           "if(x!=y){return\n\n\n    'RE've'll; }", "\u00f8re \u00d8 \u01c5 \u1e9e \ua728 \u10d0", "   \n   \n  x\n  ", "a\u0301\u0301b \u0301 \u0301",
           "\u200b\u200b\u200b \u200b", "12\u00bd34\u0663\u2167\U00011de3\U00011de4 99", "think <l> <r>  <b>  <tool><tool> <tool> tool> <l\n<l>",
           "x <l>  \n<l>", "<r> <r>  <l>  y", "<tool><tool><tool>", f"User: {BOS}x{EOS} {FIM}<|EOT|><pad><|endoftext|>", BOS * 3, BOS[:-1] + EOS]
    out += HARD
    for _ in range(60):
        out.append("".join(rng.choice(HARD + list(added) + TEXT.split()) * rng.choice([1, 1, 1, 2, 5]) for _ in range(rng.choice([2, 4, 9]))))
    return list(dict.fromkeys(out))


def main(folder):
    os.makedirs(folder, exist_ok=True)
    for name, make in TOKENIZERS.items():
        t, config, change = make()
        document = json.loads(t.to_str())
        change(document)
        path = lambda kind: os.path.join(folder, f"{name}.{kind}.json")
        with open(path("tokenizer"), "w") as f:
            f.write(json.dumps(document, separators=(",", ":")) + "\n")
        with open(path("config"), "w") as f:
            f.write(json.dumps(config, indent=1) + "\n" if config else "")
        t = Tokenizer.from_file(path("tokenizer"))
        prefix = [t.token_to_id(BOS)] if config and config["add_bos_token"] else []
        suffix = [t.token_to_id(EOS)] if config and config.get("add_eos_token") else []
        rows = []
        for text in strings(t.content for t in t.get_added_tokens_decoder().values()):
            t.encode_special_tokens = True
            row = {"text": text, "ids": t.encode(text, add_special_tokens=False).ids}
            t.encode_special_tokens = False
            parsed = t.encode(text, add_special_tokens=False).ids
            decoded = t.decode(parsed, skip_special_tokens=False)
            if latin_letters(t) & set(parsed):  # shown as U+FFFD by Hugging Face (tokenizers #1424), as their text by fathom
                decoded = text
            skipped = t.decode(parsed, skip_special_tokens=True)
            row.update({} if parsed == row["ids"] else {"parsed": parsed})
            row.update({} if decoded == text else {"decoded": decoded})
            row.update({} if skipped == decoded or latin_letters(t) & set(parsed) else {"skipped": skipped})
            rows.append(json.dumps(row, separators=(",", ":")))
        around = t.encode("").ids  # of the post-processor; fathom adds what the config says on top
        half = len(around) // 2
        golden = {"prefix": prefix + around[:half], "suffix": around[half:] + suffix}
        with open(path("golden"), "w") as f:
            f.write(json.dumps(golden)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}\n")
        print(f"{name}: {t.get_vocab_size()} tokens, {len(rows)} strings")


if __name__ == "__main__":
    main(sys.argv[1])
