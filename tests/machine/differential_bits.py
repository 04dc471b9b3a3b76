#!/usr/bin/env python3
"""Seeded random commands on bits and HyperLogLogs to a real redis-server and to the machine's runner;
every reply must be the same to the byte.
differential_bits.py RUNNER [--seeds N] [--first SEED] [--length N]"""

import random
import sys

import differential

LARGE = 700 * 1024  # Bytes; more than one chunk.


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.keys = [b"s%d" % i for i in range(4)]
        self.hlls = [b"h%d" % i for i in range(4)]

    def pick(self, *choices):
        return self.rng.choice(choices)

    def key(self):
        return self.rng.choice(self.keys) if self.rng.randrange(12) else self.pick(
            b"none", b"stream")

    def hll(self):
        return self.rng.choice(self.hlls) if self.rng.randrange(20) else self.pick(
            b"stream", b"number", b"text", b"broken", b"broken")

    def broken(self):
        """What begins as a HyperLogLog and goes on as it likes."""
        rng = self.rng
        runs = bytes(rng.randrange(256) for _ in range(rng.choice([0, 1, 2, 10, 200])))
        runs += rng.choice([b"\x00", b"\x7f\xff", b"\x7f\xff" * 3, b"\x00" * 40])
        return b"HYLL" + self.pick(b"\x00", b"\x01", b"\x01", b"\x01", b"\x02") + b"\x00" * (
            10 if rng.randrange(9) else 9) + b"\x80" + runs

    def case(self, word):
        return self.pick(word, word.lower(), word.title())

    def value(self):
        rng = self.rng
        if rng.randrange(200) == 0:
            return bytes(rng.randrange(256) for _ in range(16)) * (rng.choice(
                [262144, 262160, 700000]) // 16)
        if rng.randrange(5) == 0:
            return self.pick(b"", b"12", b"-5", b"HYLL", b"abc")
        return bytes(rng.randrange(256) for _ in range(rng.choice([1, 3, 8, 9, 31, 32, 33, 100])))

    def type(self):
        rng = self.rng
        if rng.randrange(30) == 0:
            return self.pick(b"u64", b"i65", b"u0", b"i0", b"x8", b"u", b"", b"I8", b"i-1", b"i08")
        return self.pick(b"i%d" % rng.randrange(1, 65), b"u%d" % rng.randrange(1, 64), b"i8",
                         b"u8", b"u1", b"i64", b"u63", b"i1")

    def offset(self):
        rng = self.rng
        if rng.randrange(30) == 0:
            return self.pick(b"-1", b"x", b"", b"#", b"#-1", b"#x", b"4294967296",
                             b"9223372036854775807", b"#9223372036854775807", b"01")
        if rng.randrange(300) == 0:
            return b"%d" % rng.randrange(LARGE * 8)
        return self.pick(b"%d" % rng.randrange(100), b"%d" % rng.randrange(300), b"0",
                         b"#%d" % rng.randrange(6))

    def integer(self):
        rng = self.rng
        return self.pick(b"0", b"1", b"-1", b"%d" % rng.randrange(-200, 200), b"127", b"128",
                         b"-128", b"-129", b"255", b"256", b"9223372036854775807",
                         b"-9223372036854775808", b"%d" % rng.randrange(-2**63, 2**63),
                         b"9223372036854775808" if rng.randrange(5) == 0 else b"7")

    def bitfield(self, only_get):
        rng = self.rng
        args = [self.key()]
        for _ in range(rng.choice([0, 1, 1, 2, 3, 6])):
            kind = self.pick(b"GET", b"SET", b"INCRBY", b"INCRBY", b"OVERFLOW", b"OVERFLOW")
            if only_get and rng.randrange(10):
                kind = b"GET"
            if kind == b"OVERFLOW":
                args += [self.case(kind), self.case(self.pick(b"WRAP", b"SAT", b"FAIL", b"FAIL",
                                                              b"NOPE" if rng.randrange(10) == 0
                                                              else b"SAT"))]
                continue
            args += [self.case(kind), self.type(), self.offset()]
            if kind != b"GET":
                args.append(self.integer())
        return args

    def element(self):
        rng = self.rng
        return self.pick(b"", b"a", b"%d" % rng.randrange(100), b"element-%d" % rng.randrange(10**6),
                         bytes(rng.randrange(256) for _ in range(rng.randrange(40))))

    def pfadd(self):
        rng = self.rng
        count = rng.choice([0, 1, 1, 2, 10, 100] + ([3000] if rng.randrange(10) == 0 else []))
        key = self.hll()
        # Redis keeps what it did until it met the error.
        return [key] + [self.element() for _ in range(min(count, 1) if key == b"broken" else count)]

    def command(self):
        rng = self.rng
        name = rng.choice(COMMANDS)
        if name == b"BITFIELD":
            args = self.bitfield(False)
        elif name == b"BITFIELD_RO":
            args = self.bitfield(True)
        elif name == b"BITOP":
            args = [self.case(self.pick(b"AND", b"OR", b"XOR", b"NOT", b"NOPE" if rng.randrange(
                10) == 0 else b"AND")), self.key()]
            args += [self.key() for _ in range(rng.choice([1, 1, 2, 3, 20]))]
        elif name == b"SET":
            args = [self.key(), self.value()] + rng.choice([[], [], [b"EX", b"1000"]])
            if rng.randrange(6) == 0:
                args = [b"broken", self.broken()]
        elif name == b"PFADD":
            args = self.pfadd()
        elif name in (b"PFCOUNT", b"PFMERGE"):
            args = [self.hll() for _ in range(rng.choice([1, 1, 1, 2, 3]))]
            args[0] = self.pick(*self.hlls) if name == b"PFMERGE" else args[0]
        elif name == b"COPY":
            args = [self.pick(*self.hlls), self.pick(*self.hlls), b"REPLACE"]
        elif name == b"OBJECT":
            args = [b"ENCODING", self.key()]
        elif name == b"TTL":
            args = [self.key()]
        else:
            args = [self.pick(*self.keys, *self.hlls)]
        if rng.randrange(80) == 0:
            args = args[:rng.randrange(len(args) + 1)]
        return [self.case(name)] + args


COMMANDS = [name.encode() for name in (
    "BITFIELD BITFIELD BITFIELD BITFIELD BITFIELD_RO BITOP BITOP BITOP SET SET SET GET STRLEN DEL "
    "PFADD PFADD PFADD PFADD PFADD PFADD PFCOUNT PFCOUNT PFCOUNT PFMERGE COPY OBJECT TTL").split()]
HEADER = 16


def shape(value):
    """A HyperLogLog without the count that PFCOUNT keeps in it, which is Redis' way to save time."""
    if isinstance(value, bytes) and value[:4] == b"HYLL" and len(value) >= HEADER:
        return value[:8] + value[HEADER:]
    return value


def play(seed, length, redis, program, folder):
    rng = random.Random(seed)
    generator = Generator(rng)
    runner = differential.Runner(program, folder, rng.choice([1, 2, 7, 50]))
    redis.run([[b"FLUSHALL"]])
    setup = [[b"XADD", b"stream", b"1", b"f", b"v"], [b"SET", b"number", b"12"],
             [b"SET", b"text", b"some text that is none"]]
    runner.run(setup)
    redis.run(setup)
    history, failed, done = [], None, 0
    while done < length and failed is None:
        batch = []
        for _ in range(rng.randrange(1, 30)):
            batch.append(generator.command())
            batch.append([b"GET", generator.pick(*generator.keys, *generator.hlls, b"broken")])
        for command, theirs, mine in zip(batch, redis.run(batch), runner.run(batch)):
            history.append(command)
            same = differential.alike(command, theirs, mine) or shape(theirs) == shape(mine)
            if not same:
                failed = (command, theirs, mine)
                break
        done += len(batch) // 2
        if rng.randrange(6) == 0:
            runner.control(b"#reopen")
    code = runner.stop()
    if failed is not None:
        print("seed %d, command %s\n  redis: %s\n  ours:  %s" % ((seed,) + tuple(
            differential.shown(part) for part in failed)))
        for before in [c for c in history if c[0] != b"GET"][-20:]:
            print("    after %s" % differential.shown(before))
    if code != 0:
        print("seed %d: the runner ended with %d" % (seed, code))
    return failed is None and code == 0


if __name__ == "__main__":
    sys.exit(differential.run_seeds(play, 10, 500))
