"""A backup of a cluster in use: a consistent cut, nothing acknowledged before it is missing, writers
only wait; it is read back whole, damage is found, and it comes to a cluster of another shape, also
after an interruption.
"""

import json
import os
import signal
import subprocess
import threading
import time

import harness
from cluster import PATIENCE, demand, wait_until
from resp_client import RespClient, RespError

PAIRS = 4


def admin(context, endpoint, *args, code=0):
    program = os.path.join(context.programs, "sherd-admin")
    done = subprocess.run([program, "--connect", "%s:%d" % endpoint, "--json", *args],
                          capture_output=True, timeout=120 * PATIENCE, check=False)
    demand(done.returncode == code,
           f"{args} ended with {done.returncode}, not {code}: {done.stdout} {done.stderr}")
    return json.loads(done.stdout) if done.stdout else None


def fill(client):
    commands = []
    for i in range(3000):
        commands.append(("SET", f"key:{i}", f"value {i}" * 5))
        if i % 10 == 0:
            commands.append(("SET", f"ttl:{i}", "x", "EX", "100000"))
    many = [part for i in range(400) for part in (f"f{i}", f"v{i}")]
    for i in range(10):
        commands += [("HSET", f"hash:{i}", *many), ("SADD", f"set:{i}", *many),
                     ("RPUSH", f"list:{i}", *many), ("HSET", f"small:{i}", "a", "b"),
                     ("ZADD", f"zset:{i}", *[x for n in range(400) for x in (n, f"m{n}")]),
                     ("XADD", f"stream:{i}", "1-1", "a", "b"),
                     ("XGROUP", "CREATE", f"stream:{i}", "g", "0"),
                     ("XREADGROUP", "GROUP", "g", "c", "STREAMS", f"stream:{i}", ">"),
                     ("SET", f"long:{i}", bytes([i]) * 600000),
                     ("HSET", f"gone:{i}", *many), ("DEL", f"gone:{i}")]
    for db in (3, 9):
        commands.append(("SELECT", db))
        commands += [("SET", f"db{db}:{i}", i) for i in range(50)]
        commands.append(("HSET", "hash", *many))
    commands += [("SELECT", 0), ("SCRIPT", "LOAD", "return 42"),
                 ("CONFIG", "SET", "notify-keyspace-events", "KEA")]
    for at in range(0, len(commands), 100):
        for command, reply in zip(commands[at:at + 100], client.pipeline(commands[at:at + 100])):
            demand(not isinstance(reply, RespError), f"{command[:2]}: {reply}")


class Pairs(threading.Thread):
    """Sets one key, then, when that is acknowledged, another, to the same number: a cut never has
    the second alone."""

    def __init__(self, address, number):
        super().__init__(daemon=True)
        self.client = RespClient(address)
        self.number = number
        self.acknowledged = 0
        self.ending = False
        self.error = None
        self.slowest = 0.0

    def run(self):
        count = 0
        while not self.ending and self.error is None:
            count += 1
            for name in ("first", "second"):
                began = time.monotonic()
                reply = self.client.call("SET", f"{name}:{self.number}", count)
                self.slowest = max(self.slowest, time.monotonic() - began)
                if reply != "OK":
                    self.error = reply
            self.acknowledged = count


def all_of(client):
    """{(db, key): (what DUMP says, expiry, encoding)}"""
    found = {}
    for db in range(16):
        client.call("SELECT", db)
        cursor = b"0"
        keys = set()
        while True:
            cursor, part = client.call("SCAN", cursor, "COUNT", "1000")
            keys.update(part)
            if cursor == b"0":
                break
        keys = sorted(keys)
        for at in range(0, len(keys), 100):
            part = keys[at:at + 100]
            dumps = client.pipeline([("DUMP", key) for key in part])
            times = client.pipeline([("PEXPIRETIME", key) for key in part])
            codes = client.pipeline([("OBJECT", "ENCODING", key) for key in part])
            for key, dump, expiry, code in zip(part, dumps, times, codes):
                found[(db, key)] = (dump, expiry, code)
    client.call("SELECT", 0)
    return found


def check_pairs(got, before):
    for number in range(PAIRS):
        first, second = (int(got.call("GET", f"{name}:{number}") or 0)
                         for name in ("first", "second"))
        demand(second <= first <= second + 1, f"no cut: first {first}, second {second}")
        demand(second >= before[number],
               f"{before[number]} was acknowledged before, the backup has {second}")


def create_under_load(context, cluster, folder):
    pairs = [Pairs(cluster.router.address, number) for number in range(PAIRS)]
    for pair in pairs:
        pair.start()
    wait_until(lambda: min(pair.acknowledged for pair in pairs) > 20, 20, "the pairs are written")
    before = [pair.acknowledged for pair in pairs]
    made = admin(context, cluster.router.address, "backup", "create", folder)
    after = [pair.acknowledged for pair in pairs]
    wait_until(lambda: all(pair.acknowledged > count for pair, count in zip(pairs, after)), 20,
               "the pairs go on")
    for pair in pairs:
        pair.ending = True
        pair.join()
        demand(pair.error is None, f"a writer got {pair.error}")
    context.say(f"made {made}; the slowest write took {max(p.slowest for p in pairs):.3f} s")
    demand(made["pause_ms"] < 500 * PATIENCE, f"writes waited: {made}")
    return before


