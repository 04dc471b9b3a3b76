#!/usr/bin/env python3
"""Bar 8: memory and latency stay flat under half of the maximum load.

Three nodes and a router; the maximum is that of a short closed loop of 50 connections (80 % GET, 20 %
SET of 100 bytes over a fixed number of keys, all written once before). Then half of it at a fixed rate,
latency counted from when each request was due, with a sample every few seconds. The second quarter
of the time is compared with the last one (the first fills caches and memtables).

    soak.py [--bin build/release/bin] [--minutes 10] [--keys 100000]
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from cluster import Cluster  # noqa: E402

SAMPLE_S = 5
LATENCY_GROWTH_MAX = 1.5
MEMORY_GROWTH_MAX = 1.10
MEMORY_SLACK_MB = 16  # What an allocator and a memtable at another fill level may differ by.


def bench(options, port, *words):
    return [f"{options.bin}/sherd-bench", "-p", str(port), "--keys", str(options.keys), "--json",
            "--reads", "80", *words, "mix"]


def soak(options, made, rate):
    """Samples of (bench's line, memory in MB by process)."""
    command = bench(options, made.router.port, "--rate", str(rate), "-t", str(options.minutes * 60),
                    "--interval", str(SAMPLE_S))
    samples = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            row = json.loads(line)
            if not row.get("interval"):
                last = row
                continue
            memory = {p.name: p.memory() / 1e6 for p in made.processes()}
            samples.append((row, memory))
            if len(samples) % 12 == 0:
                print(f"{len(samples) * SAMPLE_S:>4} s  {row['ops_per_s']:.0f}/s  p50 {row['p50_us']:.0f}"
                      f"  p99 {row['p99_us']:.0f} us  "
                      + "  ".join(f"{k} {v:.0f} MB" for k, v in memory.items()),
                      file=sys.stderr, flush=True)
    return samples, last


def compare(name, early, late, growth, slack=0.0):
    a, b = statistics.median(early), statistics.median(late)
    good = b <= a * growth + slack
    print(f"{'met   ' if good else 'MISSED'} {name}: {a:.0f} in the second quarter, {b:.0f} in the last")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--keys", type=int, default=100000)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sherd-soak-")
    made = Cluster(options.bin, folder)
    try:
        made.start()
        most = json.loads(subprocess.check_output(
            bench(options, made.router.port, "--fill", "-t", "10", "--warmup", "2")))
        rate = int(most["ops_per_s"] / 2)
        print(f"maximum {most['ops_per_s']:.0f}/s, soak at {rate}/s for {options.minutes:g} minutes",
              file=sys.stderr)
        samples, last = soak(options, made, rate)
    finally:
        made.destroy()
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(folder, ignore_errors=True)
    quarter = len(samples) // 4
    early, late = samples[quarter:2 * quarter], samples[-quarter:]
    met = True
    for field in ("p50_us", "p99_us"):
        met &= compare(field, [r[field] for r, _ in early], [r[field] for r, _ in late],
                       LATENCY_GROWTH_MAX)
    for name in early[0][1]:
        met &= compare(f"MB of {name}", [m[name] for _, m in early], [m[name] for _, m in late],
                       MEMORY_GROWTH_MAX, MEMORY_SLACK_MB)
    print(f"{last['ops']} requests, {last['errors']} errors {last['first_error']}")
    return 0 if met and not last["errors"] else 1


if __name__ == "__main__":
    sys.exit(main())
