"""Clients that use a cluster in every way while its shards change, and know what must come out.

Each client is a thread with keys of its own, so it knows every reply beforehand, and at the end its
keys: the union of all of them is what SCAN and DBSIZE must tell. A client goes from one router to
the other every so many rounds. The first error or wrong reply ends it; `failure` has the reason.

A Probe is a process that asks small things at a steady pace, so that what it measures is the
cluster's time and not that of the threads here.
"""

import multiprocessing
import random
import struct
import sys
import threading
import time

from cluster import demand
from resp_client import RespClient, RespError

TIMEOUT = 90
ROUNDS_AT_A_ROUTER = 40
FOREVER = 1500  # Keys that are always there.
SAMPLE = struct.Struct("<qq")


class Client(threading.Thread):
    """Repeats round() until it is told to stop, then end()."""

    pause_s = 0.003

    def __init__(self, context, cluster, number):
        super().__init__(daemon=True, name=f"{type(self).__name__}{number}")
        self.cluster = cluster
        self.number = number
        self.random = random.Random(context.random.randrange(1 << 32))
        self.connection = None
        self.stopping = threading.Event()
        self.rounds = 0
        self.failure = None
        self.samples = []  # (begin, end) of requests, ns.

    def connect(self):
        routers = self.cluster.routers
        router = routers[(self.number + self.rounds // ROUNDS_AT_A_ROUTER) % len(routers)]
        if self.connection is None or self.connection.address != router.address:
            if self.connection is not None:
                self.connection.close()
            self.connection = RespClient(router.address, timeout=TIMEOUT)

    def pipeline(self, commands):
        begin = time.monotonic_ns()
        replies = self.connection.pipeline(commands)
        self.samples.append((begin, time.monotonic_ns()))
        for command, reply in zip(commands, replies):
            demand(not isinstance(reply, RespError), f"{command[:3]} was answered {reply}")
        return replies

    def call(self, *command):
        return self.pipeline([command])[0]

    def expect(self, wanted, *command):
        reply = self.call(*command)
        demand(reply == wanted, f"{command} was answered {reply!r}, not {wanted!r}")

    def run(self):
        try:
            while not self.stopping.is_set():
                self.connect()
                self.round()
                self.rounds += 1
                time.sleep(self.pause_s)
            self.end()
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"{type(error).__name__}: {error}"

    def round(self):
        raise NotImplementedError

    def end(self):
        """What must hold at the end."""

    def keys(self):
        """Names that must be there at the end."""
        return set()


class Collections(Client):
    """Every type of value, a dozen commands at a time."""

    def __init__(self, *args):
        super().__init__(*args)
        self.have = {}

    def command(self):
        """A command and what it is answered."""
        nth, value = self.random.randrange(24), f"v{self.random.randrange(500)}"
        kind = self.random.choice("nlhszp")
        key = f"col{self.number}:{kind}:{nth}"
        have = self.have.setdefault(key, 0 if kind in "np" else [] if kind == "l" else {})
        if kind == "n":
            self.have[key] += 1
            return ("INCR", key), self.have[key]
        if kind == "p":
            self.have[key] += len(value)
            return ("APPEND", key, value), self.have[key]
        if kind == "l":
            have.append(value.encode())
            return ("RPUSH", key, value), len(have)
        added = int(value not in have)
        have[value] = str(self.rounds).encode()
        return {"h": ("HSET", key, value, self.rounds), "s": ("SADD", key, value),
                "z": ("ZADD", key, self.rounds, value)}[kind], added

    def round(self):
        pairs = [self.command() for _ in range(10)]
        replies = self.pipeline([command for command, _ in pairs])
        for (command, wanted), reply in zip(pairs, replies):
            demand(reply == wanted, f"{command} was answered {reply!r}, not {wanted!r}")

    def end(self):
        for key, have in self.have.items():
            kind = key.split(":")[1]
            if kind == "n":
                self.expect(b"%d" % have, "GET", key)
            elif kind == "p":
                self.expect(have, "STRLEN", key)
            elif kind == "l":
                self.expect(have, "LRANGE", key, 0, -1)
            else:
                self.expect(len(have), {"h": "HLEN", "s": "SCARD", "z": "ZCARD"}[kind], key)

    def keys(self):
        return set(self.have)


class Spread(Client):
    """Writes over several shards at once."""

    def round(self):
        keys = [f"spread{self.number}:{self.rounds}:{nth}" for nth in range(10)]
        self.expect("OK", "MSET", *(word for key in keys for word in (key, self.rounds)))
        self.expect([b"%d" % self.rounds] * 10, "MGET", *keys)
        self.expect(10, "EXISTS", *keys)
        self.expect(10, "DEL", *keys)


class Teller(Client):
    """Moves amounts between two accounts that others use too, watched or blindly."""

    TAGS = 12

    def __init__(self, *args):
        super().__init__(*args)
        self.done = [0] * self.TAGS
        self.met = 0

    def round(self):
        nth = self.random.randrange(self.TAGS)
        a, b, count = (f"{{bank{nth}}}{name}" for name in ("a", "b", f"count{self.number}"))
        amount = self.random.randrange(1, 50)
        body = [("INCRBY", a, amount), ("DECRBY", b, amount)]
        if self.random.random() < 0.5:
            self.call("WATCH", a, b)
            have = [int(value or 0) for value in self.pipeline([("GET", a), ("GET", b)])]
            body = [("SET", a, have[0] + amount), ("SET", b, have[1] - amount)]
        reply = self.pipeline([("MULTI",), *body, ("INCR", count), ("EXEC",)])[-1]
        if reply is None:
            self.met += 1
        else:
            self.done[nth] += 1
            demand(reply[2] == self.done[nth], f"{count} is {reply[2]}, not {self.done[nth]}")
        seen = self.pipeline([("MULTI",), ("GET", a), ("GET", b), ("EXEC",)])[-1]
        demand(sum(int(value or 0) for value in seen) == 0, f"bank {nth}: {seen}")

    def end(self):
        for nth, done in enumerate(self.done):
            self.expect(b"%d" % done if done else None, "GET", f"{{bank{nth}}}count{self.number}")

    def keys(self):
        return {f"{{bank{nth}}}{name}" for nth, done in enumerate(self.done) if done
                for name in ("a", "b", f"count{self.number}")}


class Script(Client):
    """A script that raises a number and keeps what it was, both or nothing."""

    TEXT = ("local n = redis.call('INCR', KEYS[1]) redis.call('RPUSH', KEYS[2], n) "
            "return n * 10 + #redis.call('LRANGE', KEYS[2], n - 1, n - 1)")

    def __init__(self, *args):
        super().__init__(*args)
        self.counts = [0] * 20

    def names(self, nth):
        return f"{{script{self.number}:{nth}}}n", f"{{script{self.number}:{nth}}}l"

    def round(self):
        nth = self.random.randrange(20)
        self.counts[nth] += 1
        self.expect(self.counts[nth] * 10 + 1, "EVAL", self.TEXT, 2, *self.names(nth))

    def end(self):
        for nth, count in enumerate(self.counts):
            wanted = [b"%d" % n for n in range(1, count + 1)]
            self.expect(wanted, "LRANGE", self.names(nth)[1], 0, -1)

    def keys(self):
        return {name for nth, count in enumerate(self.counts) if count for name in self.names(nth)}


class Everything(Client):
    """What is about all keys."""

    pause_s = 0.1

    def round(self):
        seen, cursor = [], b"0"
        while True:
            cursor, page = self.call("SCAN", cursor, "MATCH", "forever:*", "COUNT", 400)
            seen += page
            if cursor == b"0":
                break
        demand(len(set(seen)) == FOREVER, f"SCAN returned {len(set(seen))} of {FOREVER} keys")
        demand(len(self.call("KEYS", "forever:*")) == FOREVER, "KEYS returned others")

    def keys(self):
        return {f"forever:{nth}" for nth in range(FOREVER)}


class Expiring(Client):
    """Keys that live for a time: there until then, and not behind it."""

    def round(self):
        key = f"expiring{self.number}:{self.rounds % 50}"
        life_ms = self.random.choice((20, 100, 600))
        before = time.time() * 1000
        self.expect("OK", "SET", key, self.rounds, "PX", life_ms)
        after = time.time() * 1000
        time.sleep(self.random.random() * life_ms * 1.2 / 1000)
        asked = time.time() * 1000
        reply = self.call("GET", key)
        if time.time() * 1000 < before + life_ms - 2:
            demand(reply == b"%d" % self.rounds, f"{key} is {reply!r} before its time")
        if asked > after + life_ms + 2:
            demand(reply is None, f"{key} is {reply!r} {asked - after - life_ms} ms behind its time")


class Queue(Client):
    """Pushes; a connection at the other router waits for what comes."""

    def __init__(self, context, cluster, number):
        super().__init__(context, cluster, number)
        address = cluster.routers[(number + 1) % len(cluster.routers)].address
        self.waiter = RespClient(address, timeout=TIMEOUT)
        self.key = f"queue{number}"
        self.got = []
        self.thread = threading.Thread(target=self.wait, daemon=True)
        self.thread.start()

    def wait(self):
        try:
            while not self.got or self.got[-1] != b"end":
                reply = self.waiter.call("BLPOP", self.key, 1)
                demand(not isinstance(reply, RespError), f"BLPOP was answered {reply}")
                self.got += reply[1:] if reply else []
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"{type(error).__name__}: {error}"

    def round(self):
        self.call("RPUSH", self.key, self.rounds)
        time.sleep(self.random.random() / 50)

    def end(self):
        self.call("RPUSH", self.key, "end")
        self.thread.join(TIMEOUT)
        demand(not self.thread.is_alive(), f"{self.key}: 'end' did not come")
        wanted = [b"%d" % nth for nth in range(self.rounds)] + [b"end"]
        if self.got != wanted:
            lost = sorted(set(wanted) - set(self.got))[:5]
            double = sorted({item for item in self.got if self.got.count(item) > 1})[:5]
            demand(False, f"{self.key}: lost {lost}, doubled {double}, or in disorder")


class Channel(Client):
    """Messages: perhaps not all, but none twice, in order, and at the end they come again."""

    def __init__(self, context, cluster, number):
        super().__init__(context, cluster, number)
        address = cluster.routers[(number + 1) % len(cluster.routers)].address
        self.listener = RespClient(address, timeout=TIMEOUT)
        self.listener.call("SUBSCRIBE", f"channel{number}")
        self.heard = -1
        self.count = 0
        self.thread = threading.Thread(target=self.listen, daemon=True)
        self.thread.start()

    def listen(self):
        try:
            while self.heard < 1 << 40:
                said = int(self.listener.read()[2])
                demand(said > self.heard, f"message {said} came behind {self.heard}")
                self.heard = said
                self.count += 1
        except Exception as error:  # pylint: disable=broad-except
            self.failure = f"{type(error).__name__}: {error}"

    def round(self):
        self.call("PUBLISH", f"channel{self.number}", self.rounds)

    def end(self):
        end = time.monotonic() + TIMEOUT
        while self.thread.is_alive() and time.monotonic() < end:
            self.call("PUBLISH", f"channel{self.number}", (1 << 40) + self.rounds)
            self.rounds += 1
            self.thread.join(0.1)
        demand(not self.thread.is_alive(), f"channel{self.number} is silent")


KINDS = (Collections, Collections, Spread, Teller, Teller, Script, Everything, Expiring, Queue,
         Queue, Channel)


def probe(address, path, ending, number):
    """Measures; ends with exit code 1 and a line if it got an error."""
    try:
        measure(address, path, ending, number)
    except (OSError, AssertionError) as error:
        print(f"probe {number} ended: {error}", flush=True)
        sys.exit(1)


def measure(address, path, ending, number):
    """SET and GET of a few keys all over the ring, 200 times a second."""
    with RespClient(address, timeout=TIMEOUT) as client, open(path, "wb", buffering=0) as out:
        count = 0
        while not ending.is_set():
            key = f"probe{number}:{count // 2 % 64}"
            begin = time.monotonic_ns()
            reply = client.call("GET", key) if count % 2 else client.call("SET", key, count)
            end = time.monotonic_ns()
            wanted = b"%d" % (count - 1) if count % 2 else "OK"
            demand(reply == wanted, f"{key}: {reply!r}, not {wanted!r}")
            out.write(SAMPLE.pack(begin, end))
            count += 1
            time.sleep(0.005)


class Probe:
    def __init__(self, context, cluster, number):
        self.number = number
        self.path = f"{context.directory}/probe{number}"
        make = multiprocessing.get_context("fork")
        self.ending = make.Event()
        arguments = (cluster.routers[number].address, self.path, self.ending, number)
        self.process = make.Process(target=probe, args=arguments, daemon=True)
        self.process.start()

    def stop(self):
        self.ending.set()
        self.process.join(TIMEOUT)
        demand(self.process.exitcode == 0, f"probe {self.number} ended: {self.process.exitcode}")

    def samples(self):
        with open(self.path, "rb") as stored:
            return list(SAMPLE.iter_unpack(stored.read()))

    def keys(self):
        return {f"probe{self.number}:{nth % 64}" for nth in range((len(self.samples()) + 1) // 2)}


class Load:
    """All of them, and a Workload whose history is checked."""

    def __init__(self, context, cluster):
        self.context = context
        with cluster.router.client() as client:
            for nth in range(0, FOREVER, 100):
                words = [word for n in range(nth, nth + 100) for word in (f"forever:{n}", n)]
                demand(client.call("MSET", *words) == "OK", "MSET")
        # Processes first: they are made by fork, which threads do not outlive.
        self.probes = [Probe(context, cluster, n) for n in range(len(cluster.routers))]
        self.history = context.workload(cluster, clients=6, keys=40, pause_s=0.005)
        self.clients = [kind(context, cluster, n) for n, kind in enumerate(KINDS)]

    def start(self):
        self.history.start()
        for client in self.clients:
            client.start()

    def demand_good(self):
        for client in self.clients:
            demand(client.failure is None, f"{client.name}: {client.failure}")
        for one in self.probes:
            demand(one.process.is_alive(), f"probe {one.number} ended")
        self.history.demand_no_errors()

    def stop(self):
        """Returns the names of all keys that must be there."""
        for one in self.probes:
            one.stop()
        self.history.stop()
        for client in self.clients:
            client.stopping.set()
        for client in self.clients:
            client.join(2 * TIMEOUT)
            demand(not client.is_alive(), f"{client.name} does not end")
            demand(client.failure is None, f"{client.name}: {client.failure}")
            demand(client.rounds > 0, f"{client.name} got nothing done")
        self.context.say(self.history.check(self.context.directory))
        self.history.demand_no_errors()
        self.context.say(", ".join(f"{client.name} {client.rounds}" for client in self.clients))
        final = {row[3] for row in self.history.final if row[6] is not None}
        return final.union(*(one.keys() for one in (*self.clients, *self.probes)))

    def check_again(self):
        """What every client must find, asked once more."""
        for client in self.clients:
            client.connect()
            if not isinstance(client, (Queue, Channel)):
                client.end()

    def samples(self):
        return [sample for one in self.probes for sample in one.samples()]
