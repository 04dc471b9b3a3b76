#!/usr/bin/env python3
"""Seeded random commands on streams and groups to a real redis-server and to the machine's runner;
replies must be the same, but for times of delivery, which may be seconds apart.
differential_stream.py RUNNER [--seeds N] [--first SEED] [--length N]"""

import random
import sys

import differential

FAR = 9999999999999  # "*" behind it follows the last id, not the clock.
SLACK_MS = 60000


class Generator:
    """Streams of a few dozen small ids, and some of thousands of entries."""

    def __init__(self, rng):
        self.rng = rng
        self.keys = [b"s%d" % i for i in range(4)]
        self.top = {}
        self.big = 1
        self.holes = False  # In big; then a node of Redis may end with an id that is gone.

    def pick(self, *choices):
        return self.rng.choice(choices)

    def key(self):
        return self.rng.choice(self.keys) if self.rng.randrange(40) else self.pick(
            b"none", b"string", b"", b"with\r\nlines")

    def read_key(self):
        return self.key() if self.rng.randrange(10) else b"far"

    def case(self, word):
        return self.pick(word, word.lower(), word.title())

    def small(self):
        return self.rng.randrange(1, 9)

    def id(self):
        rng = self.rng
        kind = rng.randrange(16)
        if kind == 0:
            return self.pick(b"0", b"0-0", b"1", b"3", b"5-", b"-5", b"5-1-1", b"x", b"5-x", b"",
                             b"18446744073709551615-18446744073709551615", b"18446744073709551615",
                             b"18446744073709551616", b"5-*", b"+", b"-", b"$", b">", b" 5",
                             b"05-01", b"+5", b"1--1", b"9" * 130, b"5\x00x", b"(5")
        if kind <= 3:
            return b"%d" % self.small()
        if kind <= 6:
            return b"%d-%d" % (FAR, rng.randrange(40))
        return b"%d-%d" % (self.small(), rng.randrange(6))

    def new_id(self, key):
        """Mostly the next one."""
        rng = self.rng
        kind = rng.randrange(12)
        if kind <= 1:
            return self.id()
        if kind == 2:
            return b"%d-*" % self.pick(FAR, FAR, self.small())
        at = self.top.get(key, (1, 0))
        at = (at[0] + 1, 0) if rng.randrange(4) == 0 else (at[0], at[1] + 1)
        self.top[key] = at
        return b"%d-%d" % at

    def end(self):
        kind = self.rng.randrange(4)
        if kind == 0:
            return self.pick(b"-", b"+")
        return (b"(" if kind == 1 and self.rng.randrange(2) else b"") + self.id()

    def number(self):
        return self.pick(b"0", b"1", b"1", b"2", b"3", b"5", b"10", b"100", b"-1", b"x", b"",
                         b"9223372036854775807", b"9223372036854775808")

    def trim(self):
        rng = self.rng
        name = self.case(self.pick(b"MAXLEN", b"MINID"))
        sign = rng.choice([[], [b"="], [b"="], [b"~"], []])
        value = self.number() if name.upper() == b"MAXLEN" or rng.randrange(20) == 0 else self.id()
        limit = [self.case(b"LIMIT"), self.number()] if rng.randrange(5) == 0 else []
        if limit and rng.randrange(3):
            sign = [b"~"]
        if sign == [b"~"] and name.upper() == b"MINID" and value not in (b"x", b""):
            sign = [b"="]  # Redis keeps nodes for entries in them that XDEL removed.
        return [name] + sign + [value] + limit

    def fields(self):
        count = self.rng.choice([1, 1, 1, 2, 3])
        out = []
        for i in range(count):
            out += [b"f%d" % i, self.pick(b"", b"v", b"12", b"\x00\xff\r\n", b"value " * 4)]
        return out

    def count_option(self):
        return [self.case(b"COUNT"), self.number()] if self.rng.randrange(2) else []

    def xadd(self):
        rng = self.rng
        key = self.key()
        options = []
        if rng.randrange(12) == 0:
            return [b"far", b"*"] + self.fields()
        if rng.randrange(6) == 0:
            options.append(self.case(b"NOMKSTREAM"))
        if rng.randrange(5) == 0:
            options += self.trim()
        if rng.randrange(60) == 0:
            options += self.trim()
        return [key] + options + [self.new_id(key)] + self.fields()

    def xread(self):
        rng = self.rng
        count = rng.choice([1, 1, 2, 3])
        options = self.count_option()
        if rng.randrange(20) == 0:
            options += rng.choice([[b"BLOCK", b"x"], [b"BLOCK", b"-1"], [b"NOACK"], [b"NOPE"],
                                   [b"GROUP", b"a", b"b"], [b"COUNT", b"1"]])
        ids = [b"$" if rng.randrange(10) == 0 else self.id() for _ in range(count)]
        return options + [self.case(b"STREAMS")] + [self.key() for _ in range(count)] + ids

    def xsetid(self):
        options = []
        if self.rng.randrange(2):
            options += [self.case(b"ENTRIESADDED"), self.number()]
        if self.rng.randrange(2):
            options += [self.case(b"MAXDELETEDID"), self.id()]
        return [self.key(), self.id()] + options

    def group(self):
        return self.pick(b"g", b"g", b"g", b"h", b"streams", b"none", b"a\r\nb")

    def consumer(self):
        return self.pick(b"a", b"b", b"c", b"", b"streams")

    def idle(self):
        """Nothing is idle for an hour but what was claimed to be."""
        return self.pick(b"0", b"0", b"0", b"3600000", b"-1", b"x")

    def xgroup(self):
        rng = self.rng
        sub = self.pick(b"CREATE", b"CREATE", b"CREATE", b"SETID", b"DESTROY", b"CREATECONSUMER",
                        b"DELCONSUMER", b"HELP", b"NOPE")
        if sub == b"HELP":
            return [self.case(sub)] + rng.choice([[], [b"x"]])
        args = [self.case(sub), self.key(), self.group()]
        if sub in (b"CREATE", b"SETID"):
            args.append(self.pick(b"0", b"0", b"$", b"$", self.id()))
            if sub == b"CREATE" and rng.randrange(3) == 0:
                args.append(self.case(b"MKSTREAM"))
            if rng.randrange(3) == 0:
                args += [self.case(b"ENTRIESREAD"), self.number()]
            if rng.randrange(10) == 0:
                args.append(self.pick(b"MKSTREAM", b"ENTRIESREAD", b"NOPE"))
        elif sub in (b"CREATECONSUMER", b"DELCONSUMER"):
            args.append(self.consumer())
        return args

    def xreadgroup(self):
        rng = self.rng
        count = rng.choice([1, 1, 1, 2])
        options = [self.case(b"GROUP"), self.group(), self.consumer()] + self.count_option()
        if rng.randrange(5) == 0:
            options.append(self.case(b"NOACK"))
        if rng.randrange(20) == 0:
            options += rng.choice([[b"BLOCK", b"x"], [b"BLOCK", b"-1"], [b"NOPE"], [b"COUNT"]])
        if rng.randrange(30) == 0:
            options = options[3:]
        ids = [self.pick(b">", b">", b">", b">", b"0", self.id()) for _ in range(count)]
        return options + [self.case(b"STREAMS")] + [self.key() for _ in range(count)] + ids

    def xpending(self):
        rng = self.rng
        args = [self.key(), self.group()]
        if rng.randrange(3) == 0:
            return args
        if rng.randrange(4) == 0:
            args += [self.case(b"IDLE"), self.idle()]
        args += [self.pick(b"-", self.end()), self.pick(b"+", self.end()), self.number()]
        if rng.randrange(3) == 0:
            args.append(self.consumer())
        return args

    def xclaim(self):
        rng = self.rng
        args = [self.key(), self.group(), self.consumer(), self.idle()]
        args += [self.id() for _ in range(rng.choice([1, 1, 2, 5]))]
        for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
            args += rng.choice([[b"FORCE"], [b"FORCE"], [b"JUSTID"], [b"IDLE", b"7200000"],
                                [b"IDLE", b"-1"], [b"TIME", b"1000000"], [b"TIME", b"x"],
                                [b"IDLE", b"x"], [b"RETRYCOUNT", self.number()],
                                [b"LASTID", self.id()], [b"NOPE"], [b"TIME"], [b"TIME", b"-1"]])
        return args

    def xautoclaim(self):
        rng = self.rng
        args = [self.key(), self.group(), self.consumer(), self.idle(),
                self.pick(b"-", b"0", self.end())]
        if rng.randrange(2):
            args += [self.case(b"COUNT"), self.number()]
        if rng.randrange(3) == 0:
            args.append(self.case(b"JUSTID"))
        if rng.randrange(30) == 0:
            args.append(b"NOPE")
        return args

    def xinfo(self):
        rng = self.rng
        sub = self.pick(b"STREAM", b"STREAM", b"GROUPS", b"CONSUMERS", b"HELP", b"NOPE")
        if sub == b"HELP":
            return [self.case(sub)] + rng.choice([[], [b"x"]])
        args = [self.case(sub), self.key()]
        if sub == b"STREAM":
            args += rng.choice([[], [b"FULL"], [b"full", b"COUNT", self.number()], [b"NOPE"],
                                [b"FULL", b"COUNT"], [b"FULL", b"NOPE", b"1"]])
        elif sub == b"CONSUMERS":
            args.append(self.group())
        return args

    def big_id(self):
        return b"%d" % self.rng.randrange(self.big + 20)

    def big_commands(self):
        """Many entries, so that there are several segments, and what takes them away again."""
        rng = self.rng
        kind = rng.randrange(12)
        if kind <= 3:
            out = []
            for _ in range(rng.choice([10, 99, 100, 101, 350])):
                self.big += rng.choice([1, 1, 1, 2, 10])
                out.append([b"XADD", b"big", b"%d" % self.big, b"f", b"v"])
            return out
        sign = self.pick(b"=", b"~", b"~")
        if kind == 4:
            name, value = b"MAXLEN", b"%d" % rng.randrange(600)
            if rng.randrange(2) and not (sign == b"~" and self.holes):
                name, value = b"MINID", self.big_id()
            command = [b"XTRIM", b"big", name, sign, value]
            if sign == b"~" and rng.randrange(2):
                command += [b"LIMIT", self.pick(b"0", b"99", b"100", b"101", b"250")]
            return [command]
        if kind == 5:
            first = rng.randrange(self.big + 1)
            self.holes = True
            return [[b"XDEL", b"big"] + [b"%d" % i for i in range(first, first + rng.randrange(150))]
                    + [self.big_id()]]
        if kind == 6:
            self.big += 1
            return [[b"XADD", b"big", b"MAXLEN", sign, b"%d" % rng.randrange(800), b"%d" % self.big,
                     b"f", b"v"]]
        if kind == 7:
            if rng.randrange(4):
                return [[b"XINFO", b"STREAM", b"big"]]
            self.holes = False
            return [[b"DEL", b"big"]]
        if kind == 8 and rng.randrange(2):
            return [[b"XGROUP", b"CREATE", b"big", b"g", b"0"],
                    [b"XREADGROUP", b"GROUP", b"g", self.consumer(), b"COUNT", b"%d" % rng.choice(
                        [1, 50, 200]), b"STREAMS", b"big", b">"],
                    [b"XACK", b"big", b"g"] + [self.big_id() for _ in range(rng.randrange(1, 300))],
                    [b"XPENDING", b"big", b"g"], [b"XPENDING", b"big", b"g", b"-", b"+", b"5"],
                    [b"XAUTOCLAIM", b"big", b"g", self.consumer(), b"0", self.big_id(), b"COUNT",
                     b"%d" % rng.randrange(1, 200), b"JUSTID"],
                    [b"XREADGROUP", b"GROUP", b"g", self.consumer(), b"COUNT", b"3", b"STREAMS",
                     b"big", self.big_id()], [b"XINFO", b"GROUPS", b"big"]]
        if kind == 8:
            return [[b"COPY", b"big", b"copy", b"REPLACE"], [b"RENAME", b"copy", b"big"]]
        return [[b"XLEN", b"big"], [b"XRANGE", b"big", b"-", b"+", b"COUNT", b"3"],
                [b"XREVRANGE", b"big", b"+", b"-", b"COUNT", b"3"],
                [b"XRANGE", b"big", self.big_id(), self.big_id()]]

    def commands(self):
        if self.rng.randrange(8) == 0:
            return self.big_commands()
        return [self.command() for _ in range(self.rng.randrange(1, 40))]

    def command(self):
        rng = self.rng
        name = rng.choice(COMMANDS)
        if name == b"XADD":
            args = self.xadd()
        elif name in (b"XRANGE", b"XREVRANGE"):
            args = [self.read_key(), self.end(), self.end()] + self.count_option()
            if rng.randrange(2):
                args[1:3] = [b"-", b"+"] if name == b"XRANGE" else [b"+", b"-"]
        elif name == b"XREAD":
            args = self.xread()
        elif name == b"XDEL":
            args = [self.key()] + [self.id() for _ in range(rng.choice([1, 1, 2, 5]))]
        elif name == b"XTRIM":
            args = [self.key()] + self.trim()
        elif name in (b"XGROUP", b"XREADGROUP", b"XPENDING", b"XCLAIM", b"XAUTOCLAIM", b"XINFO"):
            args = getattr(self, name.decode().lower())()
        elif name == b"XACK":
            args = [self.key(), self.group()]
            args += [self.id() for _ in range(rng.choice([1, 2, 5, 10]))]
        elif name == b"XSETID":
            args = self.xsetid()
        elif name == b"COPY":
            args = [self.key(), self.key(), b"REPLACE"]
        elif name in (b"DEL", b"XLEN", b"TYPE"):
            args = [self.key()]
        elif name == b"RENAME":
            args = [self.key(), self.key()]
        else:
            args = []
        if rng.randrange(60) == 0:
            args = args[:rng.randrange(len(args) + 1)]
        return [self.case(name)] + args


