#!/usr/bin/env python3
"""The long form of tests/end_to_end/serve_load.py: 10,000 connections, 5,000 clients that leave, and mixed traffic for half an hour.
Memory, descriptors, threads and cache are at the end what they were after the warm-up.

    python3 tests/soak/soak.py build/release/fathom [--minutes 30] [--connections 10000] [--leavers 5000]
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
import sys
import time

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("fathom")
arguments.add_argument("--minutes", type=float, default=30)
arguments.add_argument("--connections", type=int, default=10000)
arguments.add_argument("--leavers", type=int, default=5000)
arguments.add_argument("--seed", type=int, default=1)
arguments = arguments.parse_args()
os.environ["FATHOM"] = os.path.realpath(arguments.fathom)
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "clients" / "support"))
from fathom_server import KEY, Server, eventually  # noqa: E402

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
        data = json.dumps(what).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as s:
            whole = head + data
            s.sendall(whole[:random_.choice([0, len(head) // 2, len(whole) - 1, len(whole), len(whole)])])
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
    with Server("--cache-tokens", "4096") as server:
        seconds = arguments.minutes * 60
        traffic(server, min(60, seconds / 3), arguments.seed)
        before = settle(server)
        print(f"after the warm-up: {before}", flush=True)
        print(f"{crowd(server, arguments.connections)} connections held", flush=True)
        held(before, settle(server), "after the crowd")
        leave(server, arguments.leavers, arguments.seed)
        held(before, settle(server), f"after {arguments.leavers} clients that left")
        n = traffic(server, seconds, arguments.seed + 1)
        held(before, settle(server), f"after {n} requests in {arguments.minutes} minutes")


main()
