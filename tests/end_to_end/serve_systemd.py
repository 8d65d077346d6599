#!/usr/bin/env python3
"""`fathom serve` under systemd: the unit file that is installed, and what the program tells a service manager. (systemd itself does not run here.)

    python3 tests/end_to_end/serve_systemd.py build/release/fathom
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FATHOM = os.path.realpath(sys.argv[1])
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("FATHOM_")}, "FATHOM_TUNE": "off"}
MOST_EXPOSED = 20  # tenths of systemd's figure, which is 96 for a service without any protection
failures = []


def claim(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED", what, flush=True)


def settings(unit):
    """The lines of a unit file by section and key."""
    found, section = {}, ""
    for n, line in enumerate(unit.read_text().splitlines(), 1):
        if not line or line.startswith(("#", ";")):
            continue
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            section = heading[1]
            continue
        key, sign, value = line.partition("=")
        claim(sign and section and re.fullmatch(r"[A-Z][A-Za-z]+", key), f"{unit.name}:{n}: {line!r}")
        found.setdefault((section, key), []).append(value)
    return found


def check_unit(folder):
    build = Path(FATHOM).parent
    prefix = folder / "usr"
    subprocess.run(["cmake", "--install", str(build), "--component", "service", "--prefix", str(prefix)], check=True, capture_output=True)
    unit = prefix / "lib/systemd/system/fathom.service"
    (prefix / "bin").mkdir()
    (prefix / "bin/fathom").symlink_to(FATHOM)
    found = settings(unit)
    for key, value in (("Type", "notify"), ("DynamicUser", "yes"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("MemoryDenyWriteExecute", "yes"),
                       ("Restart", "on-failure"), ("CapabilityBoundingSet", ""), ("SystemCallArchitectures", "native"), ("LoadCredential", "keys:/etc/fathom/keys")):
        claim(found.get(("Service", key)) == [value], f"{key}={value}: {found.get(('Service', key))}")
    claim(found["Service", "SystemCallFilter"] == ["@system-service", "~@privileged"] and "WatchdogSec" in {k for _, k in found}, "filter and watchdog")
    start = found["Service", "ExecStart"][0].split()
    claim(start[0] == str(prefix / "bin/fathom") and start[1] == "serve", f"the program that was installed: {start}")
    options = [word for word in start[2:] if word.startswith("-")]
    helped = subprocess.run([FATHOM, "serve", "--help"], capture_output=True, text=True, env=ENVIRONMENT).stdout
    claim(options and all(re.search(rf"^  (-\w,)?{o}\b", helped, re.M) for o in options), f"its options are those of the program: {options}")
    stop = re.fullmatch(r"(\d+)", found["Service", "TimeoutStopSec"][0])
    drain = re.search(r"--drain SECONDS=(\d+)", helped)
    claim(stop and drain and int(stop[1]) > int(drain[1]), "there is time to drain")
    if shutil.which("systemd-analyze") is None:
        print("no systemd-analyze here: the unit's keys were read by this test alone")
        return
    p = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True)
    said = [line for line in (p.stdout + p.stderr).splitlines() if "fathom" in line]
    claim(not said, f"systemd-analyze verify: {said}")
    p = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}", str(unit)], capture_output=True, text=True)
    claim(p.returncode == 0, f"systemd-analyze security: {p.stdout[-2000:]}{p.stderr}")


class Manager:
    """Its end of the socket that a service tells its states to."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        self.socket.settimeout(20)
        self.name = name

    def wait_for(self, begin):
        seen = []
        while True:
            try:
                text = self.socket.recv(4096).decode()
            except TimeoutError:
                claim(False, f"no {begin}: {seen}")
                return ""
            seen.append(text)
            if text.startswith(begin):
                return text


def check_notices(folder, name, *options):
    manager = Manager(name)
    log = folder / "log"
    environment = {**ENVIRONMENT, "NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "200000"}
    process = subprocess.Popen([FATHOM, "serve", "-q", "--port", "0", "--log", str(log), *options], env=environment)
    claim("STATUS=serving bundled at http" in manager.wait_for("READY=1"), "ready, with what it does")
    claim(manager.wait_for("WATCHDOG=1") and manager.wait_for("WATCHDOG=1"), "alive, again and again")
    log.rename(folder / "log.1")
    process.send_signal(signal.SIGHUP)
    claim(re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", manager.wait_for("RELOADING=1")), "reloading, with the time")
    manager.wait_for("READY=1")
    end = time.monotonic() + 20  # lines are written by a thread of their own
    while not (log.exists() and "read again" in log.read_text()) and time.monotonic() < end:
        time.sleep(0.01)
    claim(time.monotonic() < end, "the log goes on in a new file")
    process.send_signal(signal.SIGTERM)
    claim(manager.wait_for("STOPPING=1") and process.wait(30) == 0, "stopping, and the end")


def check_refusals():
    for name in ("nonsense", "/nonexistent/socket", "@" + "x" * 200):
        p = subprocess.run([FATHOM, "serve", "--port", "0"], env={**ENVIRONMENT, "NOTIFY_SOCKET": name}, capture_output=True, text=True, timeout=60)
        claim(p.returncode == 2 and p.stderr.count("\n") == 1 and "NOTIFY_SOCKET" in p.stderr, f"{name}: {p.returncode} {p.stderr}")


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        check_unit(folder)
        check_notices(folder, str(folder / "notify"))
        check_notices(folder, f"@fathom-test-{os.getpid()}", "--lazy")
        check_refusals()
    print(f"{len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
