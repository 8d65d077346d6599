#!/usr/bin/env python3
"""The long form of tests/end_to_end/serve_load.py: what may be known of keys and of others' prompts by the clock, 1,000 streams at once, 10,000 requests within a moment,
10,000 connections, 5,000 clients that leave, and mixed traffic for half an hour while probes are answered in time.
Memory, descriptors, threads and cache are at the end what they were after the warm-up.

    python3 tests/soak/soak.py build/release/fathom [--minutes 30] [--connections 10000] [--leavers 5000] [--without-clock]

--without-clock: measures times, and judges none: of a sanitized program, or a machine that others use.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("fathom")
arguments.add_argument("--minutes", type=float, default=30)
arguments.add_argument("--connections", type=int, default=10000)
arguments.add_argument("--leavers", type=int, default=5000)
arguments.add_argument("--seed", type=int, default=1)
arguments.add_argument("--without-clock", action="store_true")
arguments = arguments.parse_args()
os.environ["FATHOM"] = os.path.realpath(arguments.fathom)
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "clients" / "support"))
from fathom_server import KEY, Server, eventually, post_bytes, storm  # noqa: E402

OTHER = "sk-fedcba9876543210fedcba9876543210"
HEADERS = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
GROWTH = 64 << 20  # bytes that the resident size may differ by: allocators keep some


def state(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    field = {line.split(":")[0]: line.split()[1] for line in status.splitlines() if line.count(":") == 1 and len(line.split()) > 1}
    return {"bytes": int(field["VmRSS"]) << 10, "threads": int(field["Threads"]), "descriptors": len(os.listdir(f"/proc/{server.process.pid}/fd"))}


def body(random_):
    words = " ".join(random_.choice(["the", "king", "said", "to", "people", "water", "day"]) for _ in range(random_.choice([3, 20, 150])))
    n = random_.randint(1, 60)
    form = random_.randrange(4)
    if form == 0:
        return "/v1/chat/completions", {"messages": [{"role": "user", "content": words}], "max_tokens": n, "stream": True}
    if form == 1:
        return "/v1/completions", {"prompt": words, "max_tokens": n, "echo": True, "logprobs": 2}
    if form == 2:
        return "/v1/completions", {"prompt": words, "max_tokens": n, "guided_regex": "[a-z ]{3,30}"}
    return "/v1/completions", {"prompt": words, "max_tokens": n, "stream": True, "seed": random_.getrandbits(30)}


def one_request(server, random_):
    """Read to the end, or left somewhere."""
    path, what = body(random_)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    try:
        connection.request("POST", path, json.dumps(what), HEADERS)
        if random_.random() < 0.2:
            return
        answer = connection.getresponse()
        if answer.status not in (200, 429):
            raise AssertionError(f"{answer.status}: {answer.read(500)}")
        answer.read(random_.randint(1, 2000)) if random_.random() < 0.2 else answer.read()
    finally:
        connection.close()


def traffic(server, seconds, seed, clients=16):
    end = time.monotonic() + seconds

    def client(i):
        random_, n = random.Random(seed * 1000 + i), 0
        while time.monotonic() < end:
            one_request(server, random_)
            n += 1
        return n
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(client, range(clients)))


def leave(server, n, seed):
    random_ = random.Random(seed)
    for _ in range(n):
        path, what = body(random_)
        whole = post_bytes(path, what)
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            s.sendall(whole[:random_.choice([0, 80, len(whole) - 1, len(whole), len(whole)])])
            if random_.random() < 0.3:
                s.settimeout(0.05)
                try:
                    s.recv(random_.randint(1, 2000))
                except TimeoutError:
                    pass


def crowd(server, n):
    """Idle connections, from several addresses; a new request is answered all the same."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    n = min(n, hard - 200)
    sockets = []
    for i in range(n):
        s = socket.socket()
        s.bind((f"127.0.0.{2 + i % 8}", 0))
        s.connect(("127.0.0.1", server.port))
        if i % 2:
            s.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: lo")
        sockets.append(s)
    answered = server.post("/v1/completions", {"prompt": "The king", "max_tokens": 3})
    assert answered["usage"]["completion_tokens"] == 3, answered
    for s in sockets:
        s.close()
    return n


