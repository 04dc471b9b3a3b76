"""Transfers between accounts by WATCH, MULTI, EXEC through two routers, while leaders are killed.

The sum stays, whoever looks; no transfer counts twice or is lost; the accounts of one bank have a hash
tag in database 0, those of the other are in a co-located database.
"""

import random
import threading

import harness
from cluster import demand, wait_until
from resp_client import RespError

ACCOUNTS = 6
START = 1000
CLIENTS = 8
ROUNDS = 4
BANKS = ((0, "{bank}:"), (5, "account:"))


class Teller(threading.Thread):
    """One client: transfers until it is told to stop."""

    def __init__(self, router, number, seed):
        super().__init__(daemon=True)
        self.router = router
        self.number = number
        self.random = random.Random(seed)
        self.db, self.prefix = BANKS[number % len(BANKS)]
        self.done = self.aborted = self.unknown = 0
        self.wrong = []
        self.stopping = False

    def key(self, name):
        return f"{self.prefix}{name}"

    def transfer(self, client):
        one, two = (self.key(n) for n in self.random.sample(range(ACCOUNTS), 2))
        amount = self.random.randrange(1, 20)
        started = client.call("WATCH", one, two)
        if isinstance(started, RespError):
            return
        have = [client.call("GET", key) for key in (one, two)]
        if any(isinstance(value, RespError) for value in have):
            client.call("UNWATCH")
            return
        ran = client.pipeline([("MULTI",), ("SET", one, int(have[0]) - amount),
                               ("SET", two, int(have[1]) + amount),
                               ("INCR", self.key(f"count:{self.number}")), ("EXEC",)])[-1]
        if ran is None:
            self.aborted += 1
        elif isinstance(ran, RespError):
            self.unknown += ran.code() == "UNKNOWN"
        else:
            self.done += 1
            if ran[:2] != ["OK", "OK"] or not self.done <= ran[2] <= self.done + self.unknown:
                self.wrong.append(f"reply {ran} of transfer {self.done} (+{self.unknown})")

    def look(self, client):
        keys = [self.key(n) for n in range(ACCOUNTS)]
        seen = client.pipeline([("MULTI",)] + [("GET", key) for key in keys] + [("EXEC",)])[-1]
        if not isinstance(seen, RespError) and sum(map(int, seen)) != ACCOUNTS * START:
            self.wrong.append(f"saw {seen}, which is {sum(map(int, seen))}")

    def run(self):
        try:
            with self.router.client(timeout=40) as client:
                client.call("SELECT", self.db)
                while not self.stopping:
                    for _ in range(5):
                        self.transfer(client)
                    self.look(client)
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append(repr(error))


def leader_of(cluster, db, prefix):
    address = cluster.explain(f"{prefix}0", db)["leader_address"]
    return next(node for node in cluster.nodes if address.endswith(f":{node.port}"))


def open_banks(client):
    for db, prefix in BANKS:
        client.call("SELECT", db)
        words = [word for n in range(ACCOUNTS) for word in (f"{prefix}{n}", START)]
        demand(client.call("MSET", *words) == "OK", "MSET")


def close_banks(client, tellers):
    for db, prefix in BANKS:
        client.call("SELECT", db)
        have = client.call("MGET", *[f"{prefix}{n}" for n in range(ACCOUNTS)])
        demand(sum(map(int, have)) == ACCOUNTS * START, f"database {db}: {have}")
        for teller in (t for t in tellers if t.db == db):
            count = int(client.call("GET", teller.key(f"count:{teller.number}")))
            demand(teller.done <= count <= teller.done + teller.unknown,
                   f"teller {teller.number}: {count} transfers, "
                   f"{teller.done} known and {teller.unknown} unknown")


