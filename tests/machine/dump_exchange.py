#!/usr/bin/env python3
"""Values from a real redis-server to the machine's runner and back, by DUMP and RESTORE, of all
types, in whatever form Redis keeps them; and changed payloads, which must do no harm.
dump_exchange.py RUNNER [--seeds N] [--first SEED]
Needs redis-server (exit code 77 without it), listens on no port, leaves nothing behind."""

import random
import struct
import sys

import rdb_forms
from differential import Runner, run_seeds, shown

ERRORS = (b"-", b"ERR Bad data format")


def text(rng, longest):
    kind = rng.randrange(6)
    if kind < 2:
        bits = rng.choice([4, 7, 8, 13, 15, 16, 23, 24, 31, 32, 62, 63])
        return b"%d" % rng.randrange(-(1 << bits), 1 << bits)
    if kind == 2:
        return bytes([rng.randrange(256)]) * rng.choice([0, 1, 30, 70, 300, longest])
    if kind == 3:
        return rng.choice([b"", b"007", b"-0", b"9223372036854775808", b"1.5", b"a"])
    return bytes(rng.randrange(256) for _ in range(rng.choice([1, 5, 62, 63, 64, 65, 126, 127, 200])))


def count(rng):
    return rng.choice([1, 2, 5, 30, 127, 128, 129, 300, 700])


def texts(rng):
    longest = rng.choice([10, 64, 4095, 4096, 16383, 16384, 20000])
    return list(dict.fromkeys(text(rng, longest) for _ in range(count(rng))))


def chunks(words, size):
    return [words[i:i + size] for i in range(0, len(words), size)]


