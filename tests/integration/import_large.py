"""Values that are too large for one command come to a cluster by `sherd-admin import` all the same, of all
types, from a file and from a server; nothing else is left behind. Needs redis-server."""

import random

import harness
from cluster import demand
from import_redis import compare, start

LARGE = 36000  # Elements of a kilobyte: more than one command takes.


def fill_large(rng, side):
    script = b"for i = 1, %d do redis.call(%%s) end" % LARGE
    text = b"string.rep(tostring(i), 200):sub(1, 1000)"
    side.run([[b"SELECT", b"0"], [b"SET", b"large string", rng.randbytes(33 << 20)],
              *[[b"RPUSH", b"large list", rng.randbytes(1 << 20)] for _ in range(33)],
              [b"EVAL", script % (b"'ZADD', KEYS[1], i, " + text), b"1", b"large{zset}"],
              [b"EVAL", script % (b"'HSET', KEYS[1], i, " + text), b"1", b"large hash"],
              [b"EVAL", script % (b"'XADD', KEYS[1], i .. '-1', 'f', " + text), b"1", b"large stream"],
              [b"XDEL", b"large stream", b"5-1"],
              [b"XGROUP", b"CREATE", b"large stream", b"group", b"0"],
              [b"XREADGROUP", b"GROUP", b"group", b"consumer", b"COUNT", b"20", b"STREAMS",
               b"large stream", b">"],
              [b"PEXPIRE", b"large hash", b"7200000"]])
    return {(0, b"large string"): "string", (0, b"large list"): "list", (0, b"large{zset}"): "zset",
            (0, b"large hash"): "hash", (0, b"large stream"): "stream"}


def test(context):
    redis, source, target, importer = start(context)
    large = fill_large(random.Random(context.seed), source)
    source.run([[b"SAVE"]])
    for words in (("--from", redis.file), ("--from", f"redis://127.0.0.1:{redis.port}")):
        done = importer.run(0, *words)
        demand(done["done"] == len(large), f"large values: {done}")
        compare(large, source, target, slack=5000)
        demand(target.run([[b"DBSIZE"]])[0] == (b":", b"%d" % len(large)), "something is left behind")
    importer.run(7, "--from", redis.file)


if __name__ == "__main__":
    harness.run(test, limit=280)
