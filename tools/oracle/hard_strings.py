"""Strings on which tokenizers differ: whitespace runs, digits, scripts, emoji, marks, controls, special tokens.

Valid Unicode only: what an engine does with broken UTF-8 is its own choice (fathom: U+FFFD, as Hugging Face).
"""
import random

BAR, BLOCK = "\uff5c", "\u2581"
SPECIALS = [f"<{BAR}begin{BLOCK}of{BLOCK}sentence{BAR}>", f"<{BAR}end{BLOCK}of{BLOCK}sentence{BAR}>",
            f"<{BAR}User{BAR}>", f"<{BAR}Assistant{BAR}>", f"<{BAR}fim{BLOCK}hole{BAR}>", "<|EOT|>"]

FIXED = [
    "", " ", "  ", "   ", "\t", "\n", "\n\n", "\n\n\n", "\r", "\r\n", " \n", "\n ", " \n \n ", "\t\t\tx", "x   ",
    "x \n",
    "\u00a0", "\u3000\u3000x", "\u2028", "\u200b", "\ufeffx", "\u0085", "\x00", "a\x00b", "\x1b[0m", "\x7f",
    "Hello world", " Hello World!", "Hello, world!", "hello  world", "HELLO", "don't won't I'll we'VE",
    "3333", "0", "1234567890", "12 345,678.90", "\u0661\u0662\u0663", "\u0967\u0968\u0969", "\u00bd\u00b2\u2160",
    "v1.2.3-rc4",
    "\u2460\u2461", "1a2b3c", "x=1;y=22;z=333", "2026-11-24T07:30:00Z", "0xDEADBEEF", "1e-10", "\uff11\uff12\uff13",
    "def f(x):\n    return x**2  # ok\n", "if (a&&b||!c) { x->y += 1; }", "#include <vector>\n\tint main(){}",
    "<html></html>",
    "SELECT * FROM t WHERE a='b' -- c", "\\frac{1}{2} \\alpha_i^{2}", "a_b_c __init__ camelCaseWords",
    "http://a.b/c?d=e&f#g",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01", "\u6211\u60f3\u5728apple\u5de5\u4f5c1314151\u5929\uff5e",
    "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8", "\ud55c\uad6d\uc5b4 \ud14c\uc2a4\ud2b8",
    "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440",
    "\u0393\u03b5\u03b9\u03ac \u03c3\u03bf\u03c5 \u039a\u03cc\u03c3\u03bc\u03b5",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u05e9\u05dc\u05d5\u05dd",
    "\u0928\u092e\u0938\u094d\u0924\u0947",
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u10d2\u10d0\u10db\u10d0\u10e0\u10ef\u10dd\u10d1\u10d0",
    "\u13a3\u13b5\u13cf", "\u2c00\u2c30", "\u0531\u0561", "\u1200\u1228", "\U00010400\U00010428",
    "\U0001d504\U0001d4d0",
    "e\u0301", "\u00e9", "o\u0308\u0323", "\u0301alone", "\u1e9e\u00df", "\u0130\u0131", "\ufb01ne",
    "\u01c4\u01c5\u01c6", "\u00aa\u00ba\u02b0",
    "\U0001f999", "\U0001f601\U0001f601", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\u2764\ufe0f",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd", "\U000e0041", "\uffff", "\U0010ffff",
    "\u2018x\u2019 \u201cy\u201d \u2026", "\u3001\u3002\u300c\u300d", "\uff01\uff02\uff03\uff21\uff41",
    "\u20ac\u00a3\u00a5", "\u2212\u00d7\u00f7\u2260", "\u2192\u21d2", "\u2500\u2502\u253c", "!!!???...", "----====",
    "~`@#$%^&*()",
    "a" * 3000, " " * 3000, "\n" * 500, "1" * 1000, "\U0001f601" * 300, "ab " * 700, "\u4e2d" * 700, "=" * 1000,
    *SPECIALS, *(f"x {token}y" for token in SPECIALS), SPECIALS[0] * 3, SPECIALS[0][:-1], "<|begin_of_sentence|>",
    f"User: hi\n\nAssistant: {SPECIALS[1]}User:", f"{SPECIALS[0]}  {SPECIALS[1]}\n\n{SPECIALS[5]}",
]

POOLS = ["abcdefghij XYZ", "  \t\n\r", "0123456789", ".,;:!?'\"()[]{}<>/\\|-_=+*&^%$#@~`",
         "\u00e9\u00e8\u00fc\u00f1\u00df\u00c5",
         "\u0430\u0431\u0432\u0413\u0414", "\u03b1\u03b2\u03b3\u0394",
         "\u4e2d\u6587\u5b57\u7b26\u3042\u30a2\ud55c\uae00", "\u0627\u0628\u062a\u0661\u0662",
         "\U0001f600\U0001f999\u2764\ufe0f\u200d", "\u0301\u0308\u200b\u00a0\u3000"]


def random_strings(n, seed=20405):
    """n strings: half mix the pools above, a quarter runs of one pool, a quarter any code points."""
    rng, out = random.Random(seed), []
    for i in range(n):
        length = rng.choice((1, 2, 3, 5, 8, 20, 60))
        if i % 4 < 2:
            out.append("".join(rng.choice(rng.choice(POOLS)) for _ in range(length)))
        elif i % 4 == 2:
            out.append("".join(rng.choice(pool) for pool in rng.choices(POOLS, k=4) for _ in range(1 + length // 4)))
        else:
            points = (rng.choice((rng.randrange(0x20, 0x3000), rng.randrange(0x3000, 0xD800),
                                  rng.randrange(0xE000, 0x110000))) for _ in range(length))
            out.append("".join(map(chr, points)))
    return out


def corpus(n_random):
    return FIXED + random_strings(n_random)
