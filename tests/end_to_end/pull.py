#!/usr/bin/env python3
"""`fathom pull` and `fathom models` against an imitation of the Hugging Face hub on loopback, which misbehaves on request: connections that break, servers without
ranges, content that changes, wrong bytes, refusals, hostile names, a second host that the token must not reach.

    python3 tests/end_to_end/pull.py build/release/fathom
"""
import hashlib
import http.server
import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

FATHOM = os.path.realpath(sys.argv[1])
TOKEN = "hf_secret0123456789"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
failures = []


def claim(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED", what, flush=True)


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub:
    """What the imitation serves, how it misbehaves, and what it was asked."""

    def __init__(self):
        self.repositories = {}  # OWNER/NAME -> {name: content}
        self.lock = threading.Lock()
        self.reset()

    def reset(self):
        self.requests = []          # (port, path, headers)
        self.statuses = []          # (pattern, status, headers), each used once
        self.breaks = {}            # name -> how many answers end in the middle
        self.break_at = 100_000
        self.no_ranges = False
        self.etags = {}             # name -> list of ETags, the last of which stays
        self.wrong_bytes = set()    # names
        self.longer = set()
        self.delay = 0.0            # seconds between blocks of 64 KiB
        self.stall = {}             # name -> answers that stop sending
        self.listing = None         # instead of the right one
        self.wrong_range = False

    def siblings(self, repository):
        for name, content in self.repositories[repository].items():
            entry = {"rfilename": name, "size": len(content), "blobId": git_blob(content)}
            if name.endswith((".gguf", ".safetensors", ".bin")):
                entry["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            yield entry


hub = Hub()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = urllib.parse.unquote(self.path)
        with hub.lock:
            hub.requests.append((self.server.server_address[1], path, dict(self.headers)))
            planned = next((s for s in hub.statuses if re.search(s[0], path)), None)
            if planned:
                hub.statuses.remove(planned)
        try:
            if planned:
                self.answer(planned[1], b"refused", planned[2])
            elif m := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^?]+)\?blobs=true", path):
                self.list(*m.groups())
            elif m := re.fullmatch(r"/(cdn/)?([^/]+/[^/]+)/resolve/[0-9a-f]{40}/(.+)", path):
                self.file(bool(m[1]), m[2], m[3])
            else:
                self.answer(404)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def list(self, repository, revision):
        if repository not in hub.repositories:
            return self.answer(401, b"", {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"})
        if revision not in ("main", "refs/pr/1", COMMIT):
            return self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        listing = hub.listing or json.dumps({"id": repository, "sha": COMMIT, "siblings": list(hub.siblings(repository)), "unknown": [1]})
        return self.answer(200, listing.encode(), {"Content-Type": "application/json"})

    def file(self, is_cdn, repository, name):
        content = hub.repositories[repository].get(name)
        if content is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        if not is_cdn and name.endswith((".gguf", ".safetensors", ".bin")):  # as the hub does with large files
            return self.answer(302, b"", {"Location": f"http://127.0.0.1:{cdn.server_address[1]}/cdn{urllib.parse.quote(self.path)}"})
        return self.content(name, content)

    def content(self, name, content):
        with hub.lock:
            breaks = hub.breaks.get(name, 0) > 0
            hub.breaks[name] = hub.breaks.get(name, 0) - 1
            stalls = hub.stall.get(name, 0) > 0
            hub.stall[name] = hub.stall.get(name, 0) - 1
            etags = hub.etags.get(name, ['"' + git_blob(content) + '"'])
            etag = etags.pop(0) if len(etags) > 1 else etags[0]
        if name in hub.wrong_bytes:
            content = content[:-1] + b"X"
        first, last, status = 0, len(content) - 1, 200
        if (m := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))) and not hub.no_ranges:
            first, last, status = int(m[1]), min(int(m[2]), len(content) - 1), 206
        body = content[first:last + 1] + (b"more" if name in hub.longer else b"")
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first + hub.wrong_range}-{last}/{len(content)}")
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for at in range(0, len(body), 65536):
            if breaks and at >= hub.break_at:
                self.close_connection = True
                self.wfile.flush()
                return
            if stalls and at > 0:
                time.sleep(2)
                self.close_connection = True
                return
            self.wfile.write(body[at:at + 65536])
            time.sleep(hub.delay)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_):
        pass


