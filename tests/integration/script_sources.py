"""A script that was run once with EVAL, anywhere, is known by its SHA-1 everywhere: at every shard,
behind both routers, in pipelines and in transactions, until SCRIPT FLUSH. Nobody sees NOSCRIPT.
"""

import hashlib
import itertools
import threading

import harness
from cluster import demand
from resp_client import RespError

KEYS = [f"key{i}" for i in range(40)]
LONG = "for i = 1, 12000000 do end "
fresh = itertools.count()


def sha(source):
    return hashlib.sha1(source.encode()).hexdigest()


def script(body="return redis.call('INCR',KEYS[1])"):
    """One that nobody has seen yet."""
    return f"{body} -- {next(fresh)}"


def code(reply):
    return str(reply).split(" ")[0] if isinstance(reply, RespError) else None


def transaction(client, *commands):
    client.pipeline([["MULTI"], *commands])
    return client.call("EXEC")


def everywhere(one, two):
    source = script("return KEYS[1]")
    demand(code(one.call("EVALSHA", sha(source), "1", KEYS[0])) == "NOSCRIPT", "unknown at first")
    demand(one.call("SCRIPT", "EXISTS", sha(source)) == [0], "SCRIPT EXISTS, unknown")
    demand(one.call("EVAL", source, "1", KEYS[0]) == KEYS[0].encode(), "EVAL")
    for client in (two, one):
        demand(client.call("SCRIPT", "EXISTS", sha(source), "0" * 40) == [1, 0], "SCRIPT EXISTS")
        for key in KEYS:
            reply = client.call("EVALSHA", sha(source), "1", key)
            demand(reply == key.encode(), f"EVALSHA of what was run: {reply}")
            reply = client.call("EVALSHA_RO", sha(source).upper(), "1", key)
            demand(reply == key.encode(), f"EVALSHA_RO of what was run: {reply}")
    source = script("#!lua flags=no-writes\nreturn KEYS[1]")
    demand(two.call("EVAL_RO", source, "1", KEYS[0]) == KEYS[0].encode(), "EVAL_RO")
    for key in KEYS:
        reply = one.call("EVALSHA_RO", sha(source), "1", key)
        demand(reply == key.encode(), f"EVALSHA_RO of a reader: {reply}")
    source = script("return #KEYS")
    demand(two.call("EVAL", source, "0") == 0, "EVAL without keys")
    demand(one.call("EVALSHA", sha(source), "0") == 0, "EVALSHA without keys")


def in_pipelines(one, two):
    """What is behind an EVALSHA stays behind it, whether its script has to be looked for or not."""
    for client, other in ((one, two), (two, one)):
        source = script()
        keys = [f"p{next(fresh)}" for _ in range(50)]
        commands = [["EVAL", source, "1", keys[0]]]
        for key in keys:
            commands += [["EVALSHA", sha(source), "1", key], ["GET", key], ["INCR", key]]
        replies = client.pipeline(commands)
        demand(replies[1:] == [2, b"2", 3] + [1, b"1", 2] * 49, f"a pipeline: {replies}")
        commands = []
        for key in keys:
            commands += [["EVALSHA", sha(source), "1", key], ["GET", key]]
        replies = other.pipeline(commands)
        demand(replies[2::2] == [3] * 49 and replies[3::2] == [b"3"] * 49, f"the other's: {replies}")


def in_transactions(one, two):
    for _ in range(3):
        for key in KEYS:
            first, second, third = script(), script(), script()
            one.call("EVAL", first, "1", key)
            two.call("EVAL", second, "1", KEYS[0])
            one.call("DEL", key)
            replies = transaction(
                two, ["EVALSHA", sha(first), "1", key], ["EVALSHA", sha(second), "1", key],
                ["EVAL", third, "1", key], ["EVALSHA", sha(third), "1", key],
                ["EVALSHA", sha(second), "1", key], ["GET", key])
            demand(replies == [1, 2, 3, 4, 5, b"5"], f"EXEC: {replies}")
    known, unknown = script(), script()
    one.call("EVAL", known, "1", "t")
    replies = transaction(two, ["EVALSHA", sha(known), "1", "t"], ["EVALSHA", sha(unknown), "1", "t"],
                          ["EVALSHA", sha(known), "1", "t"])
    demand(replies[0] == 2 and code(replies[1]) == "NOSCRIPT" and replies[2] == 3, f"{replies}")
    sources = [script() for _ in range(150)]
    for number, source in enumerate(sources):
        two.call("EVAL", source, "1", f"n{number}")
    replies = transaction(one, *[["EVALSHA", sha(source), "1", "many"] for source in sources])
    demand(replies == list(range(1, 151)), f"many scripts in one transaction: {replies}")