def refuse_across_shards(cluster):
    keys = [f"k{n}" for n in range(50)]
    by_shard = {}
    for key in keys:
        by_shard.setdefault(cluster.explain(key)["shard"], key)
    one, two = list(by_shard.values())[:2]
    commands = [("MULTI",), ("SET", one, "1"), ("SET", two, "2"), ("PING",), ("DBSIZE",), ("EXEC",)]
    with cluster.routers[0].client() as client:
        client.call("FLUSHALL")
        got = client.pipeline(commands)[-1]
        demand(isinstance(got, RespError) and got.code() == "CROSSSLOT" and one in str(got) and
               two in str(got), f"a transaction across shards: {got}")
        demand(client.call("DBSIZE") == 0, "it was executed")
        demand(client.call("CONFIG", "SET", "multi-across-shards", "best-effort") == "OK", "CONFIG")
        got = client.pipeline(commands)[-1]
        demand(got == ["OK", "OK", "PONG", 2], f"best effort: {got}")
        client.call("WATCH", one, two)
        client.call("SET", two, "3")
        demand(client.pipeline(commands)[-1] is None, "a watched key changed")
        client.call("CONFIG", "SET", "multi-across-shards", "refuse")


def at_a_node(cluster):
    db, prefix = BANKS[1]
    with harness.cluster.RespClient(leader_of(cluster, db, prefix).address) as client:
        client.call("SELECT", db)
        client.call("WATCH", "n")
        got = client.pipeline([("MULTI",), ("INCR", "n"), ("DBSIZE",), ("EXEC",)])[-1]
        demand(got == [1, 1], f"at a node: {got}")
        client.call("SELECT", 0)
        got = client.pipeline([("MULTI",), ("DBSIZE",), ("EXEC",)])[-1]
        demand(isinstance(got, RespError) and got.code() == "CROSSSLOT", f"at a node: {got}")


def do_not_wait(cluster):
    """Commands that wait do not wait between MULTI and EXEC."""
    with cluster.routers[0].client() as client:
        client.call("SELECT", 3)
        got = client.pipeline([("MULTI",), ("BLPOP", "queue", "0"), ("RPUSH", "queue", "a", "b"),
                               ("BLPOP", "queue", "0"), ("EXEC",)])[-1]
        demand(got == [None, 2, [b"queue", b"a"]], f"a transaction that pops: {got}")


def wake_who_waits(cluster):
    """A list that a transaction fills serves whoever waits for it, when all of it is done."""
    with cluster.routers[0].client() as waiter, cluster.routers[1].client() as pusher:
        for client in (waiter, pusher):
            client.call("SELECT", 3)
            client.call("DEL", "queue")
        waiter.send("BLPOP", "queue", "30")
        gone = [("MULTI",), ("RPUSH", "queue", "x"), ("LPOP", "queue"), ("EXEC",)]
        demand(pusher.pipeline(gone)[-1] == [1, b"x"], "a list that is empty again")
        full = [("MULTI",), ("RPUSH", "queue", "a"), ("RPUSH", "queue", "b"), ("EXEC",)]
        demand(pusher.pipeline(full)[-1] == [1, 2], "a list that is filled")
        got = waiter.read()
        demand(got == [b"queue", b"a"], f"who waited got {got}")
        demand(pusher.call("LRANGE", "queue", "0", "-1") == [b"b"], "the rest")


def test(context):
    cluster = context.cluster(routers=2, shards=8)
    cluster.start()
    with cluster.router.client() as client:
        open_banks(client)
    tellers = [Teller(cluster.routers[n % 4 // 2], n, context.random.randrange(1 << 30))
               for n in range(CLIENTS)]
    for teller in tellers:
        teller.start()

    def progress(count):
        before = [teller.done for teller in tellers]
        wait_until(lambda: any(t.wrong for t in tellers) or
                   all(t.done >= b + count for t, b in zip(tellers, before)), 60, "all transfer")

    progress(10)
    for number in range(ROUNDS):
        victim = leader_of(cluster, *BANKS[number % 2])
        victim.kill()
        context.say(f"killed {victim.name}")
        progress(10)
        victim.start()
        cluster.wait_ready()
        progress(5)
    for teller in tellers:
        teller.stopping = True
    for teller in tellers:
        teller.join()
    wrong = [line for teller in tellers for line in teller.wrong]
    demand(not wrong, f"{len(wrong)} times: {wrong[:5]}")
    with cluster.router.client() as client:
        close_banks(client, tellers)
    context.say(f"{sum(t.done for t in tellers)} transfers, {sum(t.aborted for t in tellers)} met "
                f"another, {sum(t.unknown for t in tellers)} unknown")
    demand(sum(t.aborted for t in tellers) > 0, "no two transfers ever met")
    refuse_across_shards(cluster)
    at_a_node(cluster)
    do_not_wait(cluster)
    wake_who_waits(cluster)


harness.run(test, limit=180)
