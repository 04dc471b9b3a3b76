"""Databases: SELECT on routers and nodes, each database its own keys, SCAN in pages, MOVE, sizes."""

import json
import subprocess

import harness
from cluster import demand, wait_until
from resp_client import RespClient, RespError, text

DATABASES = 16
KEYS = 300


def equal(what, got, wanted):
    demand(got == wanted, f"{what}: got {got!r:.300}, wanted {wanted!r:.300}")


def scan(client, count):
    found, cursor, pages = [], b"0", 0
    while True:
        cursor, keys = client.call("SCAN", cursor, "COUNT", str(count))
        found += keys
        pages += 1
        demand(len(keys) <= 2 * count, f"a page of {len(keys)} keys")
        if cursor == b"0":
            return found, pages


def fill(client):
    for db in range(DATABASES):
        equal("SELECT", client.call("SELECT", db), "OK")
        commands = [("SET", f"key:{i}", f"{db}.{i}") for i in range(KEYS + db)]
        commands += [("EXPIRE", f"key:{i}", "1000") for i in range(db)]
        replies = client.pipeline(commands)
        demand(not any(isinstance(reply, RespError) for reply in replies), f"db {db}: {replies[:3]}")


def look(client):
    for db in range(DATABASES):
        client.call("SELECT", db)
        equal(f"DBSIZE of {db}", client.call("DBSIZE"), KEYS + db)
        equal(f"GET in {db}", client.call("GET", "key:7"), b"%d.7" % db)
        equal(f"MGET in {db}", client.call("MGET", "key:0", "key:1", "none"),
              [b"%d.0" % db, b"%d.1" % db, None])
        keys, pages = scan(client, 20)
        equal(f"SCAN of {db}", sorted(keys), sorted(b"key:%d" % i for i in range(KEYS + db)))
        demand(pages >= KEYS // 40, f"db {db} came in {pages} pages")
        demand(client.call("RANDOMKEY").startswith(b"key:"), "RANDOMKEY")
        equal(f"KEYS in {db}", len(client.call("KEYS", "key:1?")), 10)


def connection_state(client):
    client.call("SELECT", 3)
    client.call("HELLO", 3)
    demand(b" db=3 " in client.call("CLIENT", "LIST"), "CLIENT LIST")
    equal("GET after HELLO", client.call("GET", "key:1"), b"3.1")
    equal("RESET", client.call("RESET"), "RESET")
    equal("GET after RESET", client.call("GET", "key:1"), b"0.1")
    demand("DB index is out of range" in str(client.call("SELECT", 16)), "SELECT 16")
    equal("GET after a SELECT that failed", client.call("GET", "key:1"), b"0.1")


def sizes(cluster, client):
    client.call("SELECT", 0)
    wanted = {f"db{db}": f"keys={KEYS + db},expires={db},avg_ttl=0" for db in range(DATABASES)}

    def known():
        lines = client.call("INFO", "keyspace").decode().splitlines()
        return dict(line.split(":", 1) for line in lines if line.startswith("db")) == wanted
    wait_until(known, 10, "INFO keyspace tells the sizes")
    shown = json.loads(subprocess.run(
        [cluster.program("sherd-admin"), "--json", "--connect",
         f"127.0.0.1:{cluster.router.port}", "db", "list"],
        check=True, capture_output=True, text=True, timeout=60).stdout)
    equal("db list", [(row["db"], row["keys"], row["expires"]) for row in shown],
          [(db, KEYS + db, db) for db in range(DATABASES)])
    equal("shards of database 0", shown[0]["shards"], cluster.shards)
    for row in shown[1:]:
        place = cluster.explain("anything", row["db"])
        equal(f"place of database {row['db']}", (row["shards"], row["shard"]), (1, place["shard"]))
    return {row["db"]: row["shard"] for row in shown}


def moves(client, shard_of):
    """Between two databases a key moves only within a shard."""
    near = [(a, b) for a in range(1, DATABASES) for b in range(1, DATABASES)
            if a != b and shard_of[a] == shard_of[b]]
    far = next((a, b) for a in range(1, DATABASES) for b in range(1, DATABASES)
               if shard_of[a] != shard_of[b])
    demand(near, "15 databases on 8 shards, and no two on one")
    for number, (a, b) in enumerate((near[0], far)):
        client.call("SELECT", a)
        client.call("SET", "mover", "x")
        got = client.call("MOVE", "mover", b)
        there = client.call("EXISTS", "mover")
        client.call("SELECT", b)
        arrived = client.call("EXISTS", "mover")
        client.call("DEL", "mover")
        if number == 0:
            equal(f"MOVE from {a} to {b}", (got, there, arrived), (1, 0, 1))
        else:
            demand(isinstance(got, RespError) and got.code() == "CROSSSLOT" and
                   f"of database {b} on shard {shard_of[b]}" in str(got), f"a far MOVE: {got}")
            equal("a far MOVE", (there, arrived), (1, 0))
            client.call("SELECT", a)
            client.call("DEL", "mover")
    demand("SWAPDB" in str(client.call("SWAPDB", 1, 2)), "SWAPDB")
    demand("unknown command" in str(client.call("USAGE")), "an internal command")


def at_a_node(cluster, db):
    """The node that leads the database's shard answers for all of it."""
    leader = cluster.explain("anything", db)["leader_address"]
    port = int(leader.rsplit(":", 1)[1])
    node = next(node for node in cluster.nodes if node.port == port)
    with RespClient(node.address) as client:
        equal("SELECT at a node", client.call("SELECT", db), "OK")
        equal("DBSIZE at a node", client.call("DBSIZE"), KEYS + db)
        equal("GET at a node", client.call("GET", "key:9"), b"%d.9" % db)
        equal("SCAN at a node", len(scan(client, 50)[0]), KEYS + db)


def flush(client):
    client.call("SELECT", 2)
    equal("FLUSHDB", client.call("FLUSHDB"), "OK")
    equal("DBSIZE", client.call("DBSIZE"), 0)
    client.call("SELECT", 3)
    equal("DBSIZE of the next", client.call("DBSIZE"), KEYS + 3)
    equal("FLUSHALL", client.call("FLUSHALL"), "OK")
    for db in range(DATABASES):
        client.call("SELECT", db)
        equal(f"DBSIZE of {db} after FLUSHALL", client.call("DBSIZE"), 0)


def test(context):
    cluster = context.cluster(shards=8, routers=2)
    cluster.start()
    one, two = cluster.routers
    with one.client() as client, two.client() as other:
        fill(client)
        look(other)
        connection_state(client)
    with two.client() as client:
        shard_of = sizes(cluster, client)
        moves(client, shard_of)
        at_a_node(cluster, 5)
        context.say("killing the leader of database 5's shard")
        port = int(cluster.explain("x", 5)["leader_address"].rsplit(":", 1)[1])
        victim = next(node for node in cluster.nodes if node.port == port)
        victim.kill()
        look(client)
        victim.start()
        cluster.wait_ready()
        flush(client)


harness.run(test)