def on_the_pool(one, two):
    """Longer than the slices of a transaction: it is run by another engine."""
    incr, long = script(), script(LONG + "return redis.call('INCR',KEYS[1])")
    one.call("EVAL", incr, "1", "pool")
    demand(one.call("EVAL", long, "1", "pool") == 2, "a long one")
    demand(one.call("EVALSHA", sha(long), "1", "pool") == 3, "a long one by its SHA-1")
    for client in (one, two):
        client.call("SET", "pool", "0")
        within = script()
        replies = transaction(client, ["EVALSHA", sha(incr), "1", "pool"],
                              *[["EVALSHA", sha(long), "1", "pool"]] * 4,
                              ["EVAL", within, "1", "pool"], ["EVALSHA", sha(incr), "1", "pool"])
        demand(replies == [1, 2, 3, 4, 5, 6, 7], f"a long transaction: {replies}")
        # What was seen only there is known as well.
        demand(client.call("EVALSHA", sha(within), "1", "pool") == 8, "after the pool")


def flushed(one, two):
    ran, loaded = script(), script()
    for client, other in ((one, two), (two, one)):
        client.call("EVAL", ran, "1", KEYS[0])
        client.call("SCRIPT", "LOAD", loaded)
        for key in KEYS:
            for source in (ran, loaded):
                reply = other.call("EVALSHA", sha(source), "1", key)
                demand(code(reply) is None, f"before SCRIPT FLUSH: {reply}")
        demand(client.call("SCRIPT", "FLUSH") == "OK", "SCRIPT FLUSH")
        for each in (one, two):
            demand(each.call("SCRIPT", "EXISTS", sha(ran), sha(loaded)) == [0, 0], "both forgotten")
            for key in KEYS:
                for source in (ran, loaded):
                    reply = each.call("EVALSHA", sha(source), "1", key)
                    demand(code(reply) == "NOSCRIPT", f"after SCRIPT FLUSH: {reply}")
            replies = transaction(each, ["EVALSHA", sha(ran), "1", "f"], ["SET", "f", "1"])
            demand(code(replies[0]) == "NOSCRIPT" and replies[1] == "OK", f"in EXEC: {replies}")
        replies = other.pipeline([["SCRIPT", "FLUSH"], ["EVAL", ran, "1", KEYS[1]],
                                  *[["EVALSHA", sha(ran), "1", key] for key in KEYS]])
        demand(not [r for r in replies if isinstance(r, RespError)], f"known again: {replies}")
        client.call("SCRIPT", "FLUSH")


def under_load(context, cluster):
    """Clients as they are: EVALSHA first, EVAL only once, everything through both routers."""
    sources = [script() for _ in range(20)]
    with cluster.router.client() as client:
        for source in sources:
            client.call("EVAL", source, "1", "load")
    wrong = []

    def work(number):
        random = context.random.__class__(context.seed + number)
        with cluster.routers[number % 2].client(timeout=60) as client:
            for _ in range(100):
                commands = [["EVALSHA", sha(random.choice(sources)), "1", f"load{random.random()}"]
                            for _ in range(random.randrange(1, 8))]
                if random.random() < 0.3:
                    key = f"load{random.random()}"
                    commands = [["MULTI"], *[[*c[:3], key] for c in commands], ["EXEC"]]
                replies = client.pipeline(commands)
                flat = replies[:-1] + (replies[-1] if isinstance(replies[-1], list)
                                       else [replies[-1]])
                wrong.extend(reply for reply in flat if isinstance(reply, RespError))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    demand(not wrong, f"{len(wrong)} errors: {wrong[:3]}")


def after_failures(context, cluster):
    """What EVALSHA found is stored with the shard: another leader and another start know it."""
    source = script()
    with cluster.routers[0].client(timeout=60) as one:
        for key in KEYS:
            one.call("EVAL", source, "1", key)
            demand(code(one.call("EVALSHA", sha(source), "1", key)) is None, "EVALSHA")
    for node in cluster.nodes:
        node.kill()
        cluster.wait_taken_over(node)
        with cluster.routers[1].client(timeout=60) as two:
            for key in KEYS:
                reply = two.call("EVALSHA", sha(source), "1", key)
                demand(code(reply) is None, f"after {node.name} was killed: {reply}")
        node.start()
        cluster.wait_ready()
    context.say("each node was killed once")


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    with cluster.routers[0].client(timeout=60) as one, \
            cluster.routers[1].client(timeout=60) as two:
        for part in (everywhere, in_pipelines, in_transactions, on_the_pool, flushed):
            part(one, two)
            context.say(part.__name__)
    under_load(context, cluster)
    context.say("under_load")
    after_failures(context, cluster)


harness.run(test, limit=200)
