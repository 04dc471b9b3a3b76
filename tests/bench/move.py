#!/usr/bin/env python3
"""How fast the data of a shard comes to a node that has none of it, and what clients feel meanwhile.

Three nodes, one shard of --megabytes of values that do not compress. A follower loses its disk and
comes back empty: the leader sends it the whole shard. The same load (half reads, half writes, at a
fixed rate) runs before and during the transfer, both times on two voters.

    move.py [--bin build/release/bin] [--megabytes 1024] [--rate 2000] [--throttle 64mb] [--json]

--throttle sets snapshot-bytes-per-second. Times are those of the nodes' logs: from the moment when
the leader begins to export until the receiver has everything (transfer), and until it serves
(installed).
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from cluster import Cluster, wait_until  # noqa: E402
from resp_client import RespClient  # noqa: E402

VALUE_SIZE = 4096
BATCH = 64
LOAD_S = 8
LIMIT_S = 600
BARS = {"megabytes_per_s": 100, "p99_ratio": 2.0, "throttle_error": 0.10}


def fill(made, megabytes):
    """Writes them through the router, on four connections."""
    count = megabytes * (1 << 20) // VALUE_SIZE
    noise = os.urandom(1 << 20)

    def part(first):
        with RespClient(made.router.address, timeout=60) as client:
            for at in range(first * BATCH, count, 4 * BATCH):
                batch = []
                for i in range(at, min(at + BATCH, count)):
                    start = i * 7919 % (len(noise) - VALUE_SIZE)
                    batch.append(("SET", "bulk:%d" % i, noise[start:start + VALUE_SIZE]))
                bad = [r for r in client.pipeline(batch) if r != "OK"]
                if bad:
                    raise RuntimeError("fill: %r" % bad[0])

    threads = [threading.Thread(target=part, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def bench(options, made, seconds):
    """Latencies of the load, as sherd-bench prints them."""
    return subprocess.Popen(
        [os.path.join(options.bin, "sherd-bench"), "-p", str(made.router.port), "-c", "16",
         "--rate", str(options.rate), "-t", str(seconds), "--reads", "50", "-r", "10000",
         "-d", "1000", "--json", "mix"], stdout=subprocess.PIPE, text=True)


def finish(child):
    out, _ = child.communicate(timeout=LIMIT_S)
    return json.loads(out.strip().splitlines()[-1])


def bytes_received(node):
    with urllib.request.urlopen("http://127.0.0.1:%d/metrics" % node.http_port, timeout=5) as page:
        found = re.search(r"^\w*snapshot_received_bytes_total(?:{[^}]*})? (\S+)$",
                          page.read().decode(), re.MULTILINE)
    return float(found.group(1)) if found else 0.0


def one_run(options, folder):
    flags = []
    if options.throttle:
        flags = ["--snapshot-bytes-per-second", options.throttle]
    made = Cluster(options.bin, folder, shards=1, node_flags=flags)
    try:
        made.start()
        made.wait_whole()
        started = time.monotonic()
        fill(made, options.megabytes)
        fill_s = time.monotonic() - started
        leader = made.top_leader()
        victim = next(node for node in made.nodes[1:] if node is not leader)
        victim.expected_dead = True
        victim.kill()
        victim.wipe()
        time.sleep(2)  # Compactions of the filling are not what is measured.
        before = finish(bench(options, made, LOAD_S))
        # A new log: its first lines are about the new life.
        os.rename(victim.log_path, victim.log_path + ".before")
        victim.start("--join", ",".join("127.0.0.1:%d" % node.port for node in made.nodes
                                        if node is not victim))
        sender = wait_until(lambda: next((n for n in made.nodes if n is not victim and
                                          "shard=2 " in sends(n)), None), 60, "a snapshot leaves")
        load = bench(options, made, LOAD_S)
        wait_until(lambda: "shard=2 " in lines(victim, "snapshot.installed"), LIMIT_S,
                   "it is installed", 0.1)
        begun = shard_time(sender, "snapshot.send")
        arrived = shard_time(victim, "snapshot.arrived")
        installed = shard_time(victim, "snapshot.installed")
        during = finish(load)
        size = wait_until(lambda: bytes_received(victim), 10, "the bytes are counted", 0.5)
        return {"fill_s": fill_s, "megabytes": size / 1e6, "transfer_s": arrived - begun,
                "installed_s": installed - begun,
                "megabytes_per_s": size / 1e6 / (arrived - begun),
                "installed_megabytes_per_s": size / 1e6 / (installed - begun),
                "p50_us": [before["p50_us"], during["p50_us"]],
                "p99_us": [before["p99_us"], during["p99_us"]],
                "p99_ratio": during["p99_us"] / before["p99_us"],
                "errors": before["errors"] + during["errors"]}
    finally:
        made.destroy()


def lines(node, event):
    if not os.path.exists(node.log_path):
        return ""
    return "\n".join(line + " " for line in node.log_text().splitlines() if " %s " % event in line)


def sends(node):
    return lines(node, "snapshot.send")


def shard_time(node, event):
    """Of the newest line about the shard with the data."""
    line = [each for each in lines(node, event).splitlines() if "shard=2 " in each][-1]
    stamp = re.match(r"\S+", line).group(0).rstrip("Z")
    return datetime.datetime.fromisoformat(stamp).timestamp()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--throttle", default="")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = tempfile.mkdtemp(prefix="sherd-move-")
    try:
        row = one_run(options, folder)
    finally:
        if os.environ.get("KEEP") != "1":
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(folder, file=sys.stderr)
    if options.json:
        print(json.dumps(row))
    print("{megabytes:.0f} MB in {transfer_s:.1f} s, {megabytes_per_s:.0f} MB/s; installed after "
          "{installed_s:.1f} s, {installed_megabytes_per_s:.0f} MB/s".format(**row))
    print("load p50 {p50_us[0]:.0f} us before, {p50_us[1]:.0f} us during; p99 {p99_us[0]:.0f} us "
          "before, {p99_us[1]:.0f} us during; {errors} errors".format(**row))
    return judge(options, row)


def judge(options, row):
    good = row["errors"] == 0 and row["p99_ratio"] <= BARS["p99_ratio"]
    if options.throttle:
        limit = size_of(options.throttle) / 1e6
        error = abs(row["megabytes_per_s"] - limit) / limit
        good = good and error <= BARS["throttle_error"]
        print("the throttle of %.1f MB/s was missed by %.1f %%" % (limit, 100 * error))
    else:
        good = good and row["megabytes_per_s"] >= BARS["megabytes_per_s"]
    print("met" if good else "MISSED", "bars: at least 100 MB/s, p99 at most doubled, a throttle "
          "within 10 %, no errors")
    return 0 if good else 1


def size_of(text):
    units = {"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "k": 1000, "m": 10 ** 6, "g": 10 ** 9}
    for unit, factor in units.items():
        if text.endswith(unit):
            return int(text[:-len(unit)]) * factor
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
