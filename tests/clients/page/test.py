"""The browser tests of the chat page that any server can pass, in Chromium against `fathom serve` (web/README.md)."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
from fathom_server import KEY, Server

with Server() as server:
    environment = {**os.environ, "FATHOM_PAGE_URL": f"{server.url}/", "FATHOM_PAGE_KEY": KEY}
    code = subprocess.run([os.path.join(HERE, "..", "..", "..", "web", "test.sh")], env=environment, timeout=600).returncode
sys.exit(code)
