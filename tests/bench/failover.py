#!/usr/bin/env python3
"""How long writes wait when the process that takes them is killed: Sherd, Redis Cluster, etcd.

Each run starts a fresh cluster with its defaults, chooses a victim (of Sherd a node, whose leaderships
move; of Redis Cluster a master; of etcd the leader) and lets WRITERS clients write keys that the victim
takes, one every 5 ms each, with a client's usual retries. Then kill -9. The gap is the longest time
between two acknowledged writes of one client. Lost: acknowledged, and not there afterwards.

    failover.py [--bin build/release/bin] [--runs 5] [--json] [sherd|redis-cluster|etcd ...]
"""

import argparse
import base64
import json
import pathlib
import shutil
import statistics
import sys
import tempfile
import threading
import time

from peers import Etcd, RedisCluster, slot_of
from cluster import Cluster, wait_until
from resp_client import RespClient, RespError, as_map

ROOT = pathlib.Path(__file__).resolve().parents[2]
WRITERS = 8
BEFORE_S = 2.0
AFTER_S = 3.0
LIMIT_S = 60.0
CADENCE_S = 0.005


class Writer(threading.Thread):
    """One client: writes keys of its own until it is told to end."""

    def __init__(self, write, tag):
        super().__init__(daemon=True)
        self.write = write
        self.tag = tag
        self.acked = []  # Keys.
        self.times = []
        self.errors = 0
        self.ended = False

    def run(self):
        number = 0
        while not self.ended:
            key = b"{%s}:%d" % (self.tag, number)
            number += 1
            if self.write(key):
                self.times.append(time.monotonic())
                self.acked.append(key)
            else:
                self.errors += 1
            time.sleep(CADENCE_S)

    def gap(self, since):
        return max((b - a for a, b in zip(self.times, self.times[1:]) if b >= since),
                   default=LIMIT_S)


class Sherd:
    name = "sherd"

    def __init__(self, folder, options):
        self.made = Cluster(options.bin, folder)
        self.made.start()
        wait_until(lambda: min(self.made.led_by().values()) >= self.made.shards // 3 - 2, 20,
                   "the leaders are spread")

    def victim(self):
        node = self.made.nodes[0]
        node.expected_dead = True
        return node

    def tags(self):
        address = "127.0.0.1:%d" % self.made.nodes[0].port
        node = next(r["id"] for r in self.made.node_rows() if r["address"] == address)
        led = {row["id"] for row in self.made.shard_rows() if row["leader"] == node}
        with RespClient(self.made.router.address, protocol=3) as client:
            for at in range(100000):
                tag = b"tag%d" % at
                if as_map(client.call("SHERD", "EXPLAIN", tag))["shard"] in led:
                    yield tag

    def writer(self):
        return resp_writer(RespClient(self.made.router.address, timeout=LIMIT_S))

    def has(self, keys):
        with RespClient(self.made.router.address) as client:
            return sum(reply == b"value" for reply in client.pipeline([("GET", k) for k in keys]))

    def stop(self):
        self.made.destroy()


class Redis:
    name = "redis-cluster"

    def __init__(self, folder, _):
        self.made = RedisCluster(folder)
        self.port = next(port for _, port, master, slots in self.made.nodes() if master and slots)

    def victim(self):
        return self.made.process_at(self.port)

    def tags(self):
        slots = self.made.client().slots
        for at in range(100000):
            tag = b"tag%d" % at
            if slots[slot_of(tag)] == self.port:
                yield tag

    def writer(self):
        return resp_writer(self.made.client())

    def has(self, keys):
        client = self.made.client()
        return sum(client.call("GET", key) == b"value" for key in keys)

    def stop(self):
        self.made.stop()


class EtcdMembers:
    name = "etcd"

    def __init__(self, folder, _):
        self.made = Etcd(folder)

    def victim(self):
        return self.made.leader()

    def tags(self):
        for at in range(100000):
            yield b"tag%d" % at

    def writer(self):
        client = self.made.client()

        def write(key):
            try:
                client.put(key, b"value")
                return True
            except OSError:
                return False
        return write

    def has(self, keys):
        client = self.made.client()
        found = 0
        for key in keys:
            try:
                reply = client.post("/v3/kv/range", {"key": base64.b64encode(key).decode()})
            except OSError:  # The member that is dead.
                reply = client.post("/v3/kv/range", {"key": base64.b64encode(key).decode()})
            found += "kvs" in reply
        return found

    def stop(self):
        self.made.stop()


def resp_writer(client):
    def write(key):
        return not isinstance(client.call("SET", key, b"value"), RespError)
    return write


def one_run(system, options):
    folder = tempfile.mkdtemp(prefix="sherd-failover-")
    made = system(folder, options)
    try:
        tags = made.tags()
        writers = [Writer(made.writer(), next(tags)) for _ in range(WRITERS)]
        victim = made.victim()
        for writer in writers:
            writer.start()
        time.sleep(BEFORE_S)
        killed = time.monotonic()
        victim.kill()
        while time.monotonic() < killed + LIMIT_S and not (
                time.monotonic() > killed + AFTER_S and
                all(w.times and w.times[-1] > killed + 1 for w in writers)):
            time.sleep(0.05)
        for writer in writers:
            writer.ended = True
        for writer in writers:
            writer.join(LIMIT_S)
        keys = [key for writer in writers for key in writer.acked]
        return {"gap_ms": round(1000 * max(w.gap(killed) for w in writers)), "writes": len(keys),
                "errors": sum(w.errors for w in writers), "lost": len(keys) - made.has(keys)}
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    systems = {system.name: system for system in (Sherd, Redis, EtcdMembers)}
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("systems", nargs="*", choices=[*systems, []])
    options = parser.parse_args()
    rows = {name: [] for name in options.systems or systems}
    for run in range(options.runs):
        for name in rows:  # In turns: the machine may change.
            row = one_run(systems[name], options)
            rows[name].append(row)
            print("run %d %-14s gap {gap_ms} ms; {writes} writes, {errors} errors, {lost} lost".format(**row)
                  % (run + 1, name), file=sys.stderr, flush=True)
    for name, runs in rows.items():
        gaps = [row["gap_ms"] for row in runs]
        print("%-14s gap after kill -9: median %d ms, %d to %d ms; %d writes, %d errors, %d lost" % (
            name, statistics.median(gaps), min(gaps), max(gaps),
            *(sum(row[k] for row in runs) for k in ("writes", "errors", "lost"))))
    if options.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
