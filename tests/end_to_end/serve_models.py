#!/usr/bin/env python3
"""`fathom serve` with several models: each is found by its name, loaded when it is asked for, and let go of when it is idle or another needs its memory.

    python3 tests/end_to_end/serve_models.py build/release/fathom
"""
import concurrent.futures
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

FATHOM = os.environ["FATHOM"] = os.path.realpath(sys.argv[1])
BUNDLED = str(Path(__file__).resolve().parents[2] / "models/bundled.gguf")
sys.path.insert(0, str(Path(__file__).parents[1] / "clients" / "support"))
from fathom_server import ENVIRONMENT, Server, eventually  # noqa: E402

failures = []


def claim(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED", what, flush=True)


class Models(Server):
    def __init__(self, *options):
        super().__init__(*options, is_open=True)

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def get(self, path):
        status, text = self.request("GET", path)
        return status, json.loads(text)

    def post(self, path, body):
        status, text = self.request("POST", path, body)
        return status, json.loads(text)

    def complete(self, model, **more):
        ask = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0, **({} if model is None else {"model": model}), **more}
        return self.post("/v1/completions", ask)

    def loaded(self):
        return {m["id"]: m["loaded"] for m in self.get("/v1/models")[1]["data"]}

    def metric(self, name, model):
        found = re.search(rf'^{name}\{{model="{model}"\}} ([0-9.e+]+)$', self.request("GET", "/metrics")[1], re.M)
        return float(found[1]) if found else None

    def runs(self, model):
        eventually(lambda: self.metric("requests_running", model) == 1, f"{model} is busy")

    def log(self):
        return Path(self.folder.name, "log").read_text()


def text_of(model):
    out = subprocess.run([FATHOM, "generate", "-m", model, "-p", "Once upon a time", "-n", "12", "--temperature", "0", "-q"], capture_output=True, text=True, env=ENVIRONMENT)
    return out.stdout.removesuffix("\n")


def check_names(other):
    """The model of a request picks; each is loaded by its first request, and is told apart in metrics and answers."""
    with Models("--model", f"one={BUNDLED}", "--model", f"two={other}") as s:
        claim(s.loaded() == {"one": False, "two": False} and s.get("/ready")[0] == 200, f"nothing is loaded before it is asked for: {s.loaded()}")
        claim(s.post("/tokenize", {"model": "two", "prompt": "x"})[0] == 200 and not s.loaded()["two"], "the text side needs no model in memory")
        texts = {"one": text_of(BUNDLED), "two": text_of(other)}
        claim(texts["one"] != texts["two"], "the two models of this test differ")
        for model, first in ((None, "one"), ("", "one"), ("one", "one"), ("two", "two")):
            status, body = s.complete(model)
            claim(status == 200 and body["model"] == first and body["choices"][0]["text"] == texts[first], f"model {model!r}: {body}")
            claim(s.loaded()["two"] == (model == "two"), f"two is loaded when it is asked for: {s.loaded()}")
        status, body = s.complete("three")
        claim(status == 404 and body["error"]["code"] == "model_not_found" and "one and two" in body["error"]["message"], f"an unknown model: {status} {body}")
        claim(s.get("/v1/models/two")[1]["loaded"] and s.get("/v1/models/three")[0] == 404, "models by id")
        claim(s.get("/props")[1]["model"] == "one" and s.get("/props?model=two")[1]["model"] == "two" and s.get("/props?model=x")[0] == 404, "properties of each")
        claim(s.get("/tokenizer_info?model=two")[0] == 200, "tokenizer_info of each")
        claim(s.post("/v1/messages", {"model": "two", "max_tokens": 4, "messages": [{"role": "user", "content": "x"}]})[1]["model"] == "two", "/v1/messages")
        claim(s.metric("generation_tokens_total", "one") == 36 and s.metric("generation_tokens_total", "two") > 12, "tokens by model")
        claim(s.metric("model_loads_total", "one") == 1 and s.metric("request_prompt_tokens_count", "two") == 2, "figures by model")
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda i: s.complete(("one", "two")[i % 2]), range(24)))
        claim(all(a[0] == 200 and a[1]["choices"][0]["text"] == texts[("one", "two")[i % 2]] for i, a in enumerate(answers)), "both at once")


def check_memory(other):
    """Where there is room for one of them, the idle one goes; a busy one ends what it began, and the request waits."""
    with Models("--model", f"one={BUNDLED}", "--model", f"two={other}", "--model-memory", "1MB") as s:
        for model in ("one", "two", "one"):
            claim(s.complete(model)[0] == 200, f"{model} is loaded in place of the other")
            claim(s.loaded() == {"one": model == "one", "two": model == "two"}, f"only {model} is loaded: {s.loaded()}")
        long = {"max_tokens": 400, "ignore_eos": True}
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            running = pool.submit(s.complete, "one", **long)
            s.runs("one")
            status, late = s.complete("two", timeout=0.001)
            claim(status == 504, f"a request that waits for memory has its deadline: {status} {late}")
            waiting = pool.submit(s.complete, "two")
            claim(running.result()[1]["usage"]["completion_tokens"] == 400 and waiting.result()[0] == 200, "both have their answers")
            answers = list(pool.map(lambda i: s.complete(("one", "two")[i % 2])[0], range(16)))
            claim(answers == [200] * 16, f"two models that need each other's memory: {answers}")
        claim(s.metric("model_loads_total", "one") > 1, "loaded more than once")
        claim(s.log().count("another model needs its memory") >= 3, "the log says why models go")
        running = threading.Thread(target=s.complete, args=("one",), kwargs=long)
        running.start()
        s.runs("one")
        waiting = threading.Thread(target=s.complete, args=("two",))
        waiting.start()
    running.join()  # the server was drained while one ran and one waited, and ended with 0
    waiting.join()


def check_idle(other):
    with Models("-m", BUNDLED, "-m", other, "--unload-after", "0.005") as s:
        names = list(s.loaded())
        claim(names == ["bundled", "other"], f"names of files: {names}")
        claim(s.complete("other")[0] == 200, "it is loaded")
        eventually(lambda: not s.loaded()["other"], "an idle model is let go of")
        claim(s.complete("other")[0] == 200 and s.metric("model_loads_total", "other") == 2, "it comes back")


def check_refusals(folder):
    broken = folder / "broken.gguf"
    broken.write_bytes(Path(BUNDLED).read_bytes()[:100000])
    for options, words in ((["--model", f"a={BUNDLED}", "--model", "b=/nonexistent.gguf"], "nonexistent"), (["--model", f"a={BUNDLED}", "--model", f"b={broken}"], "broken.gguf"),
                           (["--model", f"a={BUNDLED}", "--model", f"a={BUNDLED}"], "called a already"), (["-m", BUNDLED, "-m", BUNDLED], "NAME=PATH"),
                           (["--name", "x", "-m", BUNDLED, "--model", f"a={BUNDLED}"], "name each"), (["--model", f"={BUNDLED}"], "NAME=PATH"), (["--model", "a="], "NAME=PATH")):
        p = subprocess.run([FATHOM, "serve", "--port", "0", *options], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
        claim(p.returncode == 2 and words in p.stderr and p.stderr.count("\n") == 1, f"{options}: {p.returncode} {p.stderr}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        other = str(folder / "other.gguf")
        subprocess.run([FATHOM, "quantize", BUNDLED, other, "--type", "q2_k", "--requantize", "-q"], check=True, capture_output=True, env=ENVIRONMENT)
        check_refusals(folder)
        check_names(other)
        check_memory(other)
        check_idle(other)
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
