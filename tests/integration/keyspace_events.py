"""Keyspace events: set at one router for the whole cluster, published to the clients of any router, in
the order and with the names of redis-server 7.0; masked by class; of keys that expire too; and they
come again when the leaders have changed.
"""

import harness
from cluster import demand, wait_until

# Commands, and what a redis-server 7.0.15 publishes on __keyevent@0__ with KEA.
SCRIPT = [
    (("SET", "{t}a", "1"), ["set {t}a"]),
    (("SET", "{t}a", "1", "EX", "100"), ["set {t}a", "expire {t}a"]),
    (("APPEND", "{t}a", "2"), ["append {t}a"]),
    (("SETRANGE", "{t}a", "0", "3"), ["setrange {t}a"]),
    (("INCR", "{t}n"), ["incrby {t}n"]),
    (("INCRBYFLOAT", "{t}n", "0.5"), ["incrbyfloat {t}n"]),
    (("SETBIT", "{t}b", "3", "1"), ["setbit {t}b"]),
    (("MSET", "{t}x", "1", "{t}y", "2"), ["set {t}x", "set {t}y"]),
    (("EXPIRE", "{t}x", "100"), ["expire {t}x"]),
    (("PERSIST", "{t}x"), ["persist {t}x"]),
    (("EXPIRE", "{t}x", "-1"), ["del {t}x"]),
    (("RENAME", "{t}y", "{t}z"), ["rename_from {t}y", "rename_to {t}z"]),
    (("COPY", "{t}z", "{t}y"), ["copy_to {t}y"]),
    (("GETEX", "{t}y", "EX", "50"), ["expire {t}y"]),
    (("GETDEL", "{t}y"), ["del {t}y"]),
    (("DEL", "{t}z", "{t}none"), ["del {t}z"]),
    (("GET", "{t}none"), []),
]


def events(client, count):
    found = []
    for _ in range(count):
        message = client.read()
        demand(message[0] == b"pmessage", f"a message: {message}")
        found.append((message[2].decode(), message[3].decode()))
    return found


def play(one, listener):
    for command, wanted in SCRIPT:
        one.call(*command)
        got = events(listener, len(wanted))
        want = [("__keyevent@0__:" + line.split()[0], line.split()[1]) for line in wanted]
        demand(got == want, f"{command}: {got}, not {want}")


def masks(one, listener):
    demand(one.call("CONFIG", "SET", "notify-keyspace-events", "") == "OK", "off")
    demand(one.call("SET", "{t}quiet", "1") == "OK", "nothing is published")
    bad = one.call("CONFIG", "SET", "notify-keyspace-events", "KEy")
    demand("Invalid event class character" in str(bad), f"a wrong letter: {bad}")
    demand(one.call("CONFIG", "SET", "notify-keyspace-events", "AKE") == "OK", "set")
    play(one, listener)

    demand(one.call("SET", "{t}short", "1", "PX", "50") == "OK", "expires soon")
    demand(events(listener, 3)[2] == ("__keyevent@0__:expired", "{t}short"), "expired")

    demand(one.call("CONFIG", "SET", "notify-keyspace-events", "Ex") == "OK", "expiry only")
    one.call("SET", "{t}quiet", "1")
    one.call("SET", "{t}short", "1", "PX", "50")
    demand(events(listener, 1) == [("__keyevent@0__:expired", "{t}short")], "masked")


def subscribed(client):
    client.send("PSUBSCRIBE", "__keyevent@*__:*")
    demand(client.read() == [b"psubscribe", b"__keyevent@*__:*", 1], "confirmed")
    return client


def undisturbed(context, cluster, part):
    """What is published while a shard has no leader is lost; on a busy machine that happens by itself.
    Then all of it again."""
    while True:
        before = cluster.explain("{t}a")
        with cluster.routers[0].client() as one, cluster.routers[1].client() as listener:
            demand(one.call("FLUSHALL") == "OK", "from the beginning")
            try:
                return part(one, subscribed(listener))
            except TimeoutError:
                after = cluster.explain("{t}a")
                if after["term"] == before["term"]:
                    raise
        context.say(f"its leader has changed: {before} {after}")


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    undisturbed(context, cluster, masks)
    with cluster.routers[0].client() as one, cluster.routers[1].client() as listener:
        subscribed(listener)
        one.call("CONFIG", "SET", "notify-keyspace-events", "KE$")
        victim = cluster.nodes[0]
        victim.kill()
        cluster.wait_taken_over(victim)
        with cluster.routers[1].client() as other:
            demand(other.call("PUBSUB", "NUMPAT") == 1, "the pattern is joined")
        names = [f"key:{i}" for i in range(200)]

        def all_shards_tell():
            for name in names:
                one.call("SET", name, "1")
            with cluster.routers[0].client() as marker:
                marker.call("PUBLISH", "__keyevent@0__:mark", "end")
            seen = set()
            while True:
                message = listener.read()
                if message[3] == b"end":
                    return seen == set(names)
                seen.add(message[3].decode())
        # Routers join anew where a leader is new, and may find out late on a busy machine.
        wait_until(all_shards_tell, 20, "events of all shards")


harness.run(test)