def fill_stream(rng, key):
    out, ids, now = [], [], rng.choice([1, 1700000000000])
    shared = [b"f%d" % i for i in range(rng.randrange(1, 4))]
    for _ in range(rng.choice([0, 1, 5, 99, 100, 101, 250])):
        fields = shared if rng.randrange(4) else [text(rng, 100) for _ in range(rng.randrange(1, 5))]
        now += rng.choice([0, 1, 3, 70000])
        ids.append(b"%d-%d" % (now, len(ids) + 1))
        out.append([b"XADD", key, ids[-1]] + [w for f in fields for w in (f, text(rng, 5000))])
    if not ids:
        out += [[b"XADD", key, b"5-5", b"a", b"b"], [b"XDEL", key, b"5-5"]]
    gone = rng.sample(ids, rng.randrange(len(ids) // 3 + 1))
    out += [[b"XDEL", key] + gone] if gone else []
    if rng.randrange(3) == 0:
        out.append([b"XTRIM", key, b"MAXLEN", b"~", b"%d" % rng.randrange(200)])
    for group in [text(rng, 100) for _ in range(rng.randrange(4))]:
        out.append([b"XGROUP", b"CREATE", key, group, rng.choice([b"0", b"$"] + ids)])
        for consumer in [b"c%d" % i for i in range(rng.randrange(4))]:
            out.append([b"XREADGROUP", b"GROUP", group, consumer, b"COUNT", b"%d" % rng.randrange(1, 60),
                        b"STREAMS", key, b">"])
        out.append([b"XACK", key, group] + (gone or [b"1-1"]))
    if rng.randrange(3) == 0:
        out.append([b"XSETID", key, b"9999999999999-1"])
    return out


def fill(rng, key, kind):
    if kind == "string":
        return [[b"SET", key, rng.choice([text(rng, 20000), bytes(rng.randrange(256) for _ in range(70)),
                                          b"ab" * 40000, b"x" * 300000])]]
    words = texts(rng)
    if kind == "intset":
        bits = rng.choice([8, 15, 16, 31, 32, 63])
        words = [b"%d" % rng.randrange(-(1 << bits), 1 << bits) for _ in range(count(rng))]
        return [[b"SADD", key] + words]
    if kind == "list":
        return [[b"RPUSH", key] + part for part in chunks(words * rng.choice([1, 3]), 100)]
    if kind == "set":
        return [[b"SADD", key] + part for part in chunks(words, 100)]
    if kind == "hash":
        return [[b"HSET", key] + [w for f in part for w in (f, text(rng, 100))]
                for part in chunks(words, 50)]
    if kind == "zset":
        scores = [b"0", b"inf", b"-inf", b"1.5", b"3", b"-17", b"1e300", b"0.1", b"123456789012"]
        return [[b"ZADD", key] + [w for m in part for w in (rng.choice(scores), m)]
                for part in chunks(words, 50)]
    return fill_stream(rng, key)


KINDS = ["string", "intset", "list", "set", "hash", "zset", "stream"]
LOOKS = {
    "string": [[b"GET"], [b"OBJECT", b"ENCODING"]],
    "list": [[b"LRANGE", 0, b"0", b"-1"]],
    "set": [[b"SMEMBERS"]],
    "hash": [[b"HGETALL"]],
    "zset": [[b"ZRANGE", 0, b"0", b"-1", b"WITHSCORES"], [b"OBJECT", b"ENCODING"]],
    "stream": [[b"XRANGE", 0, b"-", b"+"], [b"XINFO", b"STREAM"], [b"XINFO", b"GROUPS"]],
}
# What is not of the value, or not the same in both: the shape of a tree, idle times.
PASSED = {b"radix-tree-keys", b"radix-tree-nodes", b"idle"}


def without(value):
    if not isinstance(value, list):
        return value
    value = [without(item) for item in value]
    for name in PASSED & {item for item in value if isinstance(item, bytes)}:
        at = value.index(name)
        if at % 2 == 0 and at + 1 < len(value):
            value[at + 1] = None
    return value


def look(side, key, kind):
    commands = []
    for words in LOOKS["set" if kind == "intset" else kind]:
        place = words.index(0) if 0 in words else len(words)
        commands.append(words[:place] + [key] + words[place + 1:])
    replies = [without(reply) for reply in side.run(commands + [[b"TYPE", key]])]
    if kind in ("set", "intset"):
        replies[0] = sorted(replies[0])
    if kind == "zset":  # A zero has no sign here.
        replies[0][1::2] = [b"0" if score == b"-0" else score for score in replies[0][1::2]]
    if kind == "hash":
        flat = replies[0]
        replies[0] = sorted(zip(flat[0::2], flat[1::2]))
    if kind == "stream":
        groups = replies[2] if isinstance(replies[2], list) else []
        names = [group[1] for group in groups]
        pending = side.run([[b"XPENDING", key, name, b"-", b"+", b"10000"] for name in names])
        replies.append([[row[0:2] + row[3:] for row in rows] for rows in pending])
        consumers = side.run([[b"XINFO", b"CONSUMERS", key, name] for name in names])
        replies.append(without(consumers))
    return replies


def settings(rng):
    return [[b"CONFIG", b"SET", name, rng.choice(values)] for name, values in (
        (b"rdbcompression", [b"yes", b"no"]),
        (b"hash-max-listpack-entries", [b"0", b"128", b"100000"]),
        (b"hash-max-listpack-value", [b"64", b"100000"]),
        (b"zset-max-listpack-entries", [b"0", b"128", b"100000"]),
        (b"zset-max-listpack-value", [b"64", b"100000"]),
        (b"set-max-intset-entries", [b"0", b"512", b"100000"]),
        (b"list-max-listpack-size", [b"-1", b"-2", b"5", b"1000"]),
        (b"list-compress-depth", [b"0", b"2"]),
        (b"stream-node-max-entries", [b"3", b"100"]))]


class Fault(Exception):
    pass


def expect(what, wanted, got):
    if wanted != got:
        raise Fault("%s\n  wanted %s\n  got    %s" % (what, shown(wanted), shown(got)))


def carry(source, target, kind, what):
    """The value of k at the source to the target, where nothing is."""
    payload = source.run([[b"DUMP", b"k"]])[0]
    expect(what + ": DUMP", True, isinstance(payload, bytes))
    reply = target.run([[b"RESTORE", b"k", b"0", payload, b"REPLACE"]])[0]
    expect(what + ": RESTORE", (b"+", b"OK"), reply)
    expect(what + ": value", look(source, b"k", kind)[:-1], look(target, b"k", kind)[:-1])
    return payload


def exchange(rng, redis, runner, kind):
    # Encodings by Redis' defaults are the same; others are its own affair.
    redis.run(settings(rng) if kind not in ("zset", "string") else [])
    commands = fill(rng, b"k", kind)
    redis.run([[b"DEL", b"k"]] + commands)
    payload = carry(redis, runner, kind, "%s from Redis" % kind)
    back = carry(runner, redis, kind, "%s to Redis" % kind)
    runner.run([[b"DEL", b"k"]])
    carry(redis, runner, kind, "%s from Redis again" % kind)
    redis.run([[b"DEL", b"k"]])
    runner.run([[b"DEL", b"k"]] + commands)
    carry(runner, redis, kind, "%s of commands to Redis" % kind)
    return [payload, back]


def old_forms(rng, redis, runner):
    words = texts(rng)
    short = [word[:250] for word in words][:200]
    pairs = list({word: text(rng, 300) for word in short}.items())
    scores = [rng.choice([1.0, -2.5, 3e10, float("inf"), 0.0]) for _ in words]
    scored = [w for s, m in sorted(zip(scores, words))
              for w in (m, repr(s).encode().replace(b".0", b""))]
    forms = [
        ("list", rdb_forms.LIST_ZIPLIST, rdb_forms.string(rdb_forms.ziplist(words))),
        ("list", rdb_forms.LIST_QUICKLIST, rdb_forms.length(2) +
         rdb_forms.string(rdb_forms.ziplist(words)) + rdb_forms.string(rdb_forms.ziplist(words[:3]))),
        ("hash", rdb_forms.HASH_ZIPLIST, rdb_forms.string(
            rdb_forms.ziplist([w for pair in pairs for w in pair]))),
        ("hash", rdb_forms.HASH_ZIPMAP, rdb_forms.string(rdb_forms.zipmap(pairs, rng))),
        ("zset", rdb_forms.ZSET_ZIPLIST, rdb_forms.string(rdb_forms.ziplist(scored))),
        ("zset", rdb_forms.ZSET, rdb_forms.length(len(words)) + b"".join(
            rdb_forms.string(m) + rdb_forms.old_score(s) for m, s in zip(words, scores))),
    ]
    out = []
    for kind, number, value in forms:
        payload = rdb_forms.seal(bytes([number]) + value, rng.choice([6, 9, 10]))
        restore = [b"RESTORE", b"k", b"0", payload, b"REPLACE"]
        theirs, mine = redis.run([restore])[0], runner.run([restore])[0]
        expect("RESTORE of type %d" % number, theirs, mine)
        if theirs == (b"+", b"OK"):
            expect("type %d" % number, look(redis, b"k", kind)[:1], look(runner, b"k", kind)[:1])
        out.append(payload)
    return out


def damage(rng, payload):
    value = bytearray(payload[:-10])
    for _ in range(rng.choice([1, 1, 2, 5])):
        at = rng.randrange(min(len(value), rng.choice([4, 40, len(value)])))
        way = rng.randrange(4)
        if way == 0:
            value[at] ^= 1 << rng.randrange(8)
        elif way == 1:
            value[at] = rng.choice([0, 1, 0x7F, 0x80, 0x81, 0xC3, 0xFE, 0xFF])
        elif way == 2:
            del value[at:at + rng.choice([1, 2, 100])]
        else:
            value[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 4])))
        value = value or bytearray(b"\0")
    return rdb_forms.seal(bytes(value))


