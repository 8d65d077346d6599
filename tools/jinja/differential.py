#!/usr/bin/env python3
"""Random small templates and what jinja2 makes of them: cases for tests/jinja/template_test.cpp.

    tools/jinja/differential.py [N] [SEED] [FILE]      default: 400 1 tests/golden/chat/differential.json

A case has "text", or null where jinja2 raises. To try more than the committed cases:
    tools/jinja/differential.py 50000 7 cases.json && FATHOM_JINJA_CASES=cases.json build/release/tokenizer_tests
"""
import json
import pathlib
import random
import sys

from environment import render

VARIABLES = {
    "messages": [
        {"role": "system", "content": " Be  terse.\n"},
        {"role": "user", "content": "Hi <b>you</b>, x|y|z"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nAnswer: 42"},
        {"role": "tool", "content": "\u4f60\u597d \U0001f999 \u00e9", "name": "f"},
        {"role": "user", "content": ""},
    ],
    "tools": [{"type": "function", "function": {"name": "add", "args": {"a": 1, "b": [1.5, True, None]}}}],
    "s": "  Hello, World  ",
    "t": "a-b-c--d",
    "u": "\u4f60a\u597d\u3000",
    "empty": "",
    "n": 7,
    "m": -3,
    "z": 0,
    "f": 2.5,
    "yes": True,
    "no": False,
    "nothing": None,
    "xs": [3, 1, 2],
    "names": ["b", "a", "c"],
    "d": {"k": "v", "n": 1, "l": [1, 2]},
    "add_generation_prompt": True,
    "bos_token": "<s>",
}


class Maker:
    """Expressions of a wanted type, so that most templates run; one in about twenty is of any type."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.locals = []

    def pick(self, *options):
        return self.r.choice(options)

    def string(self, depth):
        r = self.r
        if depth <= 0 or r.random() < 0.25:
            return self.pick("s", "t", "u", "empty", "bos_token", "'ab'", '"x\\ny"', "'\\u00e9'", "d.k", "d['k']",
                             "messages[0].content", "messages[-1]['role']", "messages[2]['content']", "'it\\'s'",
                             "'a' 'b'", *[v for v, kind in self.locals if kind == "string"])
        a = lambda: self.string(depth - 1)
        i = lambda: self.integer(depth - 1)
        return r.choice([
            lambda: f"{a()} + {a()}",
            lambda: f"({a()} + {a()})",
            lambda: f"{a()} ~ {self.any(depth - 1)}",
            lambda: f"{a()} * {self.pick(0, 1, 2, -1)}",
            lambda: f"({a()})[{self.pick(0, -1, 1, 99)}]",
            lambda: f"({a()})[{self.pick('', 1, -3, 0)}:{self.pick('', 2, -1, 50)}]",
            lambda: f"({a()})[{self.pick('', 3)}::{self.pick(-1, 2, -2)}]",
            lambda: f"({a()}).{self.pick('strip', 'lstrip', 'rstrip')}({self.pick('', repr(' -'), repr('a'))})",
            lambda: f"({a()}).split({self.pick('', repr('-'), repr('</think>'), repr('|'))})[{self.pick(0, -1)}]",
            lambda: f"({a()}).split('-', {self.pick(0, 1, 2, -1)})[-1]",
            lambda: f"({a()}).replace({self.pick(repr('a'), repr('-'), repr('lo'))}, {a()}{self.pick('', ', 1')})",
            lambda: f"({a()}).{self.pick('removeprefix', 'removesuffix')}({self.pick(repr('a'), repr(' '))})",
            lambda: f"{self.pick('s', 't')}.{self.pick('upper', 'lower', 'capitalize', 'title', 'swapcase')}()",
            lambda: f"({a()}).{self.pick('partition', 'rpartition')}({self.pick(repr('-'), repr('l'))})[{self.pick(0, 1, 2)}]",
            lambda: f"({a()}).rsplit({self.pick(repr('-'), repr('l'))}, {self.pick(0, 1, 2, -1)})[{self.pick(0, -1)}]",
            lambda: f"'{self.pick('<{}>', '{0}{0}', '{{}}', '{a}', '{')}'.format({a()}{self.pick('', ', a=' + repr('q'))})",
            lambda: f"({a()} | {self.pick('safe', 'e', 'escape')}) {self.pick('+', '~')} {a()}",
            lambda: f"({a()}) | indent({self.pick('', '2', '1, true', repr('>') + ', blank=true')})",
            lambda: f"'{self.pick('7', '-7', '', '12345')}'.zfill({self.pick(0, 3)})",
            lambda: f"strftime_now('{self.pick('%d %b %Y', '%Y-%m-%d', '%A, %-d %B %H:%M %p', '%j %U %%')}')",
            lambda: f"({self.strings(depth - 1)}) | {self.pick('min', 'max')}",
            lambda: "d | dictsort | string",
            lambda: "tools[0].function | string",
            lambda: f"{a()} | trim",
            lambda: f"({a()} | trim)",
            lambda: f"t | {self.pick('upper', 'lower', 'capitalize', 'title')}",
            lambda: f"{self.any(depth - 1)} | string",
            lambda: f"({a()}) | replace('a', 'bb')",
            lambda: f"({a()}) | reverse",
            lambda: f"({self.strings(depth - 1)}) | join({self.pick('', repr(', '))})",
            lambda: f"{self.pick(repr('-'), repr(''))}.join({self.strings(depth - 1)})",
            lambda: f"({self.any(depth - 1)}) | tojson{self.pick('', '(indent=2)', '(sort_keys=true)', '(ensure_ascii=true)')}",
            lambda: f"({self.strings(depth - 1)}) | {self.pick('first', 'last')}",
            lambda: f"(missing | default({a()}))",
            lambda: f"({a()} | default('q', true))",
            lambda: f"({a()} if {self.boolean(depth - 1)} else {a()})",
            lambda: f"({a()} if {self.boolean(depth - 1)})",
            lambda: f"({a()} or {a()})",
            lambda: f"d.get('{self.pick('k', 'q')}', {a()})",
        ])()

    def integer(self, depth):
        if depth <= 0 or self.r.random() < 0.3:
            return self.pick("n", "m", "z", "1", "2", "10", "1_0", "d.n", "xs[0]", *[v for v, k in self.locals if k == "integer"])
        a = lambda: self.integer(depth - 1)
        return self.r.choice([
            lambda: f"({a()} {self.pick('+', '-', '*', '//', '%')} {a()})",
            lambda: f"{a()} {self.pick('+', '-', '*')} {a()}",
            lambda: f"(-{a()})",
            lambda: f"-{a()} | abs",
            lambda: f"({self.pick(self.string, self.strings)(depth - 1)}) | {self.pick('length', 'count')}",
            lambda: f"({self.string(depth - 1)}).{self.pick('find', 'rfind', 'index', 'count')}({self.pick(repr('a'), repr('l'))})",
            lambda: f"(xs | {self.pick('min', 'max', 'sum', 'first')})",
            lambda: f"(messages | {self.pick('map', 'selectattr')}('length') | list | length)",
            lambda: f"({self.pick(repr('42'), repr(' 7 '), repr('3.9'), repr('x'), 'f', 'n', 'yes')} | int)",
            lambda: f"({a()} if {self.boolean(depth - 1)} else {a()})",
            lambda: f"xs[{a()} % 3]",
        ])()

    def number(self, depth):
        if self.r.random() < 0.7:
            return self.integer(depth)
        return self.pick("f", "1.5", "2.0", "1e3", "0.1 + 0.2", "7 / 2", "n / 3", "1e16", "1.5e-7", "f * 4", "'2.5' | float")

    def boolean(self, depth):
        if depth <= 0 or self.r.random() < 0.15:
            return self.pick("yes", "no", "true", "False", "add_generation_prompt", *[v for v, k in self.locals if k == "loop"])
        a = lambda: self.boolean(depth - 1)
        s = lambda: self.string(depth - 1)
        i = lambda: self.number(depth - 1)
        return self.r.choice([
            lambda: f"{a()} {self.pick('and', 'or')} {a()}",
            lambda: f"not {a()}",
            lambda: f"({a()})",
            lambda: f"({s()}) {self.pick('==', '!=', '<', '>=', 'in', 'not in')} ({s()})",
            lambda: f"{i()} {self.pick('==', '!=', '<', '<=', '>', '>=')} {i()}",
            lambda: f"1 {self.pick('<', '<=')} {i()} {self.pick('<', '>', '!=')} 9",
            lambda: f"{s()} {self.pick('in', 'not in')} {self.strings(depth - 1)}",
            lambda: f"'{self.pick('k', 'z')}' {self.pick('in', 'not in')} d",
            lambda: f"({s()}).{self.pick('startswith', 'endswith')}({self.pick(repr('a'), repr(' '), '(' + repr('<') + ', ' + repr('H') + ')')})",
            lambda: f"{self.pick('s', 'n', 'd', 'xs', 'nothing', 'missing', 'd.q', 'f', 'yes')} is {self.pick('', 'not ')}"
                    f"{self.pick('defined', 'none', 'string', 'mapping', 'iterable', 'sequence', 'number', 'undefined', 'boolean', 'integer', 'float', 'true', 'false')}",
            lambda: f"{self.integer(depth - 1)} is {self.pick('odd', 'even', 'divisibleby 2', 'divisibleby(3)', 'eq 3', 'gt 1', 'in xs')}",
            lambda: f"not d.{self.pick('k', 'q')} is defined",
            lambda: f"'{self.pick('12', 'ab', 'a1', '', ' ', 'AB', 'Ab')}'.{self.pick('isdigit', 'isalpha', 'isalnum', 'isspace', 'isupper', 'islower')}()",
            lambda: f"{self.pick('s', 't', 'n')} is {self.pick('lower', 'upper', 'callable')}",
            lambda: f"{self.any(depth - 1)} == {self.any(depth - 1)}",
        ])()

    def strings(self, depth):
        """A sequence of strings."""
        if depth <= 0 or self.r.random() < 0.4:
            return self.pick("names", "['a', s]", "[]", "('x', 'y')", "t.split('-')", "d | list")
        return self.r.choice([
            lambda: f"[{self.string(depth - 1)}, {self.string(depth - 1)}]",
            lambda: f"({self.string(depth - 1)}).split({self.pick('', repr('-'), repr(' '))})",
            lambda: f"names[{self.pick('', 1, -2)}:{self.pick('', 2, -1)}]",
            lambda: "names + ['z']",
            lambda: f"({self.string(depth - 1)} | list)",
            lambda: f"(messages | map(attribute='{self.pick('role', 'content')}') | list)",
            lambda: f"(messages | selectattr('role', '{self.pick('eq', 'ne', 'equalto', '==')}', 'user') | map(attribute='role') | list)",
            lambda: "(messages | rejectattr('name', 'defined') | map(attribute='role') | list)",
            lambda: "(names | reject('eq', 'a') | list)",
            lambda: "(names | map('upper') | list)",
            lambda: "(names | reverse | list)",
            lambda: f"d.keys() | list",
            lambda: f"({self.string(depth - 1)}).splitlines()",
            lambda: f"({self.string(depth - 1)}).rsplit({self.pick('', repr('-'))})",
            lambda: f"(names + ['B', 'a']) | {self.pick('sort', 'sort(reverse=true)', 'sort(case_sensitive=true)', 'unique | list')}",
            lambda: f"(messages | sort(attribute='{self.pick('role', 'content')}') | map(attribute='role') | list)",
            lambda: f"({self.pick('nothing', 'no', 'z')} | {self.pick('select', 'map', 'reject')}('string') | list)",
        ])()

    def any(self, depth):
        return self.r.choice([self.string, self.integer, self.boolean, self.strings, self.number,
                              lambda _: self.pick("nothing", "missing", "d", "xs", "[1, 'a', none]", "{'a': 1, 'b': [s]}",
                                                  "(1,)", "range(3) | list", "xs[::-1]", "tools[0].function.args",
                                                  "'a\\'b\"' | list", "[0.1, -1e-5]", "true")])(depth)

    def expression(self, depth=3):
        if self.r.random() < 0.05:
            return self.pick("missing.x", "nothing.x", "s + 1", "n + s", "xs + names", "s.nope", "s.nope()", "d.k.q.r", "1 // 0",
                             "n % 0", "xs.append(1)", "1 < 'a'", "raise_exception('no')", "missing + 'a'", "for", "s[", "n()",
                             "- 's'", "n[1:]", "d[:1]", "loop.index", "range(2)[1]", "s is string is string")
        return self.r.choice([self.string, self.string, self.integer, self.boolean, self.number, self.any])(depth)

    def text(self):
        return self.pick("", " ", "\n", "a", "b \n", "\n  ", "  \t", " c\n\n", "{ }", "%}", "\r\n", "}}", "#}", "\u4f60 ")

    def tag(self, body):
        return "{%" + self.pick("", "", "-", "+") + f" {body} " + self.pick("", "", "-", "+") + "%}"

    def output(self):
        return "{{" + self.pick("", "", "-") + f" {self.expression()} " + self.pick("", "", "-") + "}}"

    def block(self, depth):
        parts = []
        for _ in range(self.r.randint(1, 4)):
            parts += [self.text(), self.statement(depth), self.text()]
        return "".join(parts)

    def statement(self, depth):
        if depth <= 0 or self.r.random() < 0.4:
            return self.output()
        return self.r.choice([self.branch, self.loop, self.assign, self.comment, self.macro, self.namespace, self.raw,
                              self.set_block, self.generation, self.filter_block, self.late_macros])(depth - 1)

    def comment(self, depth):
        return "{#" + self.pick("", "-", "+") + self.pick(" c ", "\n{{ x }}\n", "") + self.pick("", "-", "+") + "#}"

    def raw(self, depth):
        return self.tag("raw").replace("+%}", "%}") + self.pick("{{ x }}", "\n {% if %}\n", "") + self.tag("endraw")

    def branch(self, depth):
        out = self.tag("if " + self.boolean(2)) + self.block(depth)
        if self.r.random() < 0.4:
            out += self.tag("elif " + self.boolean(2)) + self.block(depth)
        if self.r.random() < 0.5:
            out += self.tag("else") + self.block(depth)
        return out + self.tag("endif")

    def loop(self, depth):
        kept = len(self.locals)
        head = self.pick("for x in names", "for x in messages", "for x in range(3)", "for x in s", "for k, v in d.items()",
                         "for x in xs if x > 1", "for x in messages if x.role == 'user'", "for x in []", "for x in missing",
                         "for k in d", "for k, v in d | items", "for x in messages[1:]", "for x in xs | reverse", "for x in n")
        if head in ("for x in names", "for x in s"):
            self.locals.append(("x", "string"))
        if head in ("for x in range(3)", "for x in xs if x > 1"):
            self.locals.append(("x", "integer"))
        self.locals += [("loop.first", "loop"), ("loop.last", "loop"), ("loop.index", "integer"), ("loop.index0", "integer"),
                        ("loop.length", "integer"), ("loop.revindex", "integer"), ("loop.cycle('p', 'q')", "string")]
        out = self.tag(head) + self.block(depth)
        if self.r.random() < 0.3:
            out += self.tag("if loop.index == 2") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.text()
        if self.r.random() < 0.3:
            out += "{{ loop.previtem if not loop.first }}{{ loop.nextitem is defined }}"
        del self.locals[kept:]
        if self.r.random() < 0.3:
            out += self.tag("else") + self.block(depth)
        return out + self.tag("endfor")

    def assign(self, depth):
        name = self.pick("s", "t", "n", "q", "names")
        kind = {"n": self.integer, "names": self.strings}.get(name, self.string)
        out = self.tag(f"set {name} = {kind(3)}") + self.pick("", "{{ " + name + " }}")
        return out + self.pick("", "", self.tag("set p, q = 1, 'two'") + "{{ p }}{{ q }}")

    def set_block(self, depth):
        kind = self.pick("set s", "set s | trim", "set s | upper | replace('A', 'b')")
        return self.tag(kind) + self.block(depth) + self.tag("endset") + "[{{ s }}]"

    def filter_block(self, depth):
        kind = self.pick("trim", "upper", "replace('a', 'b') | title", "indent(2, true)")
        return self.tag("filter " + kind) + self.block(depth) + self.tag("endfilter")

    def late_macros(self, depth):
        return (self.tag("macro g(n)") + "{{ h(n) if n }}{{ q }}" + self.tag("endmacro") + self.pick("{{ g(1) if g }}", "") +
                self.tag("macro h(n)") + "({{ n }}{{ g(n - 1) }})" + self.tag("endmacro") + self.tag("set q = 'q'") + "{{ g(2) }}")

    def generation(self, depth):
        return self.tag("generation") + self.block(depth) + self.tag("endgeneration")

    def namespace(self, depth):
        out = self.tag("set ns = namespace(a=0, b='x')")
        out += self.tag("for x in xs") + self.tag("set ns.a = ns.a + x") + self.tag("set ns.b = ns.b ~ x") + self.tag("endfor")
        return out + "{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}"

    def macro(self, depth):
        return (self.tag("macro f(a, b=" + self.string(1) + ")") + "<{{ a }}|{{ b }}>" + self.tag("endmacro") +
                "{{ f(" + self.pick("1", "1, 2", "b=3", "a=1, b='x'", "", "1, 2, 3", "c=1") + ") }}")

    def template(self):
        self.locals = []
        return self.block(3)


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    default = pathlib.Path(__file__).parents[2] / "tests/golden/chat/differential.json"
    path = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else default
    maker, cases, seen = Maker(seed), [], set()
    while len(cases) < count:
        source = maker.template()
        if len(source) > 600 or source in seen:
            continue
        seen.add(source)
        try:
            text = render(source, **VARIABLES)
        except Exception:  # jinja2's own errors, and Python's TypeError, ZeroDivisionError, ... from inside a template
            text = None
        if text is None or len(text) < 2000:
            cases.append([source, text])
    path.write_text(json.dumps({"variables": VARIABLES, "cases": cases}, indent=0) + "\n")
    print(f"{path}: {len(cases)} cases, {sum(t is None for _, t in cases)} of them errors")


if __name__ == "__main__":
    main()
