#!/usr/bin/env python3
"""`fathom serve` as clients see it: the answers of every route, streams, scores, constraints, errors, cancelling, draining.

    python3 tests/end_to_end/serve.py build/release/fathom
"""
import concurrent.futures
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "support"))
from openapi import Document  # noqa: E402

FATHOM = os.path.realpath(sys.argv[1])
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}, "FATHOM_TUNE": "off"}
DOCUMENT = Document(subprocess.run([FATHOM, "serve", "--openapi"], capture_output=True, text=True, check=True, env=ENVIRONMENT).stdout)
failures = []


def claim(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED", what, flush=True)


class Server:
    def __init__(self, *options):
        self.process = subprocess.Popen([FATHOM, "serve", "--port", "0", *options], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.log = []
        while True:
            line = self.process.stderr.readline()
            self.log.append(line)
            if not line:
                raise SystemExit(f"the server ended: {self.log}")
            if found := re.search(r"at http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
                break
        import threading
        self.reader = threading.Thread(target=lambda: self.log.extend(self.process.stderr), daemon=True)
        self.reader.start()
        for _ in range(600):
            if self.get("/ready")[0] == 200:
                return
            time.sleep(0.05)
        raise SystemExit("the server does not become ready")

    def request(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        DOCUMENT.see(method, path, data, answer.status, answer.headers.get("Content-Type", ""), text)
        return answer.status, text, answer.headers

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body, **options):
        status, text, _ = self.request("POST", path, body, **options)
        return status, json.loads(text)

    def events(self, path, body):
        """The data of a stream's events, comments left out."""
        status, text, headers = self.request("POST", path, {**body, "stream": True})
        claim(status == 200 and headers["Content-Type"].startswith("text/event-stream"), f"{path} streams: {status} {text[:200]}")
        return [e[6:] for e in text.decode().split("\n\n") if e.startswith("data: ")]

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(60)
        self.reader.join(10)
        return code


def refused(answer, status, param=None, code=None, words=""):
    got, body = answer
    error = body.get("error", {})
    claim(got == status and set(error) == {"message", "type", "param", "code"} and (param is None or error["param"] == param)
          and (code is None or error["code"] == code) and words in error["message"], f"{status} {param} {code} {words!r}: {got} {body}")


def check_completions(s):
    ask = {"prompt": "Once upon a time", "max_tokens": 12, "temperature": 0}
    status, whole = s.post("/v1/completions", ask)
    choice = whole["choices"][0]
    claim(status == 200 and choice["finish_reason"] == "length" and whole["usage"]["completion_tokens"] == 12, f"completion: {whole}")
    chunks = [json.loads(e) for e in s.events("/v1/completions", ask)[:-1]]
    claim("".join(c["choices"][0]["text"] for c in chunks) == choice["text"], "a streamed completion is the whole one")
    generated = subprocess.run([FATHOM, "generate", "-p", "Once upon a time", "-n", "12", "--temperature", "0", "-q"], capture_output=True, text=True, env=ENVIRONMENT).stdout
    claim(generated == choice["text"] + "\n", f"as `fathom generate`: {generated!r} {choice['text']!r}")
    ids = s.post("/tokenize", {"prompt": "Once upon a time"})[1]["tokens"]
    status, several = s.post("/v1/completions", {**ask, "prompt": [ids, "The king", ids], "n": 1})
    claim(status == 200 and [c["index"] for c in several["choices"]] == [0, 1, 2] and several["choices"][2]["text"] == choice["text"], f"several prompts: {several}")


def check_scores(s):
    """The contract of evaluation harnesses: echo with logprobs."""
    prompt = s.post("/tokenize", {"prompt": "The king said: né"})[1]["tokens"]
    ask = {"prompt": [prompt], "max_tokens": 1, "logprobs": 1, "echo": True, "temperature": 0, "seed": 1234}
    choice = s.post("/v1/completions", ask)[1]["choices"][0]
    scores = choice["logprobs"]
    n = len(prompt)
    claim(all(len(scores[k]) == n + 1 for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")), f"{n} + 1 entries: {scores}")
    claim(scores["token_logprobs"][0] is None and scores["top_logprobs"][0] is None, "the first token has no score")
    for token, logprob, top in list(zip(scores["tokens"], scores["token_logprobs"], scores["top_logprobs"]))[1:]:
        claim(top.get(token) == logprob and logprob <= max(top.values()) <= 0, f"{token!r} {logprob} in {top}")
    claim(scores["top_logprobs"][-1][scores["tokens"][-1]] == max(scores["top_logprobs"][-1].values()), "the greedy token is the most likely one")
    offsets = scores["text_offset"]
    claim(offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] <= len(choice["text"]), f"offsets count characters: {offsets}")
    text = "The king said: né"
    choice = s.post("/v1/completions", {**ask, "prompt": text})[1]["choices"][0]
    begun = [o for o in choice["logprobs"]["text_offset"] if o < len(text)]
    claim(choice["text"].startswith(text) and len(begun) == n and begun[:2] == [0, 0], f"a text is echoed without the bos before it: {choice}")
    perplexity = s.post("/v1/completions", {**ask, "max_tokens": 0})[1]["choices"][0]["logprobs"]
    claim(perplexity["token_logprobs"] == scores["token_logprobs"][:-1], "max_tokens 0 scores the prompt alone")


def check_chat(s):
    ask = {"messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 10, "temperature": 0}
    status, whole = s.post("/v1/chat/completions", ask)
    message = whole["choices"][0]["message"]
    claim(status == 200 and message["role"] == "assistant" and whole["object"] == "chat.completion", f"chat: {whole}")
    events = s.events("/v1/chat/completions", {**ask, "stream_options": {"include_usage": True}})
    claim(events[-1] == "[DONE]", "a stream ends with [DONE]")
    chunks = [json.loads(e) for e in events[:-1]]
    claim(len({(c["id"], c["created"]) for c in chunks}) == 1, "one id for all chunks")
    claim(chunks[0]["choices"][0]["delta"]["role"] == "assistant", "the first chunk has the role")
    claim(all(c["usage"] is None for c in chunks[:-1]) and chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 10, "usage comes last")
    claim(chunks[-2]["choices"][0]["finish_reason"] == "length" and chunks[-2]["choices"][0]["delta"] == {}, "an empty delta with finish_reason")
    claim("".join(c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]) == message["content"], "the streamed text is the whole one")
    status, scored = s.post("/v1/chat/completions", {**ask, "logprobs": True, "top_logprobs": 3, "n": 2, "temperature": 1, "seed": 5})
    content = scored["choices"][1]["logprobs"]["content"]
    claim(len(scored["choices"]) == 2 and len(content) == 10 and all(len(t["top_logprobs"]) == 3 and bytes(t["bytes"]) is not None for t in content), f"scores: {scored}")
    text = message["content"]
    stop = text[len(text) // 2:len(text) // 2 + 3]
    status, stopped = s.post("/v1/chat/completions", {**ask, "stop": [stop]})
    claim(stopped["choices"][0]["finish_reason"] == "stop" and stopped["choices"][0]["message"]["content"] == text[:text.index(stop)], f"stop {stop!r}: {stopped}")


def check_constraints(s):
    ask = {"messages": [{"role": "user", "content": "?"}], "temperature": 1, "max_tokens": 200}
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "integer", "minimum": 0, "maximum": 99}}, "required": ["name", "n"], "additionalProperties": False}
    for seed in range(4):
        status, answer = s.post("/v1/chat/completions", {**ask, "seed": seed, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}})
        choice = answer["choices"][0]
        if choice["finish_reason"] == "stop":
            value = json.loads(choice["message"]["content"])
            claim(set(value) == {"name", "n"} and 0 <= value["n"] <= 99 and len(value["name"]) <= 8, f"schema: {value}")
    claim(re.fullmatch(r"[ab]{3}-\d", s.post("/v1/chat/completions", {**ask, "guided_regex": "[ab]{3}-[0-9]"})[1]["choices"][0]["message"]["content"]), "regex")
    claim(s.post("/v1/chat/completions", {**ask, "guided_choice": ["yes", "no"]})[1]["choices"][0]["message"]["content"] in ("yes", "no"), "choice")
    claim(s.post("/v1/chat/completions", {**ask, "grammar": 'root ::= "x" [0-9]'})[1]["choices"][0]["message"]["content"][0] == "x", "grammar")
    refused(s.post("/v1/chat/completions", {**ask, "grammar": "root ::= root"}), 400, "grammar")
    refused(s.post("/v1/chat/completions", {**ask, "guided_regex": "(a"}), 400, "guided_regex")
    refused(s.post("/v1/chat/completions", {**ask, "response_format": {"type": "json_schema", "json_schema": {"schema": {"if": {}}}}}), 400, "response_format.json_schema.schema")


WEATHER = {"name": "weather", "description": "of a city", "parameters": {"type": "object", "properties": {"city": {"type": "string", "maxLength": 6}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
                                                                          "required": ["city", "days"], "additionalProperties": False}}


def check_tools(s):
    tools = [{"type": "function", "function": WEATHER}, {"type": "function", "function": {"name": "other"}}]
    ask = {"messages": [{"role": "user", "content": "?"}], "tools": tools, "max_tokens": 150}
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        for seed in range(3):
            answer = s.post("/v1/chat/completions", {**ask, "tool_choice": choice, "seed": seed})[1]["choices"][0]
            if answer["finish_reason"] == "length":
                continue
            call = answer["message"]["tool_calls"][0]
            arguments = json.loads(call["function"]["arguments"])
            claim(answer["finish_reason"] == "tool_calls" and answer["message"]["content"] is None and call["id"], f"a call: {answer}")
            claim(call["function"]["name"] == "other" or (set(arguments) == {"city", "days"} and 1 <= arguments["days"] <= 7), f"arguments: {call}")
    named = {**ask, "tool_choice": {"type": "function", "function": {"name": "weather"}}, "seed": 3}
    whole = s.post("/v1/chat/completions", named)[1]["choices"][0]
    deltas = [json.loads(e)["choices"][0]["delta"] for e in s.events("/v1/chat/completions", named)[:-1]]
    streamed = [d["tool_calls"][0]["function"] for d in deltas if "tool_calls" in d]
    claim(whole["finish_reason"] == "length" or streamed == [whole["message"]["tool_calls"][0]["function"]], f"a streamed call: {streamed}")
    conversation = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]},
                    {"role": "tool", "tool_call_id": "1", "content": "sunny"}]
    claim(s.post("/v1/chat/completions", {**ask, "messages": conversation, "tool_choice": "none"})[0] == 200, "results of tools are read")
    for bad in ([{"type": "function", "function": {"name": "x" * 10000}}], [tools[0], tools[0]], [{"type": "function", "function": {"name": "a", "parameters": []}}],
                [{"type": "function", "function": {"name": f"f{i}"}} for i in range(1000)], [{"type": "web_search"}]):
        refused(s.post("/v1/chat/completions", {**ask, "tools": bad}), 400, "tools")
    refused(s.post("/v1/chat/completions", {**ask, "tool_choice": {"type": "function", "function": {"name": "nobody"}}}), 400, "tool_choice")


