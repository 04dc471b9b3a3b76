#!/usr/bin/env python3
"""A million keys change their place under load: Redis Cluster's resharding against Sherd's.

Redis Cluster: three masters with a replica each; the slots of one master, which hold KEYS keys, go to
another one (`redis-cli --cluster reshard`). Sherd: three nodes with three copies of KEYS keys; a fourth
joins and the first is drained, so that a copy of every key moves (`sherd-admin node drain`). In both a
GET or a SET of one of the keys is due RATE times a second, from 16 clients with a client's usual
retries; latency is counted from when it was due. All values are read back at the end.

    reshard.py [--bin build/release/bin] [--runs 5] [--keys 1000000] [--rate 1000] [--json]
               [sherd|redis-cluster ...]
"""

import argparse
import json
import pathlib
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from peers import RedisCluster, slot_of
from cluster import Cluster, Node, wait_until
from resp_client import RespClient, RespError

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLIENTS = 16
BEFORE_S = 5.0
VALUE = 100
BATCH = 1000


def value_of(key, turn):
    return (b"%s=%d;" % (key, turn)).ljust(VALUE, b".")


class Load:
    """GETs and SETs at a steady rate, spread over clients; each client has keys of its own."""

    def __init__(self, make_client, keys, rate):
        self.keys = keys
        self.turns = {}       # Of what was written anew: acknowledged.
        self.samples = []     # (when it was due, seconds until the reply)
        self.errors = []
        self.wrong = 0
        self.ended = False
        period = CLIENTS / rate
        self.threads = [threading.Thread(target=self.run, daemon=True,
                                         args=(make_client(), n, period)) for n in range(CLIENTS)]

    def run(self, client, number, period):
        rand = random.Random(number)
        due = time.monotonic() + period * number / CLIENTS
        count = len(self.keys) // CLIENTS
        turn = 0
        while not self.ended:
            time.sleep(max(0.0, due - time.monotonic()))
            key = self.keys[number + CLIENTS * rand.randrange(count)]
            turn += 1
            if turn % 2:
                reply = client.call("SET", key, value_of(key, turn))
                # After an error either may be there.
                self.turns[key] = None if isinstance(reply, RespError) else turn
            else:
                reply = client.call("GET", key)
                want = self.turns.get(key, 0)
                self.wrong += (not isinstance(reply, RespError) and want is not None and
                               reply != value_of(key, want))
            if isinstance(reply, RespError):
                self.errors.append(str(reply))
            self.samples.append((due, time.monotonic() - due))
            due += period

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended = True
        for thread in self.threads:
            thread.join(60)

    def p99_ms(self, since, until):
        taken = sorted(took for due, took in self.samples if since <= due < until)
        return 1000 * taken[len(taken) * 99 // 100] if taken else 0.0

    def max_ms(self, since, until):
        return 1000 * max((took for due, took in self.samples if since <= due < until), default=0)


def fill(client_of, keys):
    """client_of(key): the link that takes it."""
    links = {}
    for key in keys:
        links.setdefault(client_of(key), []).append(key)
    for link, own in links.items():
        for at in range(0, len(own), BATCH):
            for reply in link.pipeline([("SET", k, value_of(k, 0)) for k in own[at:at + BATCH]]):
                if isinstance(reply, RespError):
                    raise RuntimeError(str(reply))


class Redis:
    name = "redis-cluster"

    def __init__(self, folder, options):
        self.made = RedisCluster(folder)
        masters = [(name, port) for name, port, master, slots in self.made.nodes()
                   if master and slots]
        (self.source, port), (self.target, _) = masters[:2]
        client = self.made.client()
        self.slots = sum(owner == port for owner in client.slots.values())
        names = (b"key:%d" % n for n in range(100 * options.keys))
        own = (name for name in names if client.slots[slot_of(name)] == port)
        self.keys = [next(own) for _ in range(options.keys)]
        fill(lambda key: client.link(port), self.keys)

    def client(self):
        return self.made.client()

    def move(self):
        self.made.command("reshard", "127.0.0.1:%d" % self.made.ports[0], "--cluster-from",
                          self.source, "--cluster-to", self.target, "--cluster-slots",
                          str(self.slots))

    def stop(self):
        self.made.stop()


class Sherd:
    name = "sherd"

    def __init__(self, folder, options):
        self.made = Cluster(options.bin, folder)
        self.made.start()
        self.keys = [b"key:%d" % n for n in range(options.keys)]
        with RespClient(self.made.router.address, timeout=60) as client:
            fill(lambda key: client, self.keys)
        node = Node(self.made, 3)
        self.made.nodes.append(node)
        node.start("--join", "127.0.0.1:%d" % self.made.nodes[0].port)
        wait_until(lambda: sum(row["up"] for row in self.made.node_rows()) == 4, 20,
                   "the fourth node has joined")

    def client(self):
        return RespClient(self.made.router.address, timeout=60)

    def move(self):
        subprocess.run([self.made.program("sherd-admin"), "--connect",
                        "127.0.0.1:%d" % self.made.router.port, "node", "drain", "1",
                        "--wait", "--yes"], check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.made.destroy()


def read_back(made, load):
    """How many keys have not what was acknowledged last."""
    client = made.client()
    bad = 0
    for key in load.keys:
        turn = load.turns.get(key, 0)
        bad += turn is not None and client.call("GET", key) != value_of(key, turn)
    return bad


def one_run(system, options):
    folder = tempfile.mkdtemp(prefix="sherd-reshard-")
    made = system(folder, options)
    try:
        load = Load(made.client, made.keys, options.rate)
        load.start()
        time.sleep(BEFORE_S)
        began = time.monotonic()
        made.move()
        ended = time.monotonic()
        load.stop()
        return {"seconds": round(ended - began, 2), "errors": len(load.errors),
                "error": next(iter(load.errors), ""),
                "p99_before_ms": round(load.p99_ms(0, began), 2),
                "p99_ms": round(load.p99_ms(began, ended), 2),
                "max_ms": round(load.max_ms(began, ended), 2),
                "wrong": load.wrong + read_back(made, load)}
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main():
    systems = {system.name: system for system in (Sherd, Redis)}
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=str(ROOT / "build/release/bin"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--keys", type=int, default=1000000)
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("systems", nargs="*", choices=[*systems, []])
    options = parser.parse_args()
    rows = {name: [] for name in options.systems or systems}
    for run in range(options.runs):
        for name in rows:  # In turns: the machine may change.
            row = one_run(systems[name], options)
            rows[name].append(row)
            print(("run %d %-14s {seconds} s; p99 {p99_ms} ms (before: {p99_before_ms}), longest "
                   "{max_ms} ms; {errors} errors, {wrong} wrong {error}").format(**row)
                  % (run + 1, name), file=sys.stderr, flush=True)
    for name, runs in rows.items():
        spread = {key: (statistics.median(r[key] for r in runs), min(r[key] for r in runs),
                        max(r[key] for r in runs)) for key in ("seconds", "p99_ms", "max_ms")}
        print("%-14s %d keys: median %.1f s (%.1f-%.1f); p99 %.1f ms (%.1f-%.1f), longest %.1f ms "
              "(%.1f-%.1f); %d errors, %d wrong" % (
                  name, options.keys, *spread["seconds"], *spread["p99_ms"], *spread["max_ms"],
                  sum(r["errors"] for r in runs), sum(r["wrong"] for r in runs)))
    if options.json:
        print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