COMMANDS = [name.encode() for name in (
    "XADD XADD XADD XADD XADD XADD XLEN XRANGE XRANGE XREVRANGE XREAD XREAD XDEL XDEL XTRIM "
    "XSETID DEL COPY RENAME TYPE XGROUP XGROUP XGROUP XREADGROUP XREADGROUP XREADGROUP XREADGROUP "
    "XACK XACK XPENDING XPENDING XCLAIM XCLAIM XAUTOCLAIM XINFO XINFO XINFO").split()]


def number(value):
    return int(value[1]) if isinstance(value, tuple) and value[0] == b":" else None


def without_idle(command, value):
    """Idle times go with the clock: what is seconds is the same, hours are another time."""
    if not isinstance(value, list) or command[0].upper() not in (b"XPENDING", b"XINFO"):
        return value
    out = []
    for item in value:
        if isinstance(item, list) and item[4:5] == [b"idle"]:
            item = item[:5] + [b"hours" if number(item[5]) > SLACK_MS else b"seconds"]
        elif isinstance(item, list) and len(item) == 4 and number(item[2]) is not None:
            hours = b"hours" if number(item[2]) > SLACK_MS else b"seconds"
            item = item[:2] + [hours] + item[3:]
        out.append(item)
    return out


def alike(a, b):
    """The same, or times that are near each other."""
    if isinstance(a, list) and isinstance(b, list):
        if a[2:3] == [b"radix-tree-keys"]:  # The nodes of the tree are what they are in Redis.
            a, b = a[:3] + a[6:], b[:3] + b[6:]
        return len(a) == len(b) and all(alike(x, y) for x, y in zip(a, b))
    x, y = number(a), number(b)
    if x is not None and y is not None and x > 1000 and y > 1000:
        return abs(x - y) <= SLACK_MS
    return a == b