def survive(rng, redis, runner, payload):
    """What is taken of a changed payload is a value like any other: Redis takes it too."""
    if len(payload) > 100000:
        return
    changed = damage(rng, payload)
    runner.run([[b"DEL", b"k"]])
    reply = runner.run([[b"RESTORE", b"k", b"0", changed]])[0]
    if reply != (b"+", b"OK"):
        expect("RESTORE of a changed payload", True, reply[0] == b"-" and reply[1].startswith(b"ERR "))
        expect("nothing was made of it", (b":", b"0"), runner.run([[b"EXISTS", b"k"]])[0])
        return
    kind = runner.run([[b"TYPE", b"k"]])[0][1].decode()
    carry(runner, redis, kind, "of a changed payload")


def refusals(rng, redis, runner, payload):
    wrong = payload[:-1] + bytes([payload[-1] ^ 1])
    newer = rdb_forms.seal(payload[:-10], 12)
    tail = [[b"REPLACE"], [], [b"ABSTTL"], [b"IDLETIME", b"5"], [b"FREQ", b"7"], [b"IDLETIME"],
            [b"FREQ", b"256"], [b"FREQ", b"-1"], [b"IDLETIME", b"-1"], [b"FREQ", b"x"], [b"NOPE"],
            [b"FREQ", b"1", b"IDLETIME", b"1"], [b"replace", b"absttl"], [b"REPLACE", b"REPLACE"]]
    times = [b"0", b"1", b"100000", b"-1", b"x", b"", b"%d" % (2000000000000)]
    for key in (b"there", b"gone"):
        for data in (payload, wrong, newer, b"", b"123456789", rdb_forms.seal(b""),
                     rdb_forms.seal(b"\x06\0"), rdb_forms.seal(b"\x63\0"), rdb_forms.seal(b"\0\x3fab"),
                     rdb_forms.seal(b"\1\0"), rdb_forms.seal(b"\2\0"), rdb_forms.seal(b"\4\0")):
            command = [b"RESTORE", key, rng.choice(times), data] + rng.choice(tail)
            both = [[b"SET", b"there", b"1"], [b"DEL", b"gone"], command, [b"EXISTS", key],
                    [b"PEXPIRETIME", key] if b"ABSTTL" in command or b"absttl" in command
                    else [b"PTTL", key]]
            theirs, mine = redis.run(both), runner.run(both)
            # A time of a millisecond may or may not be over.
            if command[2] != b"1":
                expect(repr(command[:3] + command[4:]), theirs[2:4], mine[2:4])
                span = abs(int(theirs[4][1]) - int(mine[4][1]))
                expect("time to live", True, span < 3000)


def play(seed, _, redis, program, folder):
    rng = random.Random(seed)
    redis.run([[b"CONFIG", b"SET", b"sanitize-dump-payload", b"yes"]])
    runner = Runner(program, folder, rng.choice([1, 7]))
    try:
        redis.run([[b"FLUSHALL"]])
        payloads = []
        defaults = [[b"CONFIG", b"SET", b"zset-max-listpack-entries", b"128"],
                    [b"CONFIG", b"SET", b"zset-max-listpack-value", b"64"]]
        for kind in KINDS:
            redis.run(defaults if kind == "zset" else [])
            payloads += exchange(rng, redis, runner, kind)
        payloads += old_forms(rng, redis, runner)
        refusals(rng, redis, runner, payloads[0])
        redis.run(defaults)
        for payload in payloads:
            for _ in range(10):
                survive(rng, redis, runner, payload)
    except Fault as fault:
        print("seed %d: %s" % (seed, fault))
        runner.stop()
        return False
    except (EOFError, OSError, struct.error) as error:
        print("seed %d: %r" % (seed, error))
        return False
    return runner.stop() == 0


if __name__ == "__main__":
    sys.exit(run_seeds(play, 5, 1))