def judged(holds, what):
    assert holds or arguments.without_clock, what


def time_keys(server, samples=10000):
    """H2: a key that is wrong is refused in the same time wherever it differs: 10,000 requests for each length of the part that is right."""
    lengths = (3, 11, 19, 27, len(KEY) - 1)
    wrong = {n: KEY[:n] + "".join("x" if c != "x" else "y" for c in KEY[n:]) for n in lengths}
    times = {n: [] for n in lengths}
    with socket.create_connection(("127.0.0.1", server.port)) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        random_ = random.Random(arguments.seed)
        for i in range(samples):
            if i % 500 == 0:
                s.close()
                s = socket.create_connection(("127.0.0.1", server.port))
            for n in random_.sample(lengths, len(lengths)):
                request = f"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {wrong[n]}\r\n\r\n".encode()
                start = time.perf_counter_ns()
                s.sendall(request)
                answer = s.recv(65536)
                times[n].append(time.perf_counter_ns() - start)
                assert answer.startswith(b"HTTP/1.1 401 "), answer[:100]
    # The fastest half tells least of the machine: means of it, and their errors.
    fast = {n: sorted(t)[: samples // 2] for n, t in times.items()}
    mean = {n: statistics.fmean(t) for n, t in fast.items()}
    error = max(statistics.stdev(t) / len(t) ** 0.5 for t in fast.values())
    print("keys: " + ", ".join(f"{n} right: {mean[n] / 1000:.2f} us" for n in lengths) + f" (standard error {error / 1000:.3f} us)", flush=True)
    judged(mean[lengths[-1]] - mean[lengths[0]] < max(6 * error, 0.02 * mean[lengths[0]]), f"H2: a longer right part takes longer: {mean}")


def time_prefixes(server, rounds=40):
    """H4: by the clock, a prompt of another key is as new as one that nobody has asked; one's own is not."""
    random_ = random.Random(arguments.seed)

    def ask(prompt, key):
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        data = json.dumps({"prompt": prompt, "max_tokens": 1})
        start = time.perf_counter()
        connection.request("POST", "/v1/completions", data, {**HEADERS, "Authorization": f"Bearer {key}"})
        answer = json.load(connection.getresponse())
        taken = time.perf_counter() - start
        connection.close()
        return taken, answer["usage"]["prompt_tokens_details"]["cached_tokens"]
    new, others, own = [], [], []
    for _ in range(rounds):
        prompt, unasked = ([random_.randrange(5, 4000) for _ in range(480)] for _ in range(2))
        new.append(ask(prompt, KEY)[0])
        pair = [(others, prompt), (new, unasked)]
        random_.shuffle(pair)
        for times, ids in pair:
            taken, cached = ask(ids, OTHER)
            assert cached <= 1, f"H4: {cached} tokens of another key's prompt"
            times.append(taken)
        taken, cached = ask(prompt, KEY)
        assert cached > 300, f"H4: {cached} tokens of one's own prompt"
        own.append(taken)
    median = {name: statistics.median(t) for name, t in (("new", new), ("another key's", others), ("one's own", own))}
    print("prompts of 480 tokens: " + ", ".join(f"{name} {1000 * t:.1f} ms" for name, t in median.items()), flush=True)
    judged(median["another key's"] > 0.85 * median["new"] and median["one's own"] < 0.7 * median["new"], f"H4: {median}")


def many_streams(server, n=1000):
    """D1: all end; of those that run at once, the last ends at most twice as late as the first."""
    def stream(i):
        return post_bytes("/v1/completions", {"prompt": f"The king {i}", "max_tokens": 60, "ignore_eos": True, "stream": True}, more="Connection: close\r\n")
    received, _ = storm(server.port, [stream(i) for i in range(n)], 300)
    assert all(b"data: [DONE]" in text for text in received), "D1: streams that do not end"

    def timed(i):
        start = time.monotonic()
        storm(server.port, [stream(i)])
        return time.monotonic() - start
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        times = list(pool.map(timed, range(16)))
    print(f"{n} streams ended; of 16 at once, the first after {min(times):.2f} s, the last after {max(times):.2f} s", flush=True)
    judged(max(times) < 2 * min(times), f"D1: uneven: {times}")


def flood(server, n=10000, each=10):
    """D2: each is answered, by text or by 429."""
    pieces = [b"".join(post_bytes("/v1/completions", {"prompt": f"{i} {k}", "max_tokens": 5}, more="Connection: close\r\n" if k == each - 1 else "") for k in range(each)) for i in range(n // each)]
    start = time.monotonic()
    received, _ = storm(server.port, pieces, 300)
    statuses = [text.count(b"HTTP/1.1 " + status) for status in (b"200 ", b"429 ") for text in received]
    assert sum(statuses) == n, f"D2: {sum(statuses)} answers of {n}"
    print(f"{n} requests at once: {sum(statuses[:len(received)])} answered, the others told to come again, in {time.monotonic() - start:.1f} s", flush=True)


PROBES = """
import http.client, sys, time
port, worst = int(sys.argv[1]), []
while True:
    for path in ("/live", "/ready"):
        start = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", path)
        assert connection.getresponse().status == 200, path
        connection.close()
        print(time.monotonic() - start, flush=True)
    time.sleep(0.1)
"""


class Probes:
    """D11: /live and /ready every 100 ms from a process of its own, while the body of the `with` runs."""

    def __init__(self, server):
        self.out = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([sys.executable, "-c", PROBES, str(server.port)], stdout=self.out)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        assert self.process.poll() is None, "D11: a probe was not answered"
        self.process.kill()
        self.process.wait()
        self.out.seek(0)
        times = sorted(float(line) for line in self.out if line.endswith("\n"))
        p99 = times[len(times) * 99 // 100]
        print(f"{len(times)} probes: p50 {1000 * times[len(times) // 2]:.1f} ms, p99 {1000 * p99:.1f} ms, the slowest {1000 * times[-1]:.1f} ms", flush=True)
        judged(p99 < 0.05, f"D11: p99 of the probes is {p99} s")


def held(before, now, what):
    print(f"{what}: {now}", flush=True)
    assert now["bytes"] <= before["bytes"] + GROWTH, f"{what}: memory grew: {before} {now}"
    assert now["threads"] == before["threads"], f"{what}: threads: {before} {now}"
    assert now["descriptors"] <= before["descriptors"] + 2, f"{what}: descriptors: {before} {now}"


def settle(server):
    eventually(server.is_idle, "nothing runs, waits or holds the cache", 120)
    time.sleep(1)
    return state(server)


def main():
    with tempfile.NamedTemporaryFile("w", suffix=".keys") as keys:
        os.chmod(keys.name, 0o600)
        keys.write(f"tester: {KEY}\nother: {OTHER}\n")
        keys.flush()
        with Server("--keys", keys.name, is_open=True) as server:
            time_keys(server)
            time_prefixes(server)
        with Server("--max-queued", "1024") as server:
            many_streams(server)
    with Server("--cache-tokens", "4096") as server:
        seconds = arguments.minutes * 60
        traffic(server, min(60, seconds / 3), arguments.seed)
        before = settle(server)
        print(f"after the warm-up: {before}", flush=True)
        flood(server)
        held(before, settle(server), "after the flood")
        print(f"{crowd(server, arguments.connections)} connections held", flush=True)
        held(before, settle(server), "after the crowd")
        leave(server, arguments.leavers, arguments.seed)
        held(before, settle(server), f"after {arguments.leavers} clients that left")
        with Probes(server):
            n = traffic(server, seconds, arguments.seed + 1)
        held(before, settle(server), f"after {n} requests in {arguments.minutes} minutes")


main()
