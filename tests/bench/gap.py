#!/usr/bin/env python3
"""Bar 6: how long writes wait when a node that leads about a third of the shards is killed.

Each run starts a fresh cluster (three nodes, one router, defaults), chooses a victim (each node in
turn), and writes to every shard that the victim leads: about one write a millisecond in all, taking
turns over the shards, each shard on its own connection, SET of a new key and INCR of the shard's
counter alternately. Then kill -9. The gap of a run is the longest time between two acknowledged
writes of one shard. Afterwards every acknowledged SET must be there and every counter must be
exactly the number of its acknowledged INCRs (writes whose outcome a client was not told may have
happened).

    gap.py [--bin build/release/bin] [--runs 10] [--json]
"""

import argparse
import json
import os
import pathlib
import selectors
import shutil
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from cluster import Cluster  # noqa: E402
from resp_client import RespClient, RespError, as_map, encode  # noqa: E402

BEFORE_S = 1.5       # Of writing before the kill.
AFTER_S = 3.0        # Of writing after the kill, at least.
LIMIT_S = 30.0       # To hear again from every shard.
CADENCE_S = 0.001
BARS = {"median_ms": 1500, "worst_ms": 3000}


class Writer:
    """The writes to one shard, one at a time."""

    def __init__(self, address, tag):
        self.client = RespClient(address)
        self.client.socket.setblocking(False)
        self.tag = tag
        self.sent = 0
        self.pending = None   # What is under way: ("SET", key) or ("INCR",).
        self.acked_keys = []
        self.acked_incrs = 0
        self.unknown_incrs = 0
        self.errors = []
        self.acks = []        # Times.
        self.input = b""

    def send(self):
        self.sent += 1
        if self.sent % 2:
            key = "{%s}:%d" % (self.tag, self.sent)
            self.pending = ("SET", key)
            command = ("SET", key, "value of %s" % key)
        else:
            self.pending = ("INCR",)
            command = ("INCR", "{%s}:counter" % self.tag)
        self.client.socket.sendall(encode(command))

    def receive(self, now):
        self.input += self.client.socket.recv(4096)
        if not self.input.endswith(b"\r\n"):
            return
        line, self.input = self.input, b""
        kind, *key = self.pending
        self.pending = None
        if line.startswith(b"-"):
            self.errors.append(line.decode().strip())
            self.unknown_incrs += kind == "INCR"
            return
        self.acks.append(now)
        if kind == "SET":
            self.acked_keys.append(key[0])
        else:
            self.acked_incrs += 1

    def gap(self, since):
        """The longest time between two acknowledgements that ends after `since`."""
        return max((b - a for a, b in zip(self.acks, self.acks[1:]) if b >= since), default=LIMIT_S)

    def lost(self, client):
        """(acknowledged SETs that are gone, counter too small by, counter too large by)."""
        lost = 0
        for at in range(0, len(self.acked_keys), 100):
            keys = self.acked_keys[at:at + 100]
            values = client.call("MGET", *keys)
            lost += sum(v != b"value of %s" % k.encode() for k, v in zip(keys, values))
        counter = int(client.call("GET", "{%s}:counter" % self.tag) or 0)
        return (lost, max(0, self.acked_incrs - counter),
                max(0, counter - self.acked_incrs - self.unknown_incrs))


def tags_of(client, shards):
    """A hash tag in each of the shards."""
    tags = {}
    for at in range(100000):
        if len(tags) == len(shards):
            return tags
        shard = as_map(client.call("SHERD", "EXPLAIN", "gap%d" % at))["shard"]
        if shard in shards and shard not in tags:
            tags[shard] = "gap%d" % at
    raise RuntimeError("no key found for some shard")


def write_until(writers, selector, done):
    """Writes at the cadence until done(now); returns the time."""
    turn, due = 0, time.monotonic()
    while True:
        now = time.monotonic()
        if done(now):
            return now
        if now >= due:
            due = max(due + CADENCE_S, now - CADENCE_S)
            for step in range(len(writers)):
                writer = writers[(turn + step) % len(writers)]
                if writer.pending is None:
                    writer.send()
                    turn = (turn + step + 1) % len(writers)
                    break
        for key, _ in selector.select(max(0, due - time.monotonic())):
            key.data.receive(time.monotonic())


