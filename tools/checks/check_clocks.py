#!/usr/bin/env python3
"""What a server waits for, it waits for by a clock that nobody sets: in the folders below, the clock of the day is read for dates alone.

    tools/checks/check_clocks.py [SRC]

Prints every line that reads it elsewhere, and exits with 1.
"""
import pathlib
import re
import sys

FOLDERS = ("http", "server", "engine", "kernels", "base")
OF_THE_DAY = re.compile(r"system_clock|high_resolution_clock|CLOCK_REALTIME|gettimeofday|\b(std)?::time\(|SetToCurrentTime")
DATES = {  # what each file tells the day for
    "engine/tuning/machine_costs.cpp": "when the costs of this machine were measured",
    "http/log.cpp": "a line of the log",
    "http/response_head.cpp": "the header Date",
    "server/api/request_context.cpp": "`created` of an answer",
    "server/metrics.cpp": "the gauge of the last step",
}


def main():
    src = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2] / "src")
    found, dated = 0, set()
    for file in sorted(f for folder in FOLDERS for f in (src / folder).rglob("*") if f.suffix in {".h", ".cpp", ".inl"}):
        name = str(file.relative_to(src))
        for number, line in enumerate(file.read_text().splitlines(), 1):
            if not OF_THE_DAY.search(line.split("//")[0]):
                continue
            dated.add(name)
            if name not in DATES:
                print(f"{file}:{number}: the clock of the day; times are of std::chrono::steady_clock or clock_seconds(): {line.strip()}")
                found += 1
    for name in sorted(DATES.keys() - dated):
        print(f"{name} no longer reads the clock of the day: take it out of the table of {__file__}")
        found += 1
    print(f"check_clocks: {found} found" if found else "check_clocks: the clock of the day is read for dates alone")
    sys.exit(1 if found else 0)


main()