def serve():
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


origin, cdn = serve(), serve()


def environment(home, **more):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("FATHOM_", "HF_", "HUGGING", "XDG_")) and not k.lower().endswith("_proxy")}
    return {**kept, "HOME": str(home), "HF_ENDPOINT": f"http://127.0.0.1:{origin.server_address[1]}", "FATHOM_TUNE": "off", **more}


def run(home, *arguments, stdin="", **more):
    return subprocess.run([FATHOM, *arguments], input=stdin, capture_output=True, text=True, errors="replace", timeout=60, env=environment(home, **more))


def pull(home, *arguments, **more):
    return run(home, "pull", *arguments, **more)


def store(home):
    return home / ".cache/fathom/models"


def refused(p, *words):
    one = p.stderr.strip().splitlines()[-1] if p.stderr.strip() else ""
    claim(p.returncode == 2 and p.stdout == "" and all(re.search(w, one) for w in words), f"{words}: {p.returncode} {p.stderr!r} {p.stdout!r}")
    claim("\x1b" not in p.stderr and TOKEN not in p.stderr, f"{words}: control characters or the token on stderr")


def same(folder, contents):
    found = {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file() and ".fathom" not in f.parts}
    return found == contents


def tests(home, model, gguf):
    big = os.urandom(3_000_000)
    text = {"config.json": b"{}", "tokenizer.json": b'{"a": 1}' * 100}
    never = {"pytorch_model.bin": b"\x80\x04.", "modeling_deepseek.py": b"import os", "README.md": b"# hi", ".gitattributes": b"*"}
    shards = {"model-00001-of-00002.safetensors": big[:1_000_000], "model-00002-of-00002.safetensors": big[1_000_000:]}
    index = json.dumps({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}).encode()
    sharded = {**text, "model.safetensors.index.json": index, **shards}
    hub.repositories = {
        "real/model": {**model, **never},
        "big/sharded": {**sharded, **never, "old.safetensors": b"x"},
        "big/gguf": {"M-Q4_K_M.gguf": big, "M-Q8_0.gguf": big[:500_000], "sub/M-F16-00001-of-00002.gguf": b"GGUF1", "sub/M-F16-00002-of-00002.gguf": b"GGUF2",
                     "imatrix.gguf": b"i", "README.md": b"r"},
        "slow/gguf": {"slow.gguf": big[:500_000]},
        "real/gguf": {"tiny.Q8_0.gguf": gguf},
        "only/pickles": {"config.json": b"{}", "pytorch_model.bin": b"\x80"},
        "only/adapter": {"adapter_config.json": b"{}", "adapter_model.safetensors": b"a"},
        "only/words": {"README.md": b"r"},
        "bad/index": {**sharded, "model.safetensors.index.json": b'{"weight_map": {"a": "../../x.safetensors"}}'},
    }

    # A model as it is, found by its name for every command, with everything that does not belong to it left there.
    p = pull(home, "real/model", HF_TOKEN=TOKEN)
    claim(p.returncode == 0 and p.stdout == f"{store(home)}/real/model\n", f"pull: {p.stderr} {p.stdout}")
    claim(same(store(home) / "real/model", model), "what was pulled")
    at_origin = [h for port, _, h in hub.requests if port == origin.server_address[1]]
    at_cdn = [h for port, _, h in hub.requests if port == cdn.server_address[1]]
    claim(at_origin and all(h.get("Authorization") == f"Bearer {TOKEN}" for h in at_origin), "the hub gets the token")
    claim(at_cdn and not any("Authorization" in h or TOKEN in str(h) for h in at_cdn), "another host gets the token")
    for arguments in (["inspect", "real/model"], ["inspect", "-m", "real/model", "--tensors"], ["tokenize", "-m", "real/model", "a"],
                      ["generate", "-m", "real/model", "-q", "-n", "2", "--temp", "0", "a"]):
        p = run(home, *arguments)
        claim(p.returncode == 0 and p.stdout, f"{arguments}: {p.stderr}")
    hub.reset()
    p = pull(home, "real/model@main")
    claim(p.returncode == 0 and "all of it was there" in p.stderr and len(hub.requests) == 1, f"a second pull: {p.stderr} {hub.requests}")
    (store(home) / "real/model/config.json").write_bytes(b"X" * len(model["config.json"]))
    claim(pull(home, "real/model", "--verify").returncode == 0 and same(store(home) / "real/model", model), "--verify mends")

    # Shards that the index names, over connections that break, and no others.
    hub.breaks = {name: 2 for name in shards}
    p = pull(home, "https://huggingface.co/big/sharded/tree/main", "--to", str(home / "to"), "--json")
    result = json.loads(p.stdout or "{}")
    claim(p.returncode == 0 and same(home / "to", sharded) and result.get("commit") == COMMIT and result["bytes"] == sum(map(len, sharded.values())), f"shards: {p.stderr} {p.stdout}")
    claim("trying again" in p.stderr, "a broken connection is told")
    p = pull(home, "big/sharded@refs/pr/1", "--dry-run")
    claim(p.returncode == 0 and "model-00002-of-00002.safetensors" in p.stdout and ".py" not in p.stdout and not (store(home) / "big").exists(), f"--dry-run: {p.stdout} {p.stderr}")

    # GGUF: by quantisation, by file, never by guess.
    refused(pull(home, "big/gguf"), "3 GGUF models", r"'M-Q4_K_M' \(3.00 MB\)", "big/gguf:TAG")
    refused(pull(home, "big/gguf:Q5_0"), "has the quantisation 'Q5_0'", "M-Q8_0")
    refused(pull(home, "big/gguf", "--file", "x.gguf"), "is called 'x.gguf'")
    refused(pull(home, "big/gguf:Q8_0", "--file", "x.gguf"), "both choose")
    claim(pull(home, "big/gguf:f16").stdout == f"{store(home)}/big/gguf/sub/M-F16-00001-of-00002.gguf\n", "all parts of a split file")
    claim((store(home) / "big/gguf/sub/M-F16-00002-of-00002.gguf").read_bytes() == b"GGUF2", "the second part")
    claim(pull(home, "big/gguf", "--file", "M-Q8_0.gguf").returncode == 0, "--file")
    refused(run(home, "inspect", "big/gguf"), "2 models", "big/gguf:Q8_0, big/gguf:F16")
    refused(run(home, "inspect", "big/gguf:Q4_K_M"), "the store has big/gguf:Q8_0, big/gguf:F16", "fathom pull big/gguf:Q4_K_M")
    claim(pull(home, "real/gguf").returncode == 0 and run(home, "inspect", "real/gguf").returncode == 0 and run(home, "inspect", "real/gguf:Q8_0").returncode == 0, "the only GGUF")

    # Repositories that hold no model that fathom opens.
    for name, words in (("only/pickles", "pickles"), ("only/adapter", "adapter"), ("only/words", "no weights"), ("bad/index", "no safetensors file of the repository"),
                        ("no/such", "no such repository.*HF_TOKEN"), ("big/gguf@nope", "no revision 'nope'")):
        refused(pull(home, name), words)
    for name in ("../y", "https://example.org/a/b", "a/b\x1b[2J"):
        p = pull(home, name)
        claim(p.returncode == 2 and "\x1b" not in p.stderr, f"the name {name!r}: {p.stderr}")

    # Servers in trouble: a wait that they ask for, a refusal that stays, an answer that no patience helps.
    hub.reset()
    hub.stall = {"slow.gguf": 1}
    slow = subprocess.Popen([FATHOM, "pull", "slow/gguf", "--timeout", "1"], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    hub.statuses = [("/api/models/big", 429, {"Retry-After": "1"}), ("/cdn/big", 403, {})]
    began = time.monotonic()
    p = pull(home, "big/gguf:Q4_K_M", "--connections", "1", "--to", str(home / "patient"))
    claim(p.returncode == 0 and time.monotonic() - began > 1 and "trying again in 1 s" in p.stderr, f"429 and an expired address: {p.stderr}")
    hub.statuses = [("/api/", 429, {"Retry-After": "9999"})]
    refused(pull(home, "big/gguf:Q8_0"), "429", "wait 2:46:39")
    hub.statuses = [("/api/", 503, {})] * 2
    refused(pull(home, "big/gguf:Q8_0", "--retries", "1"), "answers 503", "given up after 2 tries")
    hub.statuses = [("/api/", 403, {"X-Error-Code": "GatedRepo"})]
    refused(pull(home, "big/gguf:Q8_0"), "gated: accept its conditions", "set HF_TOKEN")
    hub.statuses = [("/api/", 401, {"X-Error-Message": "bad \x9b token"})]
    refused(pull(home, "big/gguf:Q8_0", HF_TOKEN=TOKEN), "look at its name, and at HF_TOKEN")
    refused(pull(home, "big/gguf:Q8_0", "--retries", "0", HF_ENDPOINT="http://127.0.0.1:9"), "given up after 1 try")
    refused(pull(home, "big/gguf:Q8_0", HF_ENDPOINT="ftp://x"), "HF_ENDPOINT")
    refused(pull(home, "big/gguf:Q8_0", HF_TOKEN="a\nb"), "token")
    hub.reset()
    p = pull(home, "big/gguf:Q8_0", "--to", str(home / "no_ranges"), "--dry-run", HF_ENDPOINT="http://127.0.0.1.nip.invalid", HF_TOKEN=TOKEN, http_proxy="http://127.0.0.1:%d" % origin.server_address[1])
    claim(p.returncode == 2 and "not encrypted, so the token is not sent" in p.stderr and hub.requests and "Authorization" not in hub.requests[0][2], f"a token without encryption: {p.stderr}")

    # Content that is not what the list says.
    hub.reset()
    target = home / "wrong"
    hub.wrong_bytes = {"M-Q8_0.gguf"}
    refused(pull(home, "big/gguf:Q8_0", "--to", str(target)), "SHA-256", "is removed")
    claim(not list(target.glob("*.gguf")) and not list((target / ".fathom").glob("*.part")), "wrong bytes are kept")
    hub.wrong_bytes = {"tokenizer.json"}
    refused(pull(home, "big/sharded", "--to", str(home / "wrong2")), "tokenizer.json: its git blob SHA-1")
    claim(same(home / "wrong2", {}), "some of a model has its name before all of it is there")
    hub.reset()
    hub.longer = {"M-Q8_0.gguf"}
    refused(pull(home, "big/gguf:Q8_0", "--to", str(target)), "sends more")
    hub.reset()
    hub.etags = {"M-Q4_K_M.gguf": ['"a"', '"b"', '"b"']}
    hub.breaks = {"M-Q4_K_M.gguf": 1}
    p = pull(home, "big/gguf:Q4_K_M", "--to", str(home / "changed"))
    claim(p.returncode == 0 and "another ETag" in p.stderr and (home / "changed/M-Q4_K_M.gguf").read_bytes() == big, f"an ETag that changes: {p.stderr}")
    hub.reset()
    hub.no_ranges, hub.breaks = True, {"M-Q4_K_M.gguf": 1}
    p = pull(home, "big/gguf:Q4_K_M", "--to", str(home / "whole"))
    claim(p.returncode == 0 and "no parts" in p.stderr and (home / "whole/M-Q4_K_M.gguf").read_bytes() == big, f"a server without ranges: {p.stderr}")
    hub.reset()
    hub.wrong_range, hub.breaks = True, {"M-Q4_K_M.gguf": 1}
    refused(pull(home, "big/gguf:Q4_K_M", "--to", str(home / "range")), "was asked for", "sends 'bytes")
    told = slow.communicate(timeout=30)[1]
    claim(slow.returncode == 0 and "trying again" in told, f"a server that stops sending: {told}")

    # Lists of files by an enemy.
    hub.reset()
    good = {"rfilename": "a.gguf", "size": 3, "blobId": "0" * 40, "lfs": {"sha256": "0" * 64, "size": 3}}
    for change in ({"rfilename": "../../evil.gguf"}, {"rfilename": "/etc/evil.gguf"}, {"rfilename": "a\x1b[2J.gguf"}, {"lfs": {"sha256": "0" * 64, "size": 2**62}}):
        hub.listing = json.dumps({"sha": COMMIT, "siblings": [{**good, **change}]})
        p = pull(home, "big/gguf", "--to", str(home / "evil"))
        refused(p, ".")
        claim(not (home / "evil").exists(), f"{change} makes a folder")
    for listing in ("<html>", "[" * 100_000, json.dumps({"sha": COMMIT, "siblings": [good, good]})):
        hub.listing = listing
        refused(pull(home, "big/gguf", "--to", str(home / "evil")), ".")
    hub.listing = json.dumps({"sha": COMMIT, "siblings": [{**good, "lfs": {"sha256": "0" * 64, "size": 2**45}}]})
    hub.requests.clear()
    refused(pull(home, "big/gguf", "--to", str(home / "full")), r"35\.18 TB are needed", "--to")
    claim(len(hub.requests) == 1, "bytes are asked for that have no room")
    hub.listing = None
    (home / "link").mkdir()
    (home / "link/sub").symlink_to(home / "elsewhere", target_is_directory=True)
    (home / "elsewhere").mkdir()
    refused(pull(home, "big/gguf:F16", "--to", str(home / "link")), "no folder of its own")
    claim(not list((home / "elsewhere").iterdir()), "a file went through a link")


def bytes_there(folder):
    """What the parts of a folder count; 0 while one of them is being written."""
    total = 0
    for state in (folder / ".fathom").glob("*.json"):
        try:
            total += sum(json.loads(state.read_text()).get("done", []))
        except (OSError, ValueError):
            return 0
    return total


def wait_for_more(folder, than):
    for _ in range(500):
        if bytes_there(folder) > than:
            return bytes_there(folder)
        time.sleep(0.02)
    claim(False, f"no bytes come into {folder}")
    return than


def kills_and_neighbours(home):
    """kill -9 at any moment: the next pull goes on, and sends for what is missing alone. Two at once make one model."""
    hub.reset()
    big = os.urandom(12_000_000)
    hub.repositories["kill/me"] = {"M-Q4_0.gguf": big}
    hub.delay, folder, there = 0.02, store(home) / "kill/me", 0
    for _ in range(2):
        p = subprocess.Popen([FATHOM, "pull", "kill/me", "--connections", "2"], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        there = wait_for_more(folder, there)
        p.kill()
        p.wait()
    claim(not (folder / "M-Q4_0.gguf").exists() and list((folder / ".fathom").glob("*.part")), "a killed pull leaves parts alone")
    listed = json.loads(run(home, "models", "--json").stdout)["models"]
    entry = next(m for m in listed if m["name"] == "kill/me")
    claim(entry["state"] == "partial" and 0 < entry["bytes"] < len(big), f"a partial model: {entry}")
    refused(run(home, "inspect", "kill/me"), "files? are there", "fathom pull kill/me")
    p = subprocess.Popen([FATHOM, "pull", "kill/me"], env=environment(home), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wait_for_more(folder, bytes_there(folder))
    refused(run(home, "models", "rm", "kill/me", "--yes"), "pull` goes on there")
    p.send_signal(signal.SIGINT)
    claim(p.wait(20) == -signal.SIGINT and "stopped; what came stays" in p.stderr.read(), "Ctrl-C")
    hub.delay = 0.002
    hub.requests.clear()
    both = [subprocess.Popen([FATHOM, "pull", "kill/me", "--json"], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [p.communicate(timeout=60) for p in both]
    claim(all(p.returncode == 0 for p in both) and (folder / "M-Q4_0.gguf").read_bytes() == big, f"two at once: {results}")
    fetched = sorted(json.loads(out)["fetched_bytes"] for out, _ in results)
    claim(fetched[0] == 0 and 0 < fetched[1] < len(big), f"bytes that two pulls fetch after a kill: {fetched}")
    ranges = [h.get("Range") for port, _, h in hub.requests if port == cdn.server_address[1]]
    claim(len(ranges) == 1 and ranges[0] and not ranges[0].startswith("bytes=0-"), f"what is asked for again: {ranges}")
    claim(any("waiting for it" in err for _, err in results), "the second says that it waits")


def models(home):
    p = run(home, "models")
    for words in (r"real/model +\S+ \S+ +safetensors +\S+ +\S+", r"big/gguf:Q8_0 .*Q8_0", r"real/gguf +.*gguf +Q8_0 +\d", r"models? in "):
        claim(re.search(words, p.stdout), f"{words} in {p.stdout}")
    listed = {m["name"]: m for m in json.loads(run(home, "models", "--json").stdout)["models"]}
    claim(listed["real/gguf"]["parameters"] > 0 and listed["real/model"]["commit"] == COMMIT and "fault" in listed["big/gguf:Q8_0"], f"{listed}")
    (store(home) / "real/model/config.json").write_bytes(b"{}")
    refused(run(home, "inspect", "real/model"), "config.json has another size", "fathom pull real/model")
    outside = home / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    (store(home) / "real/linked").symlink_to(outside, target_is_directory=True)
    for name in ("real/linked", "no/such", "../outside", "real/..", "real", "/etc/x"):
        refused(run(home, "models", "rm", name, "--yes"), ".")
    refused(run(home, "models", "rm", "real/model"), "give --yes")
    claim((outside / "precious").exists() and (store(home) / "real/model").exists(), "what is outside, or was not agreed to, is removed")
    claim(run(home, "models", "rm", "big/gguf:Q8_0", "-y").returncode == 0 and not (store(home) / "big/gguf/M-Q8_0.gguf").exists(), "rm of one GGUF")
    claim((store(home) / "big/gguf/sub/M-F16-00001-of-00002.gguf").exists(), "rm of one GGUF removes others")
    for name in ("real/model", "real/gguf", "big/gguf", "kill/me", "slow/gguf"):
        claim(run(home, "models", "rm", name, "--yes").returncode == 0, f"rm {name}")
    claim(run(home, "models").stdout.startswith("0 models in "), "the store is empty at the end")
    p = run(home, "inspect", "some/thing")
    refused(p, "`fathom pull some/thing`")
    local = home / "real/gguf"
    local.parent.mkdir()
    shutil.copy(home / "tiny.gguf", local)
    p = subprocess.run([FATHOM, "inspect", "real/gguf"], cwd=home, env=environment(home), capture_output=True)
    claim(p.returncode == 0, "a local path of that name")


with tempfile.TemporaryDirectory() as name:
    home = Path(name)
    for arguments in (["--type", "bf16", str(home / "made")], ["--type", "q8_0", str(home / "tiny.gguf")]):
        assert run(home, "synth", "-q", "--shape", "tiny", "--seed", "1", *arguments).returncode == 0
    tests(home, {str(f.relative_to(home / "made")): f.read_bytes() for f in (home / "made").iterdir()}, (home / "tiny.gguf").read_bytes())
    kills_and_neighbours(home)
    models(home)
sys.exit(bool(failures))
