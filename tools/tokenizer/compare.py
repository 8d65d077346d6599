#!/usr/bin/env python3
"""Compares fathom's tokenizer with Hugging Face `tokenizers` on many strings: ids, and decode(encode(x)).

    cmake --build --preset release --target tokenizer_driver
    pip install tokenizers gguf
    python3 tools/tokenizer/compare.py --driver build/release/tokenizer_driver --json FOLDER/tokenizer.json --text DIR ...
    python3 tools/tokenizer/compare.py --driver ... --gguf ggml-vocab-deepseek-llm.gguf [--v2] --text DIR ...

--gguf builds the tokenizer.json of that vocabulary with the pre-tokenizer written down here (an oracle of its own: nothing of fathom is
used), and compares it both with fathom's reading of that tokenizer.json and with fathom's reading of the GGUF vocabulary. Then what
fathom writes is read back: its tokenizer.json by Hugging Face, its GGUF vocabulary by fathom.

The strings: lines, paragraphs and cuts of the text files under --text; random Unicode; mixtures of hard pieces; spelled special tokens.
Every string is compared with special tokens parsed (Hugging Face's default) and not (encode_special_tokens = True).
"""
import argparse
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer

CASED = (
    "A-Za-z\xb5\xc0-\xd6\xd8-\xf6\xf8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386"
    "\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd"
    "\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d"
    "\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3"
    "\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128"
    "\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17"
    "\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943"
)
CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
PATTERNS = {
    "deepseek-llm": ["[\r\n]", f"\\s?[{CASED}]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", "\\s+$", CJK, None],
    "deepseek-coder": ["[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK, None],
}


# Special whatever the GGUF file says, as in llama.cpp.
CONTROL_BY_NAME = {f"<\uff5c{name}\uff5c>" for name in ("fim\u2581begin", "fim\u2581hole", "fim\u2581end", "end\u2581of\u2581sentence")}


def tokenizer_json_of(v):
    """The tokenizer.json (as a dictionary) of a VocabularyData dictionary."""
    stages = []
    for pattern in PATTERNS[v["pre"]]:
        if pattern is None:
            stages.append({"type": "Digits", "individual_digits": True})
        else:
            stages.append({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False})
    stages.append({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False})
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, **flags, "special": k == 3 or t in CONTROL_BY_NAME}
                         for i, (t, k) in enumerate(zip(v["tokens"], v["token_types"])) if k in (3, 4)],
        "normalizer": {"type": "Sequence", "normalizers": []},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": stages},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, (t, k) in enumerate(zip(v["tokens"], v["token_types"])) if k == 1}, "merges": v["merges"]},
    }


def vocabulary_of_gguf(path, v2):
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    value = lambda key: fields["tokenizer.ggml." + key].contents()
    n = 100002 if v2 else None  # DeepSeek-V2 lacks the 13 letters and the padding that follow
    return {"tokens": value("tokens")[:n], "token_types": value("token_type")[:n], "merges": value("merges"), "pre": value("pre"),
            "bos": value("bos_token_id"), "eos": value("eos_token_id"), "pad": value("padding_token_id"), "unk": None,
            "add_bos": value("add_bos_token"), "add_eos": value("add_eos_token")}


# ---- Strings ----

def text_files(folders, rng):
    paths = []
    for folder in folders:
        for root, _, names in os.walk(folder):
            paths += [os.path.join(root, name) for name in names]
    paths.sort()
    rng.shuffle(paths)
    for path in paths:
        if os.path.islink(path) or not os.path.isfile(path) or not 40 < os.path.getsize(path) < 4_000_000:
            continue
        with open(path, "rb") as file:
            head = file.read(200_000)
        try:
            yield head.decode("utf-8")
        except UnicodeDecodeError as e:
            if e.start > len(head) - 4:  # cut inside a character
                yield head[: e.start].decode("utf-8")


def cuts_of(text, rng, n):
    for _ in range(n):
        kind = rng.random()
        if kind < 0.4:
            lines = text.split("\n")
            at = rng.randrange(len(lines))
            yield "\n".join(lines[at : at + rng.choice([1, 1, 2, 5])])
        else:
            at = rng.randrange(len(text))
            yield text[at : at + rng.choice([3, 10, 40, 150, 600])]


