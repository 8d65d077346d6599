"""A `fathom serve` of the bundled model for a test in Python. FATHOM names the program."""
import json
import os
import re
import selectors
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

KEY = "sk-0123456789abcdef0123456789abcdef"
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}, "FATHOM_TUNE": "off"}


class Server:
    """On a free port, and ready. It asks for KEY, unless it is open. Use it in `with`: the server has to end with 0."""

    def __init__(self, *options, is_open=False):
        self.folder = tempfile.TemporaryDirectory(prefix="fathom-client-")
        keys = os.path.join(self.folder.name, "keys")
        with open(os.open(keys, os.O_CREAT | os.O_WRONLY, 0o600), "w") as file:
            file.write(f"tester: {KEY}\n")
        command = [os.environ["FATHOM"], "serve", "--port", "0", "--log", os.path.join(self.folder.name, "log"), *([] if is_open else ["--keys", keys]), *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        said = ""
        while not (found := re.search(r"at http://127\.0\.0\.1:(\d+)", said)):
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError(f"the server ended: {said}")
            said += line
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        eventually(self.is_ready, "a server that is ready")

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.folder.cleanup()
        if kind is None and code != 0:
            raise AssertionError(f"the server ended with {code}")

    def is_ready(self):
        try:
            return urllib.request.urlopen(f"{self.url}/ready").status == 200
        except urllib.error.HTTPError:
            return False

    def get(self, path):
        return urllib.request.urlopen(urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {KEY}"})).read().decode()

    def post(self, path, body):
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"})
        return json.load(urllib.request.urlopen(request))

    def is_idle(self):
        """Nothing runs or waits, and nothing holds the cache."""
        text = self.get("/metrics")
        return all(re.search(rf"^{name}\{{.*\}} 0$", text, re.M) for name in ("requests_running", "requests_waiting", "kv_cache_usage_ratio"))


def post_bytes(path, body, key=KEY, more=""):
    """A request as bytes; more: headers, each with its line end."""
    data = json.dumps(body).encode()
    return f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n{more}Content-Length: {len(data)}\r\n\r\n".encode() + data


def storm(port, sent, seconds=60):
    """A connection for each of the byte strings, all at once, and each read until the server closes it: what came, and the order of their ends. The last request of each asks to close."""
    selector, received, ended = selectors.DefaultSelector(), [bytearray() for _ in sent], []
    for i, data in enumerate(sent):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        selector.register(s, selectors.EVENT_WRITE, [i, memoryview(data)])
    end = time.monotonic() + seconds
    while selector.get_map():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s, {len(selector.get_map())} of {len(sent)} connections are open")
        for key, what in selector.select(1):
            i, data = key.data
            try:
                if what & selectors.EVENT_WRITE:
                    data = key.data[1] = data[key.fileobj.send(data):]
                    if not data:
                        selector.modify(key.fileobj, selectors.EVENT_READ, key.data)
                    continue
                piece = key.fileobj.recv(65536)
            except BlockingIOError:
                continue
            except OSError:
                piece = b""
            received[i] += piece
            if not piece:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                ended.append(i)
    return received, ended


def eventually(holds, what, seconds=20):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"after {seconds} s still not so: {what}")
        time.sleep(0.02)
