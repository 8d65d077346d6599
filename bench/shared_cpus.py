#!/usr/bin/env python3
"""What two engines get that share this machine's CPUs, against one that has them alone.

    python bench/shared_cpus.py build/release/fathom [-m MODEL] [--threads N] [--rounds 3] [--before OTHER_FATHOM]

Each round measures, in turns: one process alone, and two at once, with `fathom bench` (decode and prefill). "Share" is
what each of two gets of half the speed alone: 100 % is fair, more than that what the second hides of the first's waits.
--before runs another build in the same turns, so that an hour's drift meets both. On a quiet machine only.
"""
import argparse
import json
import statistics
import subprocess

WORKS = ("decode:96:0:1", "prefill:512:0")


def measure(fathom, args, n):
    command = [fathom, "bench", "-q", "--json", "--no-limits", "--repetitions", "8"]
    for work in WORKS:
        command += ["--work", work]
    if args.model:
        command += ["-m", args.model]
    if args.threads:
        command += ["--threads", str(args.threads)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(n)]
    reports = [json.loads(p.communicate()[0]) for p in running]
    if any(p.returncode != 0 for p in running):
        raise SystemExit("fathom bench failed")
    return {w["work"]: [r["runs"][0]["works"][i]["tokens_per_second"]["median"] for r in reports]
            for i, w in enumerate(reports[0]["runs"][0]["works"])}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fathom")
    parser.add_argument("-m", "--model")
    parser.add_argument("-t", "--threads", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--before", help="another build, measured in the same turns")
    args = parser.parse_args()
    builds = [b for b in (args.before, args.fathom) if b]
    rounds = [{b: (measure(b, args, 1), measure(b, args, 2)) for b in builds} for _ in range(args.rounds)]
    for build in builds:
        print(build)
        for work in rounds[0][build][0]:
            alone = [r[build][0][work][0] for r in rounds]
            shares = [200 * s / a for r, a in zip(rounds, alone) for s in r[build][1][work]]
            print(f"  {work:<20} alone {statistics.median(alone):8.1f} tokens/s ({min(alone):.1f} to {max(alone):.1f})   "
                  f"share of each of two: {statistics.median(shares):5.1f} % ({min(shares):.0f} to {max(shares):.0f})")


if __name__ == "__main__":
    main()
