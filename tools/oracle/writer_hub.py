"""A hub on this machine, for writer_programs.py: as much of its interface as a download of one model asks for."""
import hashlib
import http.server
import json
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubHandler(http.server.BaseHTTPRequestHandler):
    base = None

    def do_HEAD(self):
        self.answer(head=True)

    def do_GET(self):
        self.answer(head=False)

    def log_message(self, *_):
        pass

    def answer(self, head):
        files = sorted(path.name for path in self.base.iterdir())
        if "/tree/" in self.path:
            body = json.dumps([dict(type="file", path=name, oid="0" * 40, size=(self.base / name).stat().st_size)
                               for name in files]).encode()
        elif "/api/models/" in self.path:
            body = json.dumps(dict(_id="1", id="maker/lite", sha=COMMIT, private=False, downloads=0, likes=0,
                                   tags=[], siblings=[dict(rfilename=name) for name in files])).encode()
        else:
            body = (self.base / self.path.rsplit("/", 1)[1]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.end_headers()
        if not head:
            self.wfile.write(body)


def serve(base):
    """Serves the folder as maker/NAME for as long as the process lives; the endpoint's address."""
    handler = type("Handler", (HubHandler,), dict(base=base))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"
