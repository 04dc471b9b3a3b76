"""Lua scripts on real processes: one counts as often as it was acknowledged, also when the leader dies;
a loaded script runs behind every router, after restarts and flushes as it should; long ones hold up
their shard alone and can be killed; messages of scripts arrive.
"""

import hashlib
import select
import threading
import time

import harness
from cluster import PATIENCE, demand, wait_until
from resp_client import RespError

CALLS = 1000
COUNT = "local n = redis.call('INCR',KEYS[1]) redis.call('PEXPIRE',KEYS[1],ARGV[1]) return n"
RELEASE = ("if redis.call('GET',KEYS[1]) == ARGV[1] then return redis.call('DEL',KEYS[1]) end "
           "return 0")
MOVE = ("local have = tonumber(redis.call('GET',KEYS[1]) or 0) local amount = tonumber(ARGV[1]) "
        "if have < amount then return redis.error_reply('NOTENOUGH only '..have) end "
        "redis.call('DECRBY',KEYS[1],amount) redis.call('INCRBY',KEYS[2],amount) return have")
FOREVER = "while true do end"


def sha(source):
    return hashlib.sha1(source.encode()).hexdigest()


def code(reply):
    return str(reply).split(" ")[0] if isinstance(reply, RespError) else None


def count_while_leaders_die(context, cluster):
    """Every acknowledged call counted once; none is answered with an error."""
    seen = []
    progress = []

    def work(number):
        with cluster.router.client(timeout=60) as client:
            for _ in range(CALLS // 4):
                seen.append(client.call("EVAL", COUNT, "1", "counter", "100000000"))
                progress.append(number)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for part in (1, 2, 3):
        wait_until(lambda part=part: len(progress) >= CALLS * part // 5, 60, "scripts run")
        address = str(cluster.explain("counter")["leader_address"])
        victim = next(node for node in cluster.nodes if address.endswith(f":{node.port}"))
        victim.kill()
        context.say(f"killed {victim.name}, the leader of the counter, after {len(progress)} calls")
        cluster.wait_taken_over(victim)
        victim.start()
        cluster.wait_ready()
    for thread in threads:
        thread.join()
    errors = [reply for reply in seen if isinstance(reply, RespError)]
    demand(not errors, f"errors: {errors[:3]}")
    demand(sorted(seen) == list(range(1, CALLS + 1)), f"{len(set(seen))} numbers of {CALLS}")
    with cluster.router.client() as client:
        demand(client.call("GET", "counter") == str(CALLS).encode(), "the counter is exact")


def patterns(client):
    demand(client.call("SET", "lock", "me") == "OK", "a lock")
    demand(client.call("EVAL", RELEASE, "1", "lock", "you") == 0, "somebody else's lock stays")
    demand(client.call("EVAL", RELEASE, "1", "lock", "me") == 1, "one's own is released")
    client.call("SET", "{a}1", "10")
    demand(client.call("EVAL", MOVE, "2", "{a}1", "{a}2", "4") == 10, "moved")
    demand(client.call("MGET", "{a}1", "{a}2") == [b"6", b"4"], "both keys changed")
    reply = client.call("EVAL", MOVE, "2", "{a}1", "{a}2", "7")
    demand(code(reply) == "NOTENOUGH", f"refused: {reply}")
    reply = client.call("EVAL", "return redis.call('GET','elsewhere')", "1", "{a}1")
    demand("'elsewhere' is on another shard" in str(reply) or reply is None, f"{reply}")
    reply = client.call("EVAL", MOVE, "2", "one", "two{b}", "7")
    demand(code(reply) in ("CROSSSLOT", "NOTENOUGH"), f"{reply}")
    large = client.call("EVAL", "return string.rep('x', 300000)", "1", "{a}1")
    demand(len(large) == 300000, "a reply longer than what the log keeps")


def transactions(client):
    def run(*commands):
        client.call("MULTI")
        for command in commands:
            client.call(*command)
        return client.call("EXEC")

    incr = "return redis.call('INCR',KEYS[1])"
    replies = run(("SET", "{m}a", "1"), ("EVAL", incr, "1", "{m}a"), ("GET", "{m}a"),
                  ("EVAL", "return redis.call('nosuch')", "1", "{m}a"), ("INCRBY", "{m}a", "5"))
    demand(replies[:3] == ["OK", 2, b"2"] and replies[4] == 7, f"scripts in EXEC: {replies}")
    demand("Unknown Redis command" in str(replies[3]), f"an error among the replies: {replies[3]}")
    client.call("WATCH", "{m}a")
    client.call("SET", "{m}a", "9")
    demand(run(("EVAL", incr, "1", "{m}a")) is None, "a watched key had changed")
    client.call("WATCH", "{m}a")
    demand(run(("EVAL", incr, "1", "{m}a")) == [10], "a watched key had not changed")


def one_database(router):
    with router.client() as client:
        demand(client.call("SELECT", "3") == "OK", "a database that is whole on a shard")
        reply = client.call("EVAL", "for i = 1, 50 do redis.call('SET','k'..i,i) end "
                            "return #redis.call('KEYS','*')", "0")
        demand(reply == 50, f"undeclared keys: {reply}")


def loaded_scripts(context, cluster):
    one, two = cluster.routers
    source = "return {KEYS[1], redis.call('INCR',KEYS[1])}"
    with one.client() as client, two.client() as other:
        demand(code(client.call("EVALSHA", sha(source), "1", "k")) == "NOSCRIPT", "not known yet")
        demand(client.call("SCRIPT", "LOAD", source) == sha(source).encode(), "SCRIPT LOAD")
        # On every shard, at the other router, and in order behind what was sent before.
        replies = other.pipeline([[*part] for i in range(200) for part in
                                  (("EVALSHA", sha(source), "1", f"k{i}"), ("GET", f"k{i}"))])
        demand(replies[0::2] == [[f"k{i}".encode(), 1] for i in range(200)], "EVALSHA everywhere")
        demand(replies[1::2] == [b"1"] * 200, "a GET does not overtake it")
        demand(client.call("SCRIPT", "EXISTS", sha(source), sha("x")) == [1, 0], "SCRIPT EXISTS")
        reply = client.call("SCRIPT", "LOAD", "return return")
        demand("Error compiling script" in str(reply), f"{reply}")
    for node in cluster.nodes:
        node.stop()
    for router in cluster.routers:
        router.stop()
    for process in [*cluster.nodes, *cluster.routers]:
        process.start()
    cluster.wait_ready()
    context.say("everything was started again")
    with two.client() as client:
        for i in range(100):
            demand(client.call("EVALSHA", sha(source), "1", f"k{i}") == [f"k{i}".encode(), 2],
                   "EVALSHA after a restart")
        demand(client.call("SCRIPT", "FLUSH") == "OK", "SCRIPT FLUSH")
        for i in range(100):
            demand(code(client.call("EVALSHA", sha(source), "1", f"k{i}")) == "NOSCRIPT",
                   "forgotten on every shard")
        demand(client.call("SCRIPT", "EXISTS", sha(source)) == [0], "SCRIPT EXISTS after FLUSH")


def other_shard(cluster, key):
    mine = cluster.explain(key)["shard"]
    return next(f"other{i}" for i in range(1000) if cluster.explain(f"other{i}")["shard"] != mine)


def long_scripts(context, cluster):
    with cluster.router.client(timeout=60) as busy, cluster.router.client() as client:
        demand(code(client.call("SCRIPT", "KILL")) == "NOTBUSY", "nothing to kill")
        began = time.monotonic()
        reply = busy.call("EVAL", "redis.call('SET',KEYS[1],'half') " + FOREVER, "1", "busy")
        demand("script-time-max" in str(reply), f"{reply}")
        context.say(f"stopped after {time.monotonic() - began:.1f} s")
        demand(client.call("EXISTS", "busy") == 0, "it changed nothing")
        other = other_shard(cluster, "busy")
        busy.send("EVAL", "redis.call('SET',KEYS[1],'half') " + FOREVER, "1", "busy")
        killed = []

        def kill():
            demand(client.call("SET", other, "x") == "OK", "other shards go on")
            demand(not select.select([busy.socket], [], [], 0)[0], "without waiting for the script")
            killed.append(client.call("SCRIPT", "KILL"))
            return killed[-1] == "OK"

        wait_until(kill, 10 * PATIENCE, "the script is on the pool and killed")
        reply = busy.read()
        demand("Script killed by user with SCRIPT KILL" in str(reply), f"{reply}")
        demand(client.call("EXISTS", "busy") == 0, "it changed nothing either")
        # string.rep() goes byte by byte: on a busy machine time would be over before.
        reply = busy.call("EVAL", "local s = 'x' while true do s = s .. s end", "1", "busy")
        demand("script-memory-max" in str(reply), f"{reply}")
        reply = busy.call("EVAL", "local n = 0 for i = 1, 3000000 do n = n + i end "
                          "redis.call('SET',KEYS[1],n) return n", "1", "busy")
        demand(reply == 4500001500000, f"a long one that ends: {reply}")
        demand(client.call("GET", "busy") == b"4500001500000", "and its effect")


def messages(cluster):
    with cluster.routers[1].client() as listener, cluster.routers[0].client() as client:
        channels = [f"news{i}" for i in range(20)]
        listener.send("SUBSCRIBE", *channels)
        for _ in channels:
            listener.read()
        wait_until(lambda: client.call("PUBSUB", "NUMSUB", *channels)[1::2] == [1] * 20, PATIENCE * 5,
                   "the channels are joined")
        for channel in channels:
            reply = client.call("EVAL", "redis.call('SET',KEYS[1],1) "
                                "return redis.call('PUBLISH',ARGV[1],'hello')", "1", "k", channel)
            demand(reply == 0, f"PUBLISH in a script: {reply}")
        got = sorted(listener.read()[1].decode() for _ in channels)
        demand(got == sorted(channels), f"messages of {got}")


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    with cluster.router.client() as client:
        patterns(client)
        transactions(client)
    one_database(cluster.router)
    messages(cluster)
    long_scripts(context, cluster)
    loaded_scripts(context, cluster)
    count_while_leaders_die(context, cluster)


harness.run(test, limit=200)