def function(name="f", **more):
    return {"type": "function", "function": {"name": name, **more}}


def check_ill_tools(s):
    """C6: what is no tool, and choices of what is not there; each refused by the parameter at fault."""
    ask = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 2}
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(a"}}}
    for bad in (*(function(name) for name in ("", 5, None, "a b", "a\n", "é", "a/b", "x" * 65, "x" * 10240)), function(parameters="x"), function(parameters=[]), function(description=5),
                {"type": "function"}, {"type": "function", "function": []}, {"type": 5}, {"type": "file_search"}, {}, 5, None, []):
        refused(s.post("/v1/chat/completions", {**ask, "tools": [function("good"), bad]}), 400, "tools", words="tools[1]")
    for bad in ({}, "x", 5, [function(f"f{i}") for i in range(129)], [function(f"f{i}") for i in range(100000)], [function()] * 2):
        refused(s.post("/v1/chat/completions", {**ask, "tools": bad}), 400, "tools")
    for choice in ("required", {"type": "function", "function": {"name": "f"}}):
        for parameters in (schema, {"$ref": "http://localhost/schema"}, {"if": {}}, {"$ref": "#/nowhere"}):
            refused(s.post("/v1/chat/completions", {**ask, "tools": [function(parameters=parameters)], "tool_choice": choice}), 400, "tools", words="JSON schema")
        refused(s.post("/v1/chat/completions", {**ask, "tools": [function()], "tool_choice": choice, "response_format": {"type": "json_object"}}), 400, "tool_choice")
        for tools in ({}, {"tools": []}):
            refused(s.post("/v1/chat/completions", {**ask, **tools, "tool_choice": choice}), 400, "tool_choice", words="without tools")
    for bad in ("sometimes", "", 5, True, [], {}, {"type": "function"}, {"type": "function", "function": {}}, {"type": "function", "function": {"name": 5}}, {"type": "function", "function": {"name": "F"}},
                {"type": "function", "function": {"name": "x" * 100000}}):
        refused(s.post("/v1/chat/completions", {**ask, "tools": [function()], "tool_choice": bad}), 400, "tool_choice")
    for good in ("auto", "none"):
        claim(s.post("/v1/chat/completions", {**ask, "tools": [function("x" * 64), function(parameters=None)], "tool_choice": good})[0] == 200, f"tools with tool_choice {good}")


def check_ill_conversations(s):
    """C8: each refused with the message at fault; and long ones."""
    user = {"role": "user", "content": "x"}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for bad in (5, None, [], {}, {"role": 5}, {"role": "king", "content": "x"}, {"role": "user"}, {"role": "user", "content": None}, {"role": "user", "content": 5}, {"role": "user", "content": {}},
                {"role": "user", "content": [{"type": "text"}]}, {"role": "user", "content": [{"type": "text", "text": 5}]}, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
                {"role": "user", "content": [{"type": "input_audio"}]}, {"role": "user", "content": [5]}, {"role": "assistant", "content": None}, {"role": "assistant", "content": None, "tool_calls": []},
                {"role": "assistant", "tool_calls": {}}):
        refused(s.post("/v1/chat/completions", {"messages": [user, bad, user], "max_tokens": 2}), 400, "messages", words="messages[1]")
    for bad in ([], [{"role": "system", "content": "x"}], [user, {"role": "assistant", "tool_calls": [{"id": 1}]}, user], [user] * 100000):
        refused(s.post("/v1/chat/completions", {"messages": bad, "max_tokens": 2}), 400, "messages")
    refused(s.post("/v1/chat/completions", {"messages": [user] * 4096}), 400, "prompt", "context_length_exceeded", "512")
    for good in ([user, user], [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, user], [user, {"role": "tool", "tool_call_id": "z", "content": "5"}], [{"role": "user", "content": []}],
                 [user, {"role": "assistant", "content": "The k"}], [user, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": "5"}]):
        claim(s.post("/v1/chat/completions", {"messages": good, "max_tokens": 2})[0] == 200, f"a conversation that is taken: {good}")


def check_hard_text(s):
    """B6: what is valid UTF-8 comes back as it was sent, however odd; a mark in front of the body says how it is encoded."""
    for text in ("\ufeff", "\ufeffa\ufeff", "\u202ea\u2066b\u2069\u200f", "\ufffe\uffff\U0001ffff\U0010ffff", "\0\x01\x7f", "e" + "\u0301" * 60, "\u200d" * 60, "\u2028\u2029\x85", "\u0430\u0435 \u0645\u0631", "👩‍👩‍👧‍👦"):
        echoed = s.post("/v1/completions", {"prompt": text, "echo": True, "max_tokens": 0})
        claim(echoed[0] == 200 and echoed[1]["choices"][0]["text"] == text, f"echo of {text!r}: {echoed}")
        ids = s.post("/tokenize", {"prompt": text, "add_special_tokens": False})[1]["tokens"]
        claim(s.post("/detokenize", {"tokens": ids})[1]["prompt"] == text, f"there and back: {text!r}")
        claim(text in s.post("/apply-template", {"messages": [{"role": "user", "content": text}]})[1]["prompt"], f"in a conversation: {text!r}")
    claim(len(s.post("/tokenize", {"prompt": "e" + "\u0301" * 10000})[1]["tokens"]) > 10, "10,000 combining marks")
    body = b'{"prompt":"x","max_tokens":1}'
    claim(s.request("POST", "/v1/completions", b"\xef\xbb\xbf" + body)[0] == 200, "a byte order mark in front")
    for bad in (b"\xef\xbb\xbf\xef\xbb\xbf" + body, body.decode().encode("utf-16"), body.decode().encode("utf-16-be"), body.decode().encode("utf-32"), b'{"prompt":"\xed\xa0\x80"}', b'{"prompt":"\xc0\x80"}',
                b'{"prompt":"\xf4\x90\x80\x80"}', b'{"prompt":"\\udc00"}', b'{"prompt":"\0"}', b'{"\xff":1}'):
        status, text, _ = s.request("POST", "/v1/completions", bad)
        claim(status == 400 and json.loads(text)["error"]["code"] == "invalid_json", f"{bad[:30]}: {status} {text[:200]}")


def check_many_ids(s):
    """B10: ids that are none, and a million that are some."""
    vocabulary = json.loads(s.get("/tokenizer_info")[1])["vocab_size"]
    for route, name, param in (("/detokenize", "tokens", "tokens"), ("/v1/completions", "prompt", "prompt"), ("/v1/embeddings", "input", "prompt")):
        for bad in (-1, vocabulary, 2**31, 2**32, 2**63, 2**64, 1.5, 1e300, None, "5", True, [5]):
            refused(s.post(route, {name: [5, bad]}), 400, param)
    claim(s.post("/detokenize", {"tokens": [64] * 1000000})[1]["prompt"] == s.post("/detokenize", {"tokens": [64]})[1]["prompt"] * 1000000, "a million ids are read")
    claim(s.post("/detokenize", {"tokens": list(range(vocabulary))})[0] == 200, "every id is read, also those that make no UTF-8")
    refused(s.post("/detokenize", {"tokens": [64] * (2**20 + 1)}), 400, "tokens")
    refused(s.post("/v1/completions", {"prompt": [5] * 1000000}), 400, "prompt", "context_length_exceeded", "1000000")
    refused(s.post("/v1/completions", {"prompt": [[5]] * 1000000}), 400, "prompt")


def check_ends_of_constraints(s):
    """C3: too few tokens for a schema give a prefix of its text and `length`. C5: where no token goes on, that request alone fails."""
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 8}, "n": {"type": "array", "items": {"type": "integer", "maximum": 99, "minimum": 0}, "maxItems": 3}},
              "required": ["name", "n"], "additionalProperties": False}
    ask = {"messages": [{"role": "user", "content": "?"}], "temperature": 1, "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}
    for seed in range(3):
        whole = s.post("/v1/chat/completions", {**ask, "seed": seed, "max_tokens": 300})[1]
        text, n = whole["choices"][0]["message"]["content"], whole["usage"]["completion_tokens"]
        claim(whole["choices"][0]["finish_reason"] == "stop" and set(json.loads(text)) == {"name", "n"}, f"a whole answer: {whole}")
        for most in range(1, n - 1, max(1, n // 8)):
            cut = s.post("/v1/chat/completions", {**ask, "seed": seed, "max_tokens": most})[1]["choices"][0]
            begun = cut["message"]["content"].rstrip("\ufffd")  # a character that was cut
            claim(cut["finish_reason"] == "length" and text.startswith(begun) and len(begun) < len(text), f"after {most} of {n} tokens: {cut} {text!r}")
    ended = s.post("/v1/completions", {"prompt": "a", "grammar": 'root ::= "xyz"', "ignore_eos": True, "max_tokens": 50})[1]["choices"][0]
    claim((ended["text"], ended["finish_reason"]) == ("xyz", "stop"), f"the end of a grammar ends the text, whatever ignore_eos says: {ended}")
    dead = {"prompt": "a", "grammar": "root ::= " + "(" * 150 + '"a"?' + "){100}" * 150, "max_tokens": 50}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        beside = pool.submit(s.post, "/v1/completions", {"prompt": "a", "max_tokens": 200, "ignore_eos": True})
        refused(s.post("/v1/completions", dead), 500, words="ambiguous")
        claim(beside.result()[1]["usage"]["completion_tokens"] == 200, "the request beside one that fails")
    status, text, _ = s.request("POST", "/v1/completions", {**dead, "stream": True})
    claim(b'"error"' in text and b"ambiguous" in text and b"[DONE]" not in text, f"a stream that fails says so: {status} {text}")


def check_other_apis(s):
    ask = {"max_tokens": 8, "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "system": [{"type": "text", "text": "Be brief."}], "temperature": 0}
    status, whole = s.post("/v1/messages", ask)
    claim(status == 200 and whole["type"] == "message" and whole["stop_reason"] == "max_tokens" and whole["usage"]["output_tokens"] == 8, f"messages: {whole}")
    events = [json.loads(e.split("data: ", 1)[1]) for e in s.request("POST", "/v1/messages", {**ask, "stream": True})[1].decode().split("\n\n") if "data: " in e]
    claim([e["type"] for e in events if e["type"] != "content_block_delta"] == ["message_start", "ping", "content_block_start", "content_block_stop", "message_delta", "message_stop"], f"events: {events}")
    claim("".join(e["delta"]["text"] for e in events if e["type"] == "content_block_delta") == whole["content"][0]["text"], "the streamed message is the whole one")
    stop = whole["content"][0]["text"][3:6]
    stopped = s.post("/v1/messages", {**ask, "stop_sequences": ["nowhere", stop]})[1]
    claim((stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", stop), f"the stop sequence that came: {stopped}")
    tool = {"name": "weather", "input_schema": WEATHER["parameters"]}
    called = s.post("/v1/messages", {**ask, "max_tokens": 150, "tools": [tool], "tool_choice": {"type": "tool", "name": "weather"}})[1]
    claim(called["stop_reason"] in ("tool_use", "max_tokens") and (called["stop_reason"] == "max_tokens" or set(called["content"][0]["input"]) == {"city", "days"}), f"tool_use: {called}")
    claim(s.post("/v1/messages/count_tokens", {"messages": ask["messages"]})[1]["input_tokens"] > 3, "count_tokens")
    status, bad = s.post("/v1/messages", {"max_tokens": 5})
    claim(status == 400 and bad["type"] == "error" and bad["error"]["type"] == "invalid_request_error", f"Anthropic's errors: {bad}")
    status, response = s.post("/v1/responses", {"input": "Hi", "instructions": "Be brief.", "max_output_tokens": 8, "temperature": 0})
    text = response["output"][0]["content"][0]["text"]
    claim(status == 200 and response["status"] == "incomplete" and text == whole["content"][0]["text"], f"responses: {response}")
    events = [json.loads(e.split("data: ", 1)[1]) for e in s.request("POST", "/v1/responses", {"input": [{"role": "user", "content": "Hi"}], "instructions": "Be brief.", "max_output_tokens": 8, "temperature": 0, "stream": True})[1].decode().split("\n\n") if "data: " in e]
    claim([e["sequence_number"] for e in events] == list(range(len(events))) and events[-1]["type"] == "response.incomplete", "events of a response")
    claim("".join(e["delta"] for e in events if e["type"] == "response.output_text.delta") == text, "the streamed response is the whole one")
    refused(s.post("/v1/responses", {"input": "x", "previous_response_id": "y"}), 400, "previous_response_id")


def check_embeddings(s):
    import base64
    import struct
    status, body = s.post("/v1/embeddings", {"input": ["The king said", "The king spoke", "x"]})
    vectors = [d["embedding"] for d in body["data"]]
    claim(status == 200 and [d["index"] for d in body["data"]] == [0, 1, 2] and all(abs(sum(x * x for x in v) - 1) < 1e-5 for v in vectors), f"embeddings: {str(body)[:200]}")
    packed = base64.b64decode(s.post("/v1/embeddings", {"input": "The king said", "encoding_format": "base64"})[1]["data"][0]["embedding"])
    claim(all(abs(a - b) < 1e-7 for a, b in zip(struct.unpack(f"<{len(packed) // 4}f", packed), vectors[0])), "base64 holds the same numbers")
    refused(s.post("/v1/embeddings", {"input": "x", "dimensions": 7}), 400, "dimensions")


def check_errors(s):
    chat = {"messages": [{"role": "user", "content": "x"}]}
    refused(s.post("/v1/chat/completions", {**chat, "temprature": 1}), 400, "temprature", "unknown_parameter", "temperature")
    for name, bad in (("temperature", [-0.001, 2.001, "1", True, []]), ("top_p", [-1, 1.1]), ("max_tokens", [-1, 1.5, "5", 2**60]), ("n", [0, 129, 1.5]), ("top_logprobs", [21, -1]),
                      ("stop", [5, [1], ["a"] * 17, ""]), ("seed", [1.5, 2**64, "1"]), ("logit_bias", [{"x": 1}, {"1": 101}, {"999999": 1}, []]), ("stream", [1, "true"]),
                      ("messages", [[], {}, "x", [{"role": "king", "content": "x"}], [{"content": "x"}], [{"role": "user", "content": [{"type": "image_url"}]}]]),
                      ("response_format", ["x", {"type": "xml"}]), ("presence_penalty", [-2.1, 2.1]), ("model", [5])):
        for value in bad:
            status, body = s.post("/v1/chat/completions", {**chat, "logprobs": True, name: value})
            claim(status == 400 and str(body["error"]["param"]).split(".")[0] == name, f"{name} {value!r}: {status} {body}")
    refused(s.post("/v1/chat/completions", {**chat, "model": "gpt-4"}), 404, "model", "model_not_found")
    refused(s.post("/v1/chat/completions", {**chat, "functions": []}), 400, "functions")
    refused(s.post("/v1/completions", {"prompt": [0] * 513}), 400, "prompt", "context_length_exceeded", "513")
    for raw in (b"", b"{", b"[]", b"{} x", b'{"a":1,"a":2}', b"[" * 100000, b'{"messages":' * 20000, b'{"prompt":"\xff"}', b'{"prompt":NaN}', b'{"seed":1e999}'):
        status, text, _ = s.request("POST", "/v1/completions", raw)
        claim(status == 400 and json.loads(text)["error"]["message"], f"{raw[:20]}: {status}")
    refused(s.post("/detokenize", {"tokens": [-1]}), 400, "tokens")
    refused(s.post("/v1/nothing", {}), 404)
    claim(s.get("/v1/completions")[0] == 405, "a wrong method")


def check_text_routes(s):
    models = json.loads(s.get("/v1/models")[1])
    name = models["data"][0]["id"]
    claim(json.loads(s.get(f"/v1/models/{name}")[1])["id"] == name and s.get("/v1/models/other")[0] == 404, "models by id")
    tokens = s.post("/tokenize", {"prompt": "Hello", "add_special_tokens": False})[1]["tokens"]
    claim(s.post("/detokenize", {"tokens": tokens})[1]["prompt"] == "Hello", "there and back")
    info = json.loads(s.get("/tokenizer_info")[1])
    for name in ("bos_token", "eos_token"):  # evaluation harnesses ask for the ids of these spellings
        ids = s.post("/tokenize", {"prompt": info[name], "add_special_tokens": False})[1]["tokens"]
        claim(len(ids) == 1 and len(s.post("/tokenize", {"prompt": info[name], "add_special_tokens": False, "parse_special": False})[1]["tokens"]) > 1, f"{name}: {ids}")
    claim("User: x" in s.post("/apply-template", {"messages": [{"role": "user", "content": "x"}]})[1]["prompt"], "apply-template")
    page = s.get("/")
    claim(page[0] == 200 and b"<!doctype html>" in page[1].lower() and "default-src 'none'" in page[2]["Content-Security-Policy"], "the page")
    claim(s.get("/", headers={"If-None-Match": page[2]["ETag"]})[0] == 304, "the page is kept by its ETag")
    metrics = s.get("/metrics")[1].decode()
    intervals = re.search(r"^inter_token_latency_seconds_count\{.*\} (\d+)", metrics, re.M)
    claim(intervals and int(intervals[1]) > 0, "intervals between tokens are counted")
    claim("# TYPE time_to_first_token_seconds histogram" in metrics and 'requests_finished_total{model="bundled",reason="length"}' in metrics, "metrics")


def check_document(s):
    """Everything that was asked and answered so far is as the document says, and all that it lists was shown."""
    for path in ("/live", "/health", "/props"):
        s.get(path)
    claim(json.loads(s.get("/openapi.json")[1]) == DOCUMENT.root, "the server's own document is that of --openapi")
    refused(s.post("/apply-template", {"messages": [], "tool": []}), 400, "tool")
    for route, good in (("/v1/responses", {"input": "x"}), ("/v1/messages/count_tokens", {"messages": []}), ("/v1/embeddings", {"input": "x"}), ("/tokenize", {"prompt": "x"})):
        claim(s.post(route, {**good, "nonsense": 1})[0] == 400, f"{route} refuses what it does not know")
    claim(DOCUMENT.faults == [], "as the document says:\n    " + "\n    ".join(DOCUMENT.faults[:10]))
    claim(DOCUMENT.unseen() == [], f"nothing asked for: {DOCUMENT.unseen()}")
    # The check itself can fail.
    before = len(DOCUMENT.faults)
    for body, answer in ((b'{"prompt": "x", "echo": 1}', b"{}"), (b'{"prompt": "x"}', b'{"tokens": [1], "count": 1, "max_model_len": -1}'), (b'{"nothing": 1}', b"[]")):
        DOCUMENT.see("POST", "/tokenize", body, 200, "application/json", answer)
    claim(len(DOCUMENT.faults) - before >= 4, "wrong requests and answers are found")


def check_neighbours(s):
    """The same seed gives the same text, alone and among many."""
    def ask(i):
        return s.post("/v1/completions", {"prompt": f"The king said to the {['man', 'people', 'priest', 'son'][i % 4]}", "max_tokens": 40, "temperature": 1, "seed": i})[1]["choices"][0]["text"]
    alone = [ask(i) for i in range(12)]
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        claim(list(pool.map(ask, range(12))) == alone, "neighbours change no text")


def check_leaving(s):
    """A client that leaves frees its sequence at once."""
    body = json.dumps({"prompt": "Once", "max_tokens": 400, "stream": True, "ignore_eos": True, "temperature": 1}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for wait in (0, 0.005, 0.02):
        connection = socket.create_connection(("127.0.0.1", s.port))
        connection.sendall(head + body)
        time.sleep(wait)
        connection.close()
    for _ in range(200):
        metrics = s.get("/metrics")[1].decode()
        if re.search(r"^requests_running\{.*\} 0$", metrics, re.M) and re.search(r"^kv_cache_usage_ratio\{.*\} 0$", metrics, re.M):
            break
        time.sleep(0.02)
    else:
        claim(False, "sequences of clients that left stay")


def check_draining():
    s = Server()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        running = pool.submit(s.post, "/v1/completions", {"prompt": "Once", "max_tokens": 450, "ignore_eos": True, "temperature": 1})
        time.sleep(0.05)
        s.process.send_signal(signal.SIGTERM)
        status, body = running.result()
    claim(status == 200 and body["usage"]["completion_tokens"] == 450, f"a request under way ends: {status}")
    claim(s.process.wait(30) == 0, "a drained server ends with 0")
    for options, words in ((["--port", "99999"], "65535"), (["--keys", "/nonexistent"], "nonexistent"), (["--host", "256.1.1.1"], "256"), (["--tls-certificate", "x"], "TLS")):
        p = subprocess.run([FATHOM, "serve", *options], capture_output=True, text=True, timeout=60, env=ENVIRONMENT)
        claim(p.returncode == 2 and words in p.stderr and p.stderr.count("\n") <= 2, f"{options}: {p.returncode} {p.stderr}")


def main():
    s = Server()
    for check in (check_completions, check_scores, check_chat, check_constraints, check_tools, check_ill_tools, check_ill_conversations, check_hard_text, check_many_ids, check_ends_of_constraints, check_other_apis, check_embeddings, check_errors, check_text_routes, check_document, check_neighbours, check_leaving):
        check(s)
    claim(s.stop() == 0, "the server ends with 0")
    claim(not any("Who are you" in line for line in s.log), "no prompt in the log")
    check_draining()
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