def play(seed, length, redis, program, folder):
    rng = random.Random(seed)
    generator = Generator(rng)
    runner = differential.Runner(program, folder, rng.choice([1, 2, 7, 50]))
    redis.run([[b"FLUSHALL"]])
    history, failed, done = [], None, 0
    setup = [[b"SET", b"string", b"v"], [b"XADD", b"far", b"%d-1" % FAR, b"f", b"v"]]
    runner.run(setup)
    redis.run(setup)
    while done < length and failed is None:
        batch = generator.commands()
        for command, theirs, mine in zip(batch, redis.run(batch), runner.run(batch)):
            history.append(command)
            if not alike(without_idle(command, theirs), without_idle(command, mine)):
                failed = (command, theirs, mine)
                break
        done += len(batch)
        if rng.randrange(6) == 0:
            runner.control(b"#reopen")
    code = runner.stop()
    if failed is not None:
        print("seed %d, command %s\n  redis: %s\n  ours:  %s" % ((seed,) + tuple(
            differential.shown(part) for part in failed)))
        key = [part for part in failed[0] if part in generator.keys]
        for before in [c for c in history if any(k in c for k in key)][-30:]:
            print("    after %s" % differential.shown(before))
    if code != 0:
        print("seed %d: the runner ended with %d" % (seed, code))
    return failed is None and code == 0


if __name__ == "__main__":
    sys.exit(differential.run_seeds(play, 10, 1000))