def refused_side_by_side(context, cluster):
    with RespClient(cluster.nodes[0].address) as node:
        demand(node.call("SHERD", "BACKUP", "BEGIN", 77) == "OK", "BEGIN")
        other = os.path.join(context.directory, "other")
        admin(context, cluster.router.address, "backup", "create", other, code=5)
        demand(not os.path.exists(other), "a backup that was refused left something")
        demand(node.call("SHERD", "BACKUP", "END", 77) == "OK", "END")


def fence_lifts_by_itself(cluster):
    """Nobody releases it: the cut is void, and writers go on."""
    clients = [RespClient(node.address) for node in cluster.nodes]
    for client in clients:
        demand(client.call("SHERD", "BACKUP", "BEGIN", 5) == "OK", "BEGIN")
    for client in clients:
        reply = client.call("SHERD", "BACKUP", "FENCE", 5, 300)
        demand(isinstance(reply, list), f"FENCE: {reply}")
    demand(cluster.ask("SET", "key:1", "value 1" * 5) == "OK", "a write after the fence")
    for client in clients:
        reply = client.call("SHERD", "BACKUP", "RELEASE", 5)
        demand(isinstance(reply, RespError) and reply.code() == "VOID", f"RELEASE: {reply}")
        demand(client.call("SHERD", "BACKUP", "END", 5) == "OK", "END")
        client.close()


def damaged(context, target, folder):
    names = [os.path.join(root, name) for root, _, names in os.walk(folder) for name in names]
    victim = context.random.choice([name for name in names if os.path.getsize(name) > 0])
    with open(victim, "r+b") as file:
        at = context.random.randrange(os.path.getsize(victim))
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 64]))
        file.flush()
        admin(context, target, "backup", "verify", folder, code=1)
        admin(context, target, "backup", "restore", folder, code=1)
        file.seek(at)
        file.write(bytes([byte]))
    os.rename(victim, victim + ".away")
    admin(context, target, "backup", "verify", folder, code=1)
    os.rename(victim + ".away", victim)
    context.say(f"damage of {os.path.relpath(victim, folder)} at {at} was found")


def interrupted(context, target, folder):
    """Ends one in the middle, then goes on."""
    program = os.path.join(context.programs, "sherd-admin")
    resume = os.path.join(context.directory, "resume")
    args = [program, "--connect", "%s:%d" % target, "backup", "restore", folder, "--resume",
            resume]
    child = subprocess.Popen([*args, "--rate", "2"], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE)
    wait_until(lambda: os.path.exists(resume) and open(resume).read().count("\n") > 2, 60,
               "a few shards are there")
    child.send_signal(signal.SIGINT)
    out, error = child.communicate()
    demand(child.returncode == 7, f"interrupted: {child.returncode} {out} {error}")
    admin(context, target, "backup", "restore", folder, code=5)
    done = subprocess.run(args, capture_output=True, check=False)
    demand(done.returncode == 0 and b"going on" in done.stderr, f"resumed: {done}")


def test(context):
    folder = os.path.join(context.directory, "backup")
    source = context.cluster(shards=16)
    source.start()
    with source.router.client(timeout=60) as client:
        fill(client)
        refused_side_by_side(context, source)
        before = create_under_load(context, source, folder)
        fence_lifts_by_itself(source)
        whole = admin(context, source.router.address, "backup", "verify", folder)
        demand(whole["ok"] and whole["scripts"] > 0, f"verify: {whole}")
        admin(context, source.router.address, "backup", "restore", folder, code=5)
        wanted = all_of(client)
    source.stop()
    context.say(f"backed up {len(wanted)} keys")
    target = context.cluster(nodes=1, shards=4, replicas=1)
    target.start()
    damaged(context, target.router.address, folder)
    demand(target.ask("DBSIZE") == 0, "something came of a damaged backup")
    interrupted(context, target.router.address, folder)
    with target.router.client(timeout=60) as client:
        check_pairs(client, before)
        got = all_of(client)
        demand(client.call("EVALSHA", "1fa00e76656cc152ad327c13fe365858fd7be306", 0) == 42,
               "a script is missing")
        for key in list(wanted):
            if key[1].split(b":")[0] in (b"first", b"second"):
                del wanted[key]
                del got[key]
        demand(wanted.keys() == got.keys(), f"keys: {list(wanted.keys() ^ got.keys())[:5]}")
        for key, value in wanted.items():
            demand(value == got[key], f"{key}: {value[1:]} became {got[key][1:]}")
        # It is a cluster to work with: what is taken away and made anew stays apart.
        for i in range(10):
            demand(client.call("DEL", f"hash:{i}") == 1, "DEL")
            demand(client.call("HSET", f"hash:{i}", "only", "one") == 1, "HSET")
            demand(client.call("HGETALL", f"hash:{i}") == [b"only", b"one"], "HGETALL")
    again = admin(context, target.router.address, "backup", "restore", folder, "--empty")
    demand(again["ok"], f"again: {again}")
    with target.router.client(timeout=60) as client:
        check_pairs(client, before)
        demand(client.call("HLEN", "hash:3") == 400, "HLEN")
    context.say("restored twice")


harness.run(test, limit=200)
