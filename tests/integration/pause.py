"""SIGSTOP of the leader of most shards for longer than lease and election, then SIGCONT.

While it stands still, others are elected and take writes. Readers that talk to nodes directly
have GETs waiting in the sockets of the node that stood still: what it answers when it goes on
must not be older than what others have acknowledged meanwhile. Then a router is stopped: clients
of another one do not notice.
"""

import threading
import time

import harness
from cluster import demand, wait_until
from workload import Client

PAUSE_S = 3.0


class DirectReader(Client):
    """Only reads registers, on one node; errors (another node leads) are no errors of the test."""

    def __init__(self, workload, number, node):
        super().__init__(workload, number)
        self.node = node
        self.answers = 0

    def connect(self):
        if self.connection is not None:
            return True
        from resp_client import RespClient
        try:
            self.connection = RespClient(self.node.address, timeout=PAUSE_S * 3, connect_timeout=2)
            return True
        except OSError:
            time.sleep(0.02)
            return False

    def note_error(self, what, error):
        pass

    def one(self):
        if self.connect():
            family = self.random.choice("rcm")
            count = self.workload.keys // 4 if family == "c" else self.workload.keys
            self.call("get", self.key(family, count))


def pause_leader(context, cluster, load):
    victim = cluster.top_leader()
    led = cluster.led_by()[victim]
    victim.pause()
    context.say(f"stopped {victim.name}, which led {led} shards")
    end = time.monotonic() + PAUSE_S
    cluster.wait_taken_over(victim)
    context.say("the others lead all shards")
    before = load.ok_count()
    wait_until(lambda: time.monotonic() > end and load.ok_count() > before + 200, 20,
               "the pause is over and the load went on meanwhile")
    victim.resume()
    cluster.wait_ready()
    load.wait_progress(500)


def pause_router(context, cluster, load, steady):
    stopped = cluster.routers[1]
    stopped.pause()
    mark = time.monotonic_ns()
    before = sum(len(client.history) for client in steady.clients)
    time.sleep(PAUSE_S)  # The length of the pause is what is tested.
    after = sum(len(client.history) for client in steady.clients)
    stopped.resume()
    context.say(f"{stopped.name} stood still for {PAUSE_S} s; {after - before} operations")
    demand(after - before > 500, "the other router hardly served while one stood still")
    slow = max(row[1] - row[0] for client in steady.clients for row in client.history
               if row[0] > mark and row[1] is not None)
    demand(slow < 1.5e9, f"a request to the other router took {slow / 1e9:.1f} s")
    load.wait_progress(300)


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    load = context.workload(cluster)
    steady = context.workload(cluster, clients=4, routers=[cluster.routers[0]], prefix="s:")
    readers = [DirectReader(load, 100 + i, node) for i, node in enumerate(cluster.nodes * 2)]
    load.clients += readers
    load.start()
    steady.start()
    load.wait_progress(1000)
    for _ in range(3):
        pause_leader(context, cluster, load)
    pause_router(context, cluster, load, steady)
    load.stop()
    steady.stop()
    direct = sum(row[2] == "ok" for reader in readers for row in reader.history)
    context.say(f"{direct} reads were answered by nodes directly")
    demand(direct > 0, "no node answered a direct read")
    context.say(load.check(context.directory))
    context.say(steady.check(context.directory, "steady.txt"))
    load.demand_no_errors()
    steady.demand_no_errors()
    demand(threading.active_count() < 40, "threads are left")


harness.run(test, limit=180)