HARD = [" ", "  ", "   ", "\n", "\r", "\r\n", "\t", "\n\n", " \n", "\n ", "\u00a0", "\u3000", "\u2028", "\u200b", "\u200d", "\ufeff", "\0",
        "'s", "'ll", "'RE", "'", "\u2019t", "1", "12", "123", "1234567", "\u00bd", "\u0663", "\u2167", "\U00011de3", "a", "Z", "the", "Hello",
        "\u00e9", "e\u0301", "\u0301", "\u01c5", "\u1e9e", "\u0130", "\ua728", "\u10d0", "\u0561", "\u16a0", "\u4e2d", "\u6587", "\u9fa5",
        "\u9fa6", "\u3042", "\u30ab", "\uac00", "\ud7a3", "\ud7b0", "\u0800", "\u0e01\u0e33", "\u05d0", "\u0627", "\u0905\u0902",
        "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\ufe0f", "\U00020000", "\U0010ffff", "\ue000",
        "!", "?!", "...", "\u3002", "\uff0c", "\u300c", "$", "+", "^", "`", "~", "_", "\u20ac", "\u2018", "\u201c", "\uff01", "\uff5e", "\uff21",
        "\uff5c", "\u2581", "<", ">", "|", "{", "}", "()", "=>", "//", "/*", "#", "::", "->", "\\n", "\"", "<|", "|>"]


def random_unicode(rng):
    blocks = [rng.randrange(0, 0x3000), rng.randrange(0, 0x20000), rng.randrange(0, 0x110000)]
    out = []
    for _ in range(rng.choice([1, 2, 5, 20, 60])):
        kind = rng.random()
        if kind < 0.5:
            c = blocks[rng.randrange(3)] + rng.randrange(64)
        elif kind < 0.8:
            c = rng.randrange(0x3000)
        else:
            c = rng.randrange(0x110000)
        if c < 0x110000 and not 0xD800 <= c < 0xE000:
            out.append(chr(c))
    return "".join(out)


def make_strings(n, folders, added, seed):
    rng = random.Random(seed)
    out = ["", *HARD, *added]
    out += [chr(c) for c in range(0x3000)]
    while len(out) < n * 6 // 10:
        for text in text_files(folders, rng):
            out += cuts_of(text, rng, 6)
            if len(out) >= n * 6 // 10:
                break
        else:
            if not folders:
                break
    while len(out) < n * 75 // 100:
        out.append(random_unicode(rng))
    while len(out) < n * 95 // 100:
        out.append("".join(rng.choice(HARD) * rng.choice([1, 1, 1, 2, 7]) for _ in range(rng.choice([2, 3, 5, 12, 30]))))
    while len(out) < n:
        parts = []
        for _ in range(rng.choice([1, 2, 4])):
            token = rng.choice(added or HARD)
            parts += [rng.choice(HARD), token if rng.random() < 0.7 else token[: rng.randrange(len(token) + 1)]]
        out.append("".join(parts))
    return out


# ---- Comparison ----

def ask_driver(driver, arguments, strings):
    data = b"".join(struct.pack("<I", len(s)) + s for s in (x.encode("utf-8") for x in strings))
    done = subprocess.run([driver, *arguments], input=data, stdout=subprocess.PIPE, check=True)
    at, answers = 0, []
    for _ in range(2 * len(strings)):
        (n,) = struct.unpack_from("<I", done.stdout, at)
        ids = list(struct.unpack_from(f"<{n}i", done.stdout, at + 4))
        (m,) = struct.unpack_from("<I", done.stdout, at + 4 + 4 * n)
        at += 8 + 4 * n
        answers.append((ids, done.stdout[at : at + m].decode("utf-8")))
        at += m
    return answers[0::2], answers[1::2]


def ask_hugging_face(tokenizer, strings, parse_special):
    tokenizer.encode_special_tokens = not parse_special
    ids = [e.ids for e in tokenizer.encode_batch(strings, add_special_tokens=False)]
    return list(zip(ids, tokenizer.decode_batch(ids, skip_special_tokens=False)))


