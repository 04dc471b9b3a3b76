"""Shards split and change their leaders while clients use them in every way: no command may end with
an error, nothing is lost, doubled or out of order, and what is about all keys is about all of
them, once.
"""

import random
import threading
import time

import harness
from cluster import demand, wait_until
from resp_client import RespClient, RespError

SHARDS = 4
SHARDS_LAST = 14
SECONDS = 25
KEYS = 2000  # That are always there.


class Client(threading.Thread):
    """Repeats one round of commands until it is told to stop."""

    def __init__(self, context, cluster, number):
        super().__init__(daemon=True)
        self.number = number
        self.random = random.Random(context.random.randrange(1 << 32))
        self.client = RespClient(cluster.router.address, timeout=60)
        self.stopping = threading.Event()
        self.rounds = 0
        self.failure = None

    def call(self, *command):
        reply = self.client.call(*command)
        demand(not isinstance(reply, RespError), f"{command[:2]} was answered {reply}")
        return reply

    def run(self):
        try:
            while not self.stopping.is_set():
                self.round()
                self.rounds += 1
            self.finish()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = error

    def round(self):
        raise NotImplementedError

    def finish(self):
        pass


class Pipeline(Client):
    """Counters and lists of its own, a dozen commands at a time."""

    def __init__(self, *args):
        super().__init__(*args)
        self.counts = [0] * 40
        self.lists = [[] for _ in range(40)]

    def round(self):
        wanted = []
        commands = []
        for _ in range(12):
            nth = self.random.randrange(40)
            kind = self.random.randrange(4)
            if kind < 2:
                self.counts[nth] += 1
                commands.append(("INCR", f"p{self.number}:{nth}"))
                wanted.append(self.counts[nth])
            elif kind == 2:
                self.lists[nth].append(b"%d" % self.rounds)
                commands.append(("RPUSH", f"pl{self.number}:{nth}", self.rounds))
                wanted.append(len(self.lists[nth]))
            else:
                nths = self.random.sample(range(40), 4)
                commands.append(("MGET", *(f"p{self.number}:{nth}" for nth in nths)))
                wanted.append([b"%d" % self.counts[nth] if self.counts[nth] else None
                               for nth in nths])
        replies = self.client.pipeline(commands)
        for command, reply, want in zip(commands, replies, wanted):
            demand(reply == want, f"{command} was answered {reply!r}, not {want!r}")

    def finish(self):
        for nth in range(40):
            have = self.call("LRANGE", f"pl{self.number}:{nth}", 0, -1)
            demand(have == self.lists[nth], f"list {nth} of {self.number} is {len(have)} long")


class Spread(Client):
    """Writes over several shards at once."""

    def round(self):
        keys = [f"d{self.number}:{self.rounds}:{nth}" for nth in range(10)]
        self.call("MSET", *(word for key in keys for word in (key, 1)))
        demand(self.call("EXISTS", *keys) == 10, "a key of MSET is not there")
        demand(self.call("DEL", *keys) == 10, "DEL counted wrongly")


class Transaction(Client):
    def round(self):
        tag = "{t%d:%d}" % (self.number, self.random.randrange(20))
        before = int(self.call("GET", tag + "a") or 0)
        self.call("WATCH", tag + "a")
        self.call("MULTI")
        self.call("INCR", tag + "a")
        self.call("DECR", tag + "b")
        reply = self.call("EXEC")
        demand(reply == [before + 1, -before - 1], f"EXEC was answered {reply!r}")


class Script(Client):
    def round(self):
        key = f"s{self.number}:{self.rounds % 30}"
        reply = self.call("EVAL", "return redis.call('incr', KEYS[1])", 1, key)
        demand(reply == self.rounds // 30 + 1, f"EVAL was answered {reply!r}")


class Large(Client):
    def round(self):
        value = bytes([self.rounds % 256]) * self.random.randrange(1 << 20, 4 << 20)
        key = f"large{self.number}:{self.rounds % 16}"
        demand(self.call("SET", key, value) == "OK", "a large value was not stored")
        demand(self.call("GET", key) == value, "a large value came back as another")
        self.call("DEL", key)


class Everything(Client):
    """What is about all keys."""

    def round(self):
        seen = []
        cursor = b"0"
        while True:
            cursor, page = self.call("SCAN", cursor, "MATCH", "always:*", "COUNT", 300)
            seen += page
            if cursor == b"0":
                break
        demand(len(seen) == KEYS and len(set(seen)) == KEYS, f"SCAN returned {len(seen)} keys")
        demand(len(self.call("KEYS", "always:*")) == KEYS, "KEYS returned others")


class Queue(Client):
    """Pushes; a second connection waits for what comes."""

    def __init__(self, context, cluster, number):
        super().__init__(context, cluster, number)
        self.waiter = RespClient(cluster.router.address, timeout=60)
        self.got = []
        self.thread = threading.Thread(target=self.wait, daemon=True)
        self.thread.start()

    def wait(self):
        reply = None
        while reply is None or reply[1] != b"end":
            reply = self.waiter.call("BLPOP", f"q{self.number}", 2)
            if isinstance(reply, RespError):
                self.failure = reply
                return
            if reply is not None:
                self.got.append(reply[1])

    def round(self):
        self.call("RPUSH", f"q{self.number}", self.rounds)
        time.sleep(self.random.random() / 50)

    def finish(self):
        self.call("RPUSH", f"q{self.number}", "end")
        self.thread.join(30)
        want = [b"%d" % nth for nth in range(self.rounds)] + [b"end"]
        demand(self.got == want, f"{len(self.got)} of {len(want)} elements came, or in disorder")


def change(context, cluster):
    """Asks for a split, or for another leader."""
    rows = [row for row in cluster.shard_rows() if row["id"] != 1]
    shard = context.random.choice(rows)["id"]
    if len(rows) < SHARDS_LAST and context.random.random() < 0.7:
        return cluster.ask("SHERD", "SHARD", "SPLIT", shard)
    return cluster.ask("SHERD", "SHARD", "TRANSFER", shard, context.random.choice([1, 2, 3]))


def test(context):
    cluster = context.cluster(shards=SHARDS)
    cluster.start()
    with RespClient(cluster.router.address) as client:
        for nth in range(0, KEYS, 100):
            pairs = [word for i in range(nth, nth + 100) for word in (f"always:{i}", i)]
            demand(client.call("MSET", *pairs) == "OK", "MSET failed")
    kinds = (Pipeline, Pipeline, Spread, Transaction, Script, Large, Everything, Queue, Queue)
    clients = [kind(context, cluster, number) for number, kind in enumerate(kinds)]
    for client in clients:
        client.start()
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not any(client.failure for client in clients):
        change(context, cluster)
        time.sleep(0.5)
    for client in clients:
        client.stopping.set()
    for client in clients:
        client.join(60)
        name = type(client).__name__
        demand(not client.is_alive(), f"{name} does not end")
        demand(client.failure is None, f"{name}: {client.failure}")
        context.say(f"{name}: {client.rounds} rounds")
        demand(client.rounds > 0, f"{name} got nothing done")
    shards = cluster.status()["shards"]
    context.say(f"{shards} shards")
    demand(shards > SHARDS + 3, "hardly any shard was split")
    wait_until(lambda: cluster.status()["shards_short"] == 0, 30, "all replicas are there")


harness.run(test, limit=150)
