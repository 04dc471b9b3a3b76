#!/usr/bin/env python3
"""Bar 7: what 1000 idle shards cost on three nodes, and how soon a node with 1000 shards is back.

Starts a cluster with one shard and one with 1024, lets each come to rest, and compares memory; of the
second also the processor time of each node over a while without any request, and the time from the
start of a stopped and of a killed node until its /readyz says 200 (every local shard has a leader).

    idle.py [--bin build/release/bin] [--shards 1024] [--seconds 30] [--restarts 3]
"""

import argparse
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from cluster import Cluster, wait_until  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
REST_S = 15  # From the last change until shards are quiet: the default of quiesce-ms and some more.
BARS = {"cpu_percent": 2.0, "memory_mb": 100.0, "restart_s": 3.0}


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def is_ready(node):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, ConnectionError):
        return False


def measure_rest(options, shards, folder):
    """(cluster, memory in MB of each node, percent of a core of each node) at rest."""
    made = Cluster(options.bin, folder, shards=shards)
    made.start()
    time.sleep(REST_S)
    before = [cpu_seconds(node.pid) for node in made.nodes]
    time.sleep(options.seconds)
    after = [cpu_seconds(node.pid) for node in made.nodes]
    memory = [node.memory() / 1e6 for node in made.nodes]
    return made, memory, [100 * (b - a) / options.seconds for a, b in zip(before, after)]


def restart(made, killed):
    """Seconds from exec to ready of the last node."""
    node = made.nodes[-1]
    node.expected_dead = True
    if killed:
        node.kill()
    else:
        node.stop()
    made.wait_taken_over(node)
    began = time.monotonic()
    node.start()
    wait_until(lambda: is_ready(node), 60, "the node is ready", interval=0.005)
    took = time.monotonic() - began
    made.wait_ready()
    return took


def show(name, values, bar):
    good = max(values) <= bar
    print(f"{'met   ' if good else 'MISSED'} {name}: "
          f"{', '.join('%.2f' % v for v in values)} (at most {bar})")
    return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--shards", type=int, default=1024)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--restarts", type=int, default=3)
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sherd-idle-")
    made = []
    try:
        os.mkdir(f"{folder}/one")
        os.mkdir(f"{folder}/many")
        empty, empty_mb, _ = measure_rest(options, 1, f"{folder}/one")
        made.append(empty)
        empty.stop()
        full, full_mb, percent = measure_rest(options, options.shards, f"{folder}/many")
        made.append(full)
        times = [restart(full, killed) for killed in (False, True) for _ in range(options.restarts)]
    finally:
        for cluster in made:
            cluster.destroy()
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.shards} idle shards, three nodes, {options.seconds:.0f} s; memory of a node: "
          f"{statistics.median(full_mb):.0f} MB, with one shard {statistics.median(empty_mb):.0f} MB")
    met = show("percent of a core, each node", percent, BARS["cpu_percent"])
    met &= show("MB above a node with one shard", [f - e for f, e in zip(full_mb, empty_mb)],
                BARS["memory_mb"])
    met &= show("seconds to restart (stopped, then killed)", times, BARS["restart_s"])
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