def latin_letters(tokenizer):
    """Added tokens that Hugging Face decodes through the byte alphabet although they are plain text (tokenizers #1424)."""
    return {i for i, t in tokenizer.get_added_tokens_decoder().items() if len(t.content) == 1 and ord(t.content) > 0x7F}


def compare(name, strings, ours, theirs, letters):
    wrong_ids = wrong_text = known = 0
    for text, (our_ids, our_text), (their_ids, their_text) in zip(strings, ours, theirs):
        if our_ids != their_ids:
            wrong_ids += 1
            if wrong_ids <= 5:
                print(f"  ids of {text!r}:\n    fathom       {our_ids}\n    hugging face {their_ids}")
        elif our_text != their_text:
            if letters & set(their_ids) and our_text == text:
                known += 1
                continue
            wrong_text += 1
            if wrong_text <= 5:
                print(f"  text of {their_ids}: fathom {our_text!r}, hugging face {their_text!r}")
    note = f" ({known} more where Hugging Face shows a Latin letter token as U+FFFD and fathom the text)" if known else ""
    print(f"{name}: {len(strings)} strings, {wrong_ids} differ in ids, {wrong_text} differ in decoded text{note}", flush=True)
    return wrong_ids + wrong_text


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--driver", required=True)
    p.add_argument("--json", help="a tokenizer.json")
    p.add_argument("--gguf", help="a GGUF file with a vocabulary")
    p.add_argument("--v2", action="store_true", help="cut the vocabulary of --gguf (deepseek-llm) to DeepSeek-V2's")
    p.add_argument("--text", nargs="*", default=[], help="folders with text files (UTF-8)")
    p.add_argument("-n", type=int, default=50000, help="how many strings")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, vocabulary = a.json, None
        if a.gguf:
            v = vocabulary_of_gguf(a.gguf, a.v2)
            path, vocabulary = os.path.join(folder, "tokenizer.json"), os.path.join(folder, "vocabulary.json")
            json.dump(tokenizer_json_of(v), open(path, "w"))
            json.dump(v, open(vocabulary, "w"))
        tokenizer = Tokenizer.from_file(path)
        letters = latin_letters(tokenizer)
        added = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
        strings = make_strings(a.n, a.text, added, a.seed)
        theirs = [ask_hugging_face(tokenizer, strings, parse_special) for parse_special in (False, True)]
        wrong = 0
        forms = [("tokenizer.json", ["json", path])] + ([("GGUF vocabulary", ["vocab", vocabulary])] if vocabulary else [])
        for form, arguments in forms:
            answers = ask_driver(a.driver, arguments, strings)
            for parse_special in (False, True):
                name = f"{form}, special tokens {'parsed' if parse_special else 'as text'}"
                wrong += compare(name, strings, answers[parse_special], theirs[parse_special], letters)
        wrong += read_back(a.driver, folder, path, vocabulary, strings[:: max(1, len(strings) // 10000)], tokenizer)
    sys.exit(1 if wrong else 0)


def read_back(driver, folder, path, vocabulary, strings, tokenizer):
    """What fathom writes: its GGUF vocabulary, and from that its tokenizer.json, which Hugging Face reads."""
    written_vocabulary, written_json = os.path.join(folder, "written.vocabulary.json"), os.path.join(folder, "written.tokenizer.json")
    source = ["write-vocab", path]
    with open(written_vocabulary, "wb") as out:
        subprocess.run([driver, *source], stdout=out, check=True)
    with open(written_json, "wb") as out:
        subprocess.run([driver, "write-json", vocabulary or written_vocabulary], stdout=out, check=True)
    theirs = ask_hugging_face(tokenizer, strings, True)
    wrong = compare("GGUF vocabulary written by fathom, read by fathom", strings,
                    ask_driver(driver, ["vocab", written_vocabulary], strings)[1], theirs, latin_letters(tokenizer))
    again = Tokenizer.from_file(written_json)
    wrong += compare("tokenizer.json written by fathom, read by Hugging Face", strings, ask_hugging_face(again, strings, True), theirs, set())
    return wrong


if __name__ == "__main__":
    main()