def drain(writers, selector, deadline):
    """Takes the last replies; what has none by the deadline may have happened."""
    while any(w.pending for w in writers) and time.monotonic() < deadline:
        for key, _ in selector.select(0.1):
            key.data.receive(time.monotonic())
    for writer in writers:
        if writer.pending:
            writer.errors.append("no reply")
            writer.unknown_incrs += writer.pending[0] == "INCR"


def one_run(options, number, folder):
    made = Cluster(options.bin, folder)
    try:
        made.start()
        victim = made.nodes[number % len(made.nodes)]
        wait_until_balanced(made)
        address = "127.0.0.1:%d" % victim.port
        node = next(r["id"] for r in made.node_rows() if r["address"] == address)
        led = {row["id"] for row in made.shard_rows() if row["leader"] == node}
        client = RespClient(made.router.address, protocol=3, timeout=LIMIT_S)
        writers = [Writer(made.router.address, tag) for tag in tags_of(client, led).values()]
        selector = selectors.DefaultSelector()
        for writer in writers:
            selector.register(writer.client.socket, selectors.EVENT_READ, writer)
        end = time.monotonic() + BEFORE_S
        write_until(writers, selector, lambda now: now >= end)
        victim.expected_dead = True
        killed = time.monotonic()
        victim.kill()
        write_until(writers, selector, lambda now: now >= killed + LIMIT_S or (
            now >= killed + AFTER_S and all(w.acks and w.acks[-1] > killed + 1 for w in writers)))
        drain(writers, selector, time.monotonic() + LIMIT_S)
        losses = [writer.lost(client) for writer in writers]
        return {"run": number + 1, "victim": victim.name, "led": len(led),
                "writes": sum(len(w.acks) for w in writers),
                "gap_ms": round(1000 * max(w.gap(killed) for w in writers)),
                "first_gap_ms": round(1000 * min(w.gap(killed) for w in writers)),
                "errors": sum(len(w.errors) for w in writers),
                "error": next((e for w in writers for e in w.errors), ""),
                "lost": sum(a + b for a, b, _ in losses),
                "doubled": sum(c for _, _, c in losses)}
    finally:
        made.destroy()


def wait_until_balanced(made, seconds=20):
    """The leaders spread out after the start; a node that leads too few makes the run easier."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        led = made.led_by().values()
        if min(led) >= made.shards // len(made.nodes) - 2:
            return
        time.sleep(0.1)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for number in range(options.runs):
        folder = tempfile.mkdtemp(prefix="sherd-gap-")
        try:
            row = one_run(options, number, folder)
        finally:
            if os.environ.get("KEEP") != "1":
                shutil.rmtree(folder, ignore_errors=True)
        rows.append(row)
        print("run {run:>2}: killed {victim}, leader of {led} shards; gap {gap_ms} ms (least {first_gap_ms});"
              " {writes} writes, {errors} errors, {lost} lost, {doubled} doubled {error}"
              .format(**row), file=sys.stderr, flush=True)
    gaps = [row["gap_ms"] for row in rows]
    result = {"median_ms": statistics.median(gaps), "worst_ms": max(gaps), "best_ms": min(gaps),
              **{k: sum(row[k] for row in rows) for k in ("errors", "lost", "doubled", "writes")}}
    if options.json:
        print(json.dumps({**result, "runs": rows}))
    print("write gap after kill -9, {} runs: median {median_ms:.0f} ms, {best_ms} to {worst_ms} ms; "
          "{writes} writes, {errors} errors, {lost} lost, {doubled} doubled".format(len(rows), **result))
    met = all(result[k] <= bar for k, bar in BARS.items()) and not (
        result["errors"] or result["lost"] or result["doubled"])
    print("met" if met else "MISSED", "bar 6: median at most 1500 ms, worst at most 3000 ms, nothing "
          "lost, doubled, or refused")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
