#!/usr/bin/env python3
"""`fathom serve` under load and faults, in short: the rows D and G of docs/reliability.md. The long form is tests/soak/soak.py.

    python3 tests/end_to_end/serve_load.py build/release/fathom [--sanitized]

--sanitized: of a program with UndefinedBehaviorSanitizer, which opens a pipe to look at a type that it has not met and calls the type wrong where there is no
descriptor for that; so the check without descriptors is left out.
"""
import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

os.environ["FATHOM"] = os.path.realpath(sys.argv[1])
PATIENCE = 240 if "--sanitized" in sys.argv else 60  # seconds for all of a storm: ThreadSanitizer takes ten times as long
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "clients" / "support"))
from fathom_server import ENVIRONMENT, KEY, Server, eventually, post_bytes, storm  # noqa: E402

failures = []
OTHER = "sk-fedcba9876543210fedcba9876543210"


def claim(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED", what, flush=True)


def ask(server, body, key=KEY, path="/v1/completions"):
    """Status, headers, and the body as JSON where it is some."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(text) if text.startswith(b"{") else text.decode()


def prompt(i, words=4):
    return " ".join(["king", "priest", "people", "water", "night", "house", "road"][(i * 7 + j * (i % 5 + 1)) % 7] for j in range(words)) + f" {i}"


def request(i, n=30, **more):
    return {"prompt": prompt(i), "max_tokens": n, "temperature": 1, "seed": i, "ignore_eos": True, **more}


def raw(body):
    return post_bytes("/v1/completions", body)


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=60)


def text_of(answer):
    return answer[2]["choices"][0]["text"] if answer[0] == 200 else answer


def counter(server, name):
    found = re.search(rf"^{name}(?:\{{.*\}})? ([0-9.e+]+)$", server.get("/metrics"), re.M)
    return float(found[1]) if found else 0


def descriptors(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))


def check_streams(server):
    """D1: more streams than sequences run at a time all end, and each has its own text."""
    def stream(i):
        status, _, text = ask(server, request(i, 12, stream=True))
        return status == 200 and text.rstrip().endswith("data: [DONE]") and text.count('"finish_reason":"length"') == 1
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        claim(all(pool.map(stream, range(64))), "D1: 64 streams end with [DONE]")
    eventually(server.is_idle, "D1: idle after the streams")


def check_even_streams():
    """D1: 512 streams at once all end, and in about the order in which they came."""
    n, running = 512, 32
    with Server("--max-queued", "1024", "--max-running", str(running)) as server:
        received, ended = storm(server.port, [post_bytes("/v1/completions", request(i, 8, stream=True), more="Connection: close\r\n") for i in range(n)], PATIENCE)
        whole = [i for i, text in enumerate(received) if text.startswith(b"HTTP/1.1 200 ") and b"data: [DONE]" in text and text.endswith(b"0\r\n\r\n")]
        claim(len(whole) == n, f"D1: {len(whole)} of {n} streams end with [DONE]: {bytes(next((r for i, r in enumerate(received) if i not in whole), b''))[:300]}")
        # In the mean: how a busy machine accepts them moves some of them. Any order would give n / 3, the newest first n / 2.
        late = sum(abs(place - i) for place, i in enumerate(ended)) / n
        claim(late <= n / 4, f"D1: a stream ends {late} places from where it came, in the mean")
        eventually(server.is_idle, "D1: idle after 512 streams")


def resident_bytes(server):
    with open(f"/proc/{server.process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def check_flood():
    """D2: thousands of requests within a moment are each answered, by text or by 429, and nothing of them stays. (The long form: 10,000.)"""
    connections, each = 250, 8
    with Server("--max-running", "2", "--max-queued", "4") as server:
        ask(server, request(0, 20))
        before, descriptors_before = resident_bytes(server), descriptors(server)
        sent = [b"".join(post_bytes("/v1/completions", request(i * each + k, 20), more="Connection: close\r\n" if k == each - 1 else "") for k in range(each)) for i in range(connections)]
        received, _ = storm(server.port, sent, PATIENCE)
        statuses = [int(s) for text in received for s in re.findall(rb"HTTP/1\.1 (\d{3}) ", text)]
        claim(len(statuses) == connections * each and set(statuses) == {200, 429}, f"D2: {len(statuses)} answers of {connections * each}: { {s: statuses.count(s) for s in set(statuses)} }")
        claim(all(text.count(b"Retry-After: ") == text.count(b"HTTP/1.1 429 ") for text in received), "D2: each 429 says when to come again")
        eventually(server.is_idle, "D2: idle after the flood")
        eventually(lambda: descriptors(server) <= descriptors_before + 1, "D2: no descriptor stays")
        if "--sanitized" not in sys.argv:  # AddressSanitizer keeps what was freed
            claim(resident_bytes(server) < before + (64 << 20), f"D2: memory: {before} {resident_bytes(server)}")
        claim(ask(server, request(0, 5))[0] == 200, "D2: the next one is answered")


def check_queue():
    """D2: the queue is bounded; who is refused is told when to come again."""
    with Server("--max-running", "1", "--max-queued", "2") as server:
        with concurrent.futures.ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(lambda i: ask(server, request(i, 300)), range(40)))
        by_status = {s: [a for a in answers if a[0] == s] for s in {a[0] for a in answers}}
        claim(set(by_status) == {200, 429}, f"D2: 200 and 429 only: { {s: len(a) for s, a in by_status.items()} }")
        claim(len(by_status.get(200, [])) >= 3, "D2: the running one and the queue are answered")
        for status, headers, body in by_status.get(429, []):
            claim(int(headers["Retry-After"]) > 0 and body["error"]["message"], f"D2: 429 with Retry-After: {headers} {body}")
        claim(ask(server, request(0, 5))[0] == 200, "D2: the next one is answered")


def check_preemption(server):
    """D4: a cache smaller than the demand: sequences give way, and the texts are those of a server with room."""
    wanted = [text_of(ask(server, request(i, 200))) for i in range(6)]
    with Server("--cache-tokens", "512", "--max-running", "6") as small:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            got = [text_of(a) for a in pool.map(lambda i: ask(small, request(i, 200)), range(6))]
        claim(got == wanted, "D4: the same texts with a small cache")
        claim(counter(small, "preemptions_total") > 0, "D4: something gave way")
        eventually(small.is_idle, "D4: the cache is free")


def check_leaving(server):
    """D5: clients that leave before the head, in it, in the queue, in the prompt, and at any token."""
    before = descriptors(server)
    whole = raw(request(1, 400, stream=True))
    long_prompt = raw({"prompt": " ".join(prompt(i) for i in range(40)), "max_tokens": 50, "stream": True})
    for i in range(240):
        with connect(server) as s:
            s.sendall([b"", whole[:40], whole[:-3], whole, long_prompt, whole][i % 6])
            if i % 6 == 5:
                for _ in range(i // 6 % 8):
                    s.recv(200)
    eventually(server.is_idle, "D5: nothing runs for clients that left")
    eventually(lambda: descriptors(server) <= before + 1, "D5: no descriptor stays")
    claim(ask(server, request(2, 5))[0] == 200, "D5: the next one is answered")


def check_half_closed(server):
    """D6: a client that closes its sending side counts as one that left (docs/serving-http.md)."""
    with connect(server) as s:
        s.sendall(raw(request(3, 400, stream=True)))
        s.shutdown(socket.SHUT_WR)
        eventually(server.is_idle, "D6: its sequence is freed")


def check_unread(server):
    """D7: a reader that never reads does not slow the others."""
    with connect(server) as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        silent.sendall(raw(request(4, 400, stream=True)))
        claim(all(ask(server, request(i, 10))[0] == 200 for i in range(5)), "D7: others are answered")
    eventually(server.is_idle, "D7: its sequence is freed")


def check_deadlines():
    """D9: in the queue and while text is made; whole answers get a status, streams an error event."""
    with Server("--max-running", "1") as server:
        with connect(server) as busy:
            busy.sendall(raw(request(5, 450, stream=True)))
            busy.recv(100)
            status, _, body = ask(server, request(6, 450, timeout=0.001))
        claim(status == 504 and body["error"]["message"], f"D9: 504: {status} {body}")
        status, _, text = ask(server, request(7, 450, timeout=0.02, stream=True))
        claim(status == 504 or '"error"' in text and "[DONE]" not in text, f"D9: a stream that ran out of time: {status} {str(text)[-200:]}")
        eventually(server.is_idle, "D9: freed")


def check_keys_share():
    """D10: a key that floods does not keep another one waiting behind all of it."""
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        os.chmod(keys.name, 0o600)
        keys.write(f"tester: {KEY}\nother: {OTHER}\n")
        keys.flush()
        with Server("--keys", keys.name, "--max-running", "1", is_open=True) as server:
            ended = []
            def run(i, key):
                claim(ask(server, request(i, 60), key)[0] == 200, f"D10: request {i}")
                ended.append(key)
            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                flood = [pool.submit(run, i, KEY) for i in range(20)]
                eventually(lambda: counter(server, "requests_waiting") > 12, "D10: a queue")
                other = pool.submit(run, 99, OTHER)
                concurrent.futures.wait([other, *flood])
            claim(ended.index(OTHER) < 18, f"D10: the other key waits behind the whole flood: {[k == KEY for k in ended]}")
            cached = [ask(server, {"prompt": prompt(7, 60), "max_tokens": 2}, key)[2]["usage"]["prompt_tokens_details"]["cached_tokens"] for key in (KEY, KEY, OTHER, OTHER)]
            claim(cached[2] <= 1 and cached[1] > 30 and cached[3] > 30, f"H4: what one key has asked is found for itself alone: {cached}")
            os.truncate(keys.name, 0)
            with open(keys.name, "w") as file:
                file.write(f"tester: {KEY}\n")
            server.process.send_signal(signal.SIGHUP)
            eventually(lambda: ask(server, request(0, 1), OTHER)[0] == 401, "D12: SIGHUP reads the keys again")
            claim(ask(server, request(0, 1))[0] == 200, "D12: the other key stays")
            with open(os.path.join(server.folder.name, "log")) as log:
                claim("sk-" not in log.read(), "H3: no key in the log")


def check_probes(server):
    """D11: probes are answered while every sequence is busy. (How fast is not asked here: the machine may be anybody's.)"""
    stop = threading.Event()
    def load(i):
        while not stop.is_set():
            ask(server, {"prompt": " ".join(prompt(i + j) for j in range(40)), "max_tokens": 20})
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for i in range(16):
            pool.submit(load, i)
        for path in ("/live", "/ready", "/metrics") * 20:
            claim(bool(server.get(path)) or path != "/metrics", f"D11: {path}")
        stop.set()
    eventually(server.is_idle, "D11: idle")


def check_signals():
    """D12: SIGTERM lets what runs end and takes nothing new; a second one ends at once."""
    server = Server("--drain", "60")
    with connect(server) as running:
        running.sendall(raw(request(8, 450)))
        time.sleep(0.05)
        server.process.send_signal(signal.SIGTERM)
        server.process.send_signal(signal.SIGTERM)
        claim(server.process.wait(20) is not None, "D12: two signals end it")
    server.folder.cleanup()


def check_output_that_fails():
    """G2: a log on a full disk, and stdout and stderr that are closed."""
    for redirect in (">&- 2>/dev/full", "> /dev/full 2> /dev/full"):
        with tempfile.TemporaryDirectory() as folder, socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
            free.close()
            process = subprocess.Popen(["bash", "-c", f'exec "$0" serve --port {port} --log /dev/full {redirect}', os.environ["FATHOM"]], env=ENVIRONMENT, cwd=folder)
            here = type("Here", (), {"port": port})
            def answers():
                try:
                    return ask(here, request(9, 3))[0] == 200
                except OSError:
                    return False
            try:
                eventually(answers, f"G2: answers with {redirect}", 60)
            finally:
                process.send_signal(signal.SIGTERM)
                claim(process.wait(60) == 0, f"G2: ends with 0 with {redirect}")


def check_descriptors():
    """G2: no descriptors left: the server waits, and goes on when there are some."""
    with Server("--max-connections", "4096") as server:
        subprocess.run(["prlimit", "--pid", str(server.process.pid), f"--nofile={descriptors(server) + 8}:4096"], check=True)
        crowd = [connect(server) for _ in range(40)]
        time.sleep(0.3)
        for s in crowd:
            s.close()
        eventually(lambda: ask(server, request(10, 3))[0] == 200, "G2: answers after the crowd")


def main():
    with Server() as server:
        for check in (check_streams, check_preemption, check_leaving, check_half_closed, check_unread, check_probes):
            check(server)
    for check in (check_even_streams, check_flood, check_queue, check_deadlines, check_keys_share, check_signals, check_output_that_fails):
        check()
    if "--sanitized" not in sys.argv:
        check_descriptors()
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
