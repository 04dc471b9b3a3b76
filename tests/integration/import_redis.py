"""Keys of a real redis-server come to a cluster by `sherd-admin import`, from RDB files in all forms
and from the server itself, and are compared one by one; an import that is killed goes on; files that are
damaged; exit codes. Needs redis-server."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import harness
from cluster import Process, demand, free_port, wait_until
from resp_client import RespClient, RespError

sys.path.insert(0, os.path.join(harness.ROOT, "tests", "machine"))
import dump_exchange  # noqa: E402  pylint: disable=wrong-import-position

KEYS = 1000
SECONDS = 15  # That an import takes which is to be interrupted; it keeps its place every second.


class Side:
    """A server as dump_exchange.py sees one."""

    def __init__(self, address):
        self.client = RespClient(address, timeout=120)

    def run(self, commands):
        return [self.plain(reply) for reply in self.client.pipeline(commands)]

    def plain(self, reply):
        if isinstance(reply, list):
            return [self.plain(item) for item in reply]
        if isinstance(reply, RespError):
            return (b"-", str(reply).encode())
        if isinstance(reply, int):
            return (b":", b"%d" % reply)
        return (b"+", reply.encode()) if isinstance(reply, str) else reply


class Redis(Process):
    def __init__(self, directory):
        super().__init__("redis", os.path.join(directory, "redis.log"))
        self.directory = directory
        self.port = free_port()
        self.file = os.path.join(directory, "dump.rdb")

    def start(self):
        self.spawn(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                    "--dir", self.directory])
        wait_until(lambda: RespClient(("127.0.0.1", self.port)).call("PING") == "PONG", 20,
                   "redis-server answers")
        return Side(("127.0.0.1", self.port))


def fill(rng, side):
    """Keys of all types, in all forms; {(db, key): kind}."""
    kinds = {}
    for number in range(KEYS):
        if number % 20 == 0:
            side.run(dump_exchange.settings(rng))
        db = rng.choice([0, 0, 0, 5])
        kind = rng.choice(dump_exchange.KINDS)
        key = b"%s %d" % (kind.encode(), number)
        side.run([[b"SELECT", b"%d" % db]] + dump_exchange.fill(rng, key, kind))
        if rng.randrange(4) == 0:
            side.run([[b"PEXPIRE", key, b"%d" % rng.randrange(3600000, 7200000)]])
        kinds[db, key] = kind
    side.run([[b"SELECT", b"0"], [b"PSETEX", b"expired", b"1", b"x"]])
    return kinds


def look(side, db, key, kind):
    side.run([[b"SELECT", b"%d" % db]])
    replies = dump_exchange.look(side, key, kind)
    # Encodings follow settings that were changed all the time; the type stays.
    return [reply for reply in replies if reply not in (b"listpack", b"skiplist", b"raw", b"embstr",
                                                        b"int")]


def first_difference(wanted, got):
    while isinstance(wanted, (list, tuple)) and isinstance(got, (list, tuple)):
        pairs = [(a, b) for a, b in zip(wanted, got) if a != b]
        if len(wanted) != len(got) or not pairs:
            break
        wanted, got = pairs[0]
    return f"{str(wanted)[:400]} is {str(got)[:400]}"


def compare(kinds, source, target, move=None, slack=0):
    for (db, key), kind in kinds.items():
        to = (move or {}).get(db, db)
        wanted, got = look(source, db, key, kind), look(target, to, key, kind)
        if wanted != got:
            raise harness.cluster.Failure(f"{db} {key}: {first_difference(wanted, got)}")
        times = [int(side.run([[b"PEXPIRETIME", key]])[0][1]) for side in (source, target)]
        demand(abs(times[0] - times[1]) <= slack, f"{key} expires at {times}")
    demand(target.run([[b"SELECT", b"0"], [b"EXISTS", b"expired"]])[1] == (b":", b"0"), "expired")


class Gate:
    """Between an import and the router: what the import sends passes at so many bytes a second, and
    not at all while the gate is shut. So no import is over before the test wants it."""

    STEP = 0.02

    def __init__(self, router, rate):
        self.router = router
        self.size = max(1, int(rate * self.STEP))
        self.open = threading.Event()
        self.open.set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            server = socket.create_connection(self.router)
            threading.Thread(target=self.pump, args=(client, server, self.size), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, None), daemon=True).start()

    def pump(self, source, target, size):
        try:
            while data := source.recv(size or 1 << 16):
                target.sendall(data)
                if size:
                    time.sleep(self.STEP)
                    self.open.wait()
        except OSError:
            pass
        for side in (source, target):
            try:
                side.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
        self.open.set()


class Importer:
    def __init__(self, context, cluster):
        self.context = context
        self.program = cluster.program("sherd-admin")
        self.router = cluster.router.address
        self.address = f"127.0.0.1:{cluster.router.port}"

    def command(self, *words, address=None):
        return [self.program, "--connect", address or self.address, "--json", "--timeout", "60000",
                "import", *words]

    def run(self, code, *words, address=None):
        done = subprocess.run(self.command(*words, address=address), capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=600, check=False)
        demand(done.returncode == code, f"{words}: exit {done.returncode}, not {code}: "
               f"{done.stdout[-500:]} {done.stderr[-1000:]}")
        self.context.say(f"import {' '.join(words)}: {done.stdout.decode().strip()[:200]}")
        return json.loads(done.stdout) if done.stdout.startswith(b"{") else {}


def kill_in_the_middle(importer, number, size, *words):
    """Ends an import of so many bytes by a signal once it has kept a place in the middle."""
    place = words[words.index("--resume") + 1]
    gate = Gate(importer.router, size / SECONDS)
    child = subprocess.Popen(importer.command(*words, address=gate.address),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)

    def in_the_middle():
        demand(child.poll() is None, f"the import ended before it was killed: {child.returncode}")
        with open(place, encoding="ascii") as file:
            lines = file.read().split("\n")
        return int(lines[3]) > 0

    wait_until(in_the_middle, 60, "an import has kept its place")
    gate.open.clear()
    child.send_signal(number)
    if number == signal.SIGINT:
        gate.open.set()
    out, _ = child.communicate(timeout=60)
    gate.close()
    demand(child.returncode == (7 if number == signal.SIGINT else -number),
           f"exit {child.returncode}")
    return json.loads(out)["done"] if out else None


def check_file(importer, kinds, redis, source, target):
    plan = importer.run(0, "--from", redis.file, "--dry-run")
    demand(plan["keys"] - len(kinds) in (0, 1), f"{plan} of {len(kinds)} keys and an expired one")
    demand(target.run([[b"DBSIZE"]])[0] == (b":", b"0"), "a dry run writes nothing")
    done = importer.run(0, "--from", redis.file)
    demand(done["done"] == len(kinds) and done["failed"] == 0, f"{done} of {len(kinds)}")
    compare(kinds, source, target)


def check_interrupted(importer, kinds, redis, source, target):
    place = os.path.join(redis.directory, "place")
    words = ("--from", redis.file, "--resume", place)
    for number in (signal.SIGKILL, signal.SIGINT):
        target.run([[b"FLUSHALL"]])
        first = kill_in_the_middle(importer, number, os.path.getsize(redis.file), *words)
        second = importer.run(0, *words)
        demand(0 < second["done"] < len(kinds), f"{second} of {len(kinds)}")
        if first is not None:
            demand(first + second["done"] == len(kinds), f"{first} and {second}")
        compare(kinds, source, target)
        demand(importer.run(0, *words)["done"] == 0, "a finished import is not repeated")
        os.remove(place)


def check_again(importer, kinds, redis, source, target):
    left = importer.run(7, "--from", redis.file)
    demand(left["done"] == 0 and left["existing"] == len(kinds), f"{left}")
    db, key = next(iter(kinds))
    target.run([[b"SELECT", b"%d" % db], [b"SET", key, b"changed"]])
    importer.run(0, "--from", redis.file, "--replace")
    compare(kinds, source, target)
    moved = {db: 3 if db == 0 else 0 for db, _ in kinds}
    target.run([[b"FLUSHALL"]])
    mapped = importer.run(0, "--from", redis.file, "--db-map", "0:3,5:0")
    demand(mapped["done"] == len(kinds), f"{mapped}")
    compare(kinds, source, target, moved)


def check_server(importer, kinds, redis, source, target):
    address = f"redis://127.0.0.1:{redis.port}"
    place = os.path.join(redis.directory, "server place")
    target.run([[b"FLUSHALL"]])
    kill_in_the_middle(importer, signal.SIGKILL, os.path.getsize(redis.file), "--from", address,
                       "--resume", place)
    importer.run(0, "--from", address, "--resume", place)
    compare(kinds, source, target, slack=5000)
    only = importer.run(0, "--from", address + "/5")
    demand(only["done"] == len([1 for db, _ in kinds if db == 5]), f"{only}")
    source.run([[b"CONFIG", b"SET", b"requirepass", b"secret"]])
    importer.run(4, "--from", address)
    importer.run(4, "--from", f"redis://:wrong@127.0.0.1:{redis.port}")
    importer.run(0, "--from", f"redis://:secret@127.0.0.1:{redis.port}/5")
    source.run([[b"CONFIG", b"SET", b"requirepass", b""]])


def check_faults(importer, redis, target):
    target.run([[b"FLUSHALL"]])
    with open(redis.file, "rb") as file:
        whole = file.read()
    damaged = os.path.join(redis.directory, "damaged.rdb")
    for data in (whole[:-1], whole[:len(whole) // 2], whole[:1000] + b"!" + whole[1001:], b"", b"x"):
        with open(damaged, "wb") as file:
            file.write(data)
        importer.run(1, "--from", damaged)
    demand(target.run([[b"DBSIZE"]])[0] == (b":", b"0"), "damaged files change nothing")
    importer.run(1, "--from", os.path.join(redis.directory, "missing.rdb"))
    importer.run(2)
    importer.run(2, "--from", redis.file, "--db-map", "0")
    importer.run(2, "--from", redis.file, "--resume", redis.file)
    importer.run(3, "--from", f"redis://127.0.0.1:{free_port()}")
    importer.run(3, "--from", redis.file, address=f"127.0.0.1:{free_port()}")


def start(context):
    """A cluster and a redis-server: what the tests need of them."""
    if shutil.which("redis-server") is None:
        raise harness.cluster.Failure("there is no redis-server here")
    cluster = context.cluster()
    cluster.start()
    redis = Redis(context.directory)
    context.cleanups.append(redis.kill)
    source = redis.start()
    return redis, source, Side(cluster.router.address), Importer(context, cluster)


def test(context):
    rng = random.Random(context.seed)
    redis, source, target, importer = start(context)
    kinds = fill(rng, source)
    source.run([[b"SAVE"]])
    context.say(f"{len(kinds)} keys, {os.path.getsize(redis.file)} bytes")
    check_file(importer, kinds, redis, source, target)
    check_interrupted(importer, kinds, redis, source, target)
    check_again(importer, kinds, redis, source, target)
    check_server(importer, kinds, redis, source, target)
    check_faults(importer, redis, target)


if __name__ == "__main__":
    harness.run(test, limit=280)
