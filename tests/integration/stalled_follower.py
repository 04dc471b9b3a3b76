"""A node that stands still, and one whose disk is slow, under full write load: the others go on, hold
a bounded amount for it, and it catches up.
"""

import os
import threading
import time

import harness
from cluster import demand, wait_until

MIB = 1 << 20
WRITERS = 4
STALL_S = 12


class Writers:
    def __init__(self, cluster):
        self.cluster = cluster
        self.stopping = False
        self.counts = [0] * WRITERS
        self.wrong = []
        self.threads = [threading.Thread(target=self.run, args=(i,)) for i in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def run(self, number):
        value = b"y" * 16384
        with self.cluster.router.client(timeout=60) as client:
            turn = 0
            while not self.stopping:
                commands = [("SET", f"k{number}-{(turn * 16 + i) % 1000}", value)
                            for i in range(16)]
                replies = client.pipeline(commands)
                self.wrong += [reply for reply in replies if reply != "OK"]
                self.counts[number] += len(replies)
                turn += 1

    def total(self):
        return sum(self.counts)

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()


def stall(context, cluster, load, victim, begin, end, what):
    others = [node for node in cluster.nodes if node is not victim]
    before = {node: node.memory() for node in others}
    count = load.total()
    begin()
    time.sleep(STALL_S)  # What piles up in that time is what is tested.
    grown = {node: node.memory() - size for node, size in before.items()}
    done = load.total() - count
    end()
    context.say(f"{victim.name} {what}: {done} writes meanwhile; " +
                " ".join(f"{node.name}+{size // MIB} MB" for node, size in grown.items()))
    demand(done > 200, f"only {done} writes while {victim.name} {what}")
    for node, size in grown.items():
        demand(size < 512 * MIB, f"{node.name} grew by {size // MIB} MB")
    cluster.wait_ready()
    mark = load.total()
    wait_until(lambda: load.total() > mark + 1000, 30, "the load goes on")


def same_data(cluster):
    """Once nothing is written, every shard has three replicas that are up to date."""
    wait_until(lambda: int(cluster.status()["shards_short"]) == 0, 60, "no shard lacks a replica")


def test(context):
    cluster = context.cluster()
    shim = os.path.join(context.directory, "shim")
    os.makedirs(shim)
    victim = cluster.nodes[2]
    victim.env = {"LD_PRELOAD": os.path.join(context.tools, "libshim_fault.so"),
                  "SHERD_SHIM": shim}
    cluster.start()
    load = Writers(cluster)
    context.cleanups.append(load.stop)
    # The log's tails and the engine's caches fill first.
    wait_until(lambda: load.total() > 15000, 60, "there is data")
    slow = os.path.join(shim, "sync_slow")
    stall(context, cluster, load, victim, lambda: open(slow, "w", encoding="ascii").close(),
          lambda: os.unlink(slow), "syncs slowly")
    stall(context, cluster, load, victim, victim.pause, victim.resume, "stands still")
    load.stop()
    demand(not load.wrong, f"errors: {load.wrong[:3]}")
    same_data(cluster)
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


harness.run(test)
