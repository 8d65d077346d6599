"""nginx and haproxy in front of a stream: tokens come one by one, and comments keep a silent stream open that would be cut without them."""
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from fathom_server import KEY, Server, eventually

LONG = {"prompt": "Once", "max_tokens": 500, "ignore_eos": True, "temperature": 1}
SILENCE = 3.0  # seconds; the proxies' own patience is 2
COMMANDS = {"nginx": lambda folder, conf: ["/usr/sbin/nginx", "-e", "stderr", "-p", folder, "-c", conf], "haproxy": lambda folder, conf: ["/usr/sbin/haproxy", "-q", "-f", conf]}
CONFIGURATIONS = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def proxy(name, server):
    """Its port."""
    with tempfile.TemporaryDirectory(prefix="fathom-proxy-") as folder:
        port = free_port()
        conf = os.path.join(folder, CONFIGURATIONS[name])
        text = open(os.path.join(HERE, CONFIGURATIONS[name])).read()
        open(conf, "w").write(text.replace("@PORT@", str(port)).replace("@SERVER@", str(server.port)))
        process = subprocess.Popen(COMMANDS[name](folder, conf))
        try:
            eventually(lambda: listens(port), f"{name} listens")
            eventually(lambda: request(port, "GET", "/live").status == 200, f"{name} passes requests on")
            yield port
        finally:
            process.terminate()
            process.wait(20)


def request(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, None if body is None else json.dumps(body), {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
    return connection.getresponse()


def pieces(answer):
    """What arrives, with its times, until the end or a cut."""
    with contextlib.suppress(http.client.IncompleteRead, ConnectionError):
        while piece := answer.read1(65536):
            yield time.monotonic(), piece


def check_one_by_one(port, name):
    start = time.monotonic()
    answer = request(port, "POST", "/v1/completions", {**LONG, "stream": True})
    got = list(pieces(answer))
    events = b"".join(p for _, p in got).count(b"data: ")
    text = b"".join(p for _, p in got)
    assert text.endswith(b"data: [DONE]\n\n"), f"{name}: the stream is not whole"
    assert len(got) > events / 10, f"{name}: {events} events in {len(got)} pieces"
    assert got[0][0] - start < (got[-1][0] - start) / 2, f"{name}: the first token came {got[0][0] - start:.2f} s after the request, the last {got[-1][0] - start:.2f} s"
    return events, len(got)


class Occupied:
    """The one place of the server is taken for at least that many seconds, by requests one after the other that go before."""

    def __init__(self, server, seconds):
        self.end = time.monotonic() + seconds
        self.threads = [threading.Thread(target=self.ask, args=(server,)) for _ in range(2)]  # one runs, one waits

    def ask(self, server):
        while time.monotonic() < self.end:
            server.post("/v1/completions", {**LONG, "priority": 10})

    def __enter__(self):
        for t in self.threads:
            t.start()
        time.sleep(0.05)

    def __exit__(self, *_):
        for t in self.threads:
            t.join()


def silent_stream(port, server):
    with Occupied(server, SILENCE):
        got = list(pieces(request(port, "POST", "/v1/completions", {**LONG, "max_tokens": 4, "stream": True})))
    return b"".join(p for _, p in got)


def check_leaving(port, server, name):
    answer = request(port, "POST", "/v1/completions", {**LONG, "stream": True, "n": 1})
    answer.read1(64)
    answer.close()
    eventually(server.is_idle, f"{name}: a client that leaves the proxy frees its sequence")


def main():
    with Server("--max-running", "1", "--keep-alive", "1") as kept, Server("--max-running", "1", "--keep-alive", "0") as mute:
        for name in CONFIGURATIONS:
            with proxy(name, kept) as port:
                events, n = check_one_by_one(port, name)
                check_leaving(port, kept, name)
                text = silent_stream(port, kept)
                assert text.count(b": keep-alive") >= 2 and text.endswith(b"data: [DONE]\n\n"), f"{name}: {text}"
                assert request(port, "POST", "/v1/completions", {"prompt": 5}).status == 400
            with proxy(name, mute) as port:
                text = silent_stream(port, mute)
                assert b"[DONE]" not in text, f"{name}: a silent stream is not cut, so this test shows nothing"
            print(f"{name}: {events} events in {n} pieces; a silence of {SILENCE} s survived with comments, and not without")


main()
