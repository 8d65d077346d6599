"""promtool reads /metrics of a server that was used, and finds nothing to say."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from fathom_server import Server

PROMTOOL = sys.argv[1]


def check(text):
    return subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)


with Server() as server:
    before = server.get("/metrics")
    server.post("/v1/completions", {"prompt": "Once", "max_tokens": 4})
    after = server.get("/metrics")
assert check("requests{a=\"b\"} x\n").returncode != 0, "promtool takes anything, so this test shows nothing"
for text in (before, after):
    said = check(text)
    assert said.returncode == 0 and not said.stderr and not said.stdout, said.stdout + said.stderr
print(f"promtool: {sum(line.startswith('# TYPE') for line in after.splitlines())} families, nothing to say")
