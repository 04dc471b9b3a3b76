#!/usr/bin/env python3
"""Seeded random commands to a real redis-server and to the machine's runner; every reply must be
the same to the byte. differential.py RUNNER [--seeds N] [--first SEED] [--length N]
Needs redis-server (exit code 77 without it), listens on no port, leaves nothing behind."""

import argparse
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

import mix_geo
import mix_hash_set
import mix_list
import mix_zset

FAR = 4102444800000  # 2100-01-01, ms
TOLERANT_S = {b"TTL", b"EXPIRETIME"}
TOLERANT_MS = {b"PTTL", b"PEXPIRETIME"}
UNORDERED = {b"ZRANDMEMBER"}
SCANS = {b"ZSCAN"}


def encode(args):
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


class Replies:
    """Takes RESP2 values off a stream of bytes; keeps the raw text of each."""

    def __init__(self, read):
        self.read = read
        self.data = b""
        self.at = 0

    def more(self):
        chunk = self.read()
        if not chunk:
            raise EOFError("the other side closed")
        self.data = self.data[self.at:] + chunk
        self.at = 0

    def line(self):
        while True:
            end = self.data.find(b"\r\n", self.at)
            if end >= 0:
                line = self.data[self.at:end]
                self.at = end + 2
                return line
            self.more()

    def exactly(self, size):
        while len(self.data) - self.at < size:
            self.more()
        part = self.data[self.at:self.at + size]
        self.at += size
        return part

    def value(self):
        line = self.line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            size = int(rest)
            return None if size < 0 else self.exactly(size + 2)[:-2]
        if kind == b"*":
            count = int(rest)
            return ("null array",) if count < 0 else [self.value() for _ in range(count)]
        return (kind, rest)


class Redis:
    def __init__(self, folder):
        self.path = os.path.join(folder, "redis.sock")
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.path, "--save", "",
             "--appendonly", "no", "--dir", folder, "--loglevel", "warning"],
            stdout=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(60)
        until = time.time() + 10
        while True:
            try:
                self.socket.connect(self.path)
                break
            except OSError:
                if time.time() > until:
                    self.stop()
                    raise
                time.sleep(0.01)
        self.replies = Replies(lambda: self.socket.recv(1 << 20))

    def run(self, commands):
        data = b"".join(encode(command) for command in commands)
        writer = threading.Thread(target=self.socket.sendall, args=(data,))
        writer.start()
        replies = [self.replies.value() for _ in commands]
        writer.join()
        return replies

    def stop(self):
        self.socket.close()
        self.process.terminate()
        self.process.wait()


class Runner:
    def __init__(self, program, folder, writes):
        self.process = subprocess.Popen([program, "--pipe", str(writes)], cwd=folder,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        out = self.process.stdout.fileno()
        self.replies = Replies(lambda: os.read(out, 1 << 20))

    def control(self, *args):
        self.process.stdin.write(encode(args))

    def run(self, commands):
        self.control(b"#at", b"%d" % int(time.time() * 1000))
        # Either side may have more to say than a pipe holds.
        writer = threading.Thread(target=self.write, args=(commands,))
        writer.start()
        replies = [self.replies.value() for _ in commands]
        writer.join()
        return replies

    def write(self, commands):
        self.process.stdin.write(b"".join(encode(command) for command in commands))
        self.process.stdin.flush()

    def stop(self):
        self.process.stdin.close()
        return self.process.wait()


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.steps = set()
        self.commands = rng.choice(FOCUS)
        self.keys = [b"k%d" % i for i in range(8)] + [b"{tag}%d" % i for i in range(3)]
        self.keys += [b"", b"with space", b"\x00\xff\r\n", b"x" * 300]

    def pick(self, *choices):
        return self.rng.choice(choices)

    def key(self):
        return self.rng.choice(self.keys)

    def case(self, word):
        return self.pick(word, word.lower(), word.title())

    def value(self):
        rng = self.rng
        kind = rng.randrange(12)
        if kind == 0:
            return b""
        if kind <= 3:
            return b"%d" % rng.choice([0, 1, -1, 7, 9999, 10000, 10001, rng.randrange(-100, 100),
                                       2**63 - 1, -2**63, rng.randrange(2**62)])
        if kind == 4:
            return self.pick(b" 1", b"1 ", b"01", b"+1", b"-0", b"1.5", b"-2.50", b"1e3", b"0x10",
                             b"inf", b"-inf", b"nan", b"9223372036854775808", b"3.0e-5",
                             b"1e4000", b"5e-400", b"abc", b"1" * 21, b"-", b".5", b"5.")
        if kind == 5:
            return bytes(rng.randrange(256) for _ in range(rng.choice([1, 43, 44, 45, 100])))
        if kind == 6:
            return bytes([rng.choice([0, 255])]) * rng.choice([1, 3, 8, 9, 17, 200])
        if kind == 7 and rng.randrange(8) == 0:
            return bytes([rng.choice([0, 255, 65])]) * rng.choice(
                [262143, 262144, 262145, 300000, 600000])
        return b"value-%d" % rng.randrange(1000)

    def integer(self):
        rng = self.rng
        return rng.choice([b"%d" % rng.randrange(-20, 20), b"%d" % rng.randrange(-20, 20), b"0",
                           b"1", b"-1", b"100", b"9223372036854775807", b"-9223372036854775808",
                           b"9223372036854775808", b"", b"a", b"1.0", b" 3", b"00", b"-5"])

    def offset(self):
        rng = self.rng
        if rng.randrange(6) == 0:
            return self.integer()
        if rng.randrange(25) == 0:
            return b"%d" % rng.choice([262143, 262144, 300000, 524288, 700000])
        return b"%d" % rng.choice([0, 1, 2, 3, 5, 8, 13, 40, 300])

    def relative(self, unit):
        """Times far enough apart that a slow run does not change their order."""
        step = self.rng.randrange(100, 1000000)
        while step in self.steps:
            step = self.rng.randrange(100, 1000000)
        self.steps.add(step)
        if self.rng.randrange(5) == 0:
            return self.pick(b"0", b"-1", b"-100000", b"x", b"", b"9223372036854775807",
                             b"9223372036854775", b"-9223372036854775808", b"9223372036854774",
                             b"-9223372036854775")
        return b"%d" % (step * (1 if unit == 1 else 1000))

    def absolute(self, unit):
        if self.rng.randrange(5) == 0:
            return self.pick(b"1", b"0", b"-1", b"1000000000", b"x", b"9223372036854775807",
                             b"9223372036854775")
        return b"%d" % ((FAR + self.rng.choice([0, 1000, 5000000])) // unit)

    def expiry(self):
        word = self.pick(b"EX", b"PX", b"EXAT", b"PXAT")
        unit = 1 if word in (b"PX", b"PXAT") else 1000
        if word in (b"EX", b"PX"):
            time_text = self.relative(1 if word == b"EX" else 1000)
        else:
            time_text = self.absolute(unit)
        return [self.case(word), time_text] if self.rng.randrange(15) else [self.case(word)]

    def set_options(self):
        options = []
        for _ in range(self.rng.choice([0, 0, 1, 1, 1, 2, 2, 3])):
            kind = self.rng.randrange(6)
            if kind <= 1:
                options += self.expiry()
            else:
                options.append(self.case(self.pick(b"NX", b"XX", b"GET", b"KEEPTTL", b"PERSIST",
                                                   b"BOGUS") if kind == 5
                                         else self.pick(b"NX", b"XX", b"GET", b"KEEPTTL")))
        return options

    def getex_options(self):
        options = []
        for _ in range(self.rng.choice([0, 1, 1, 1, 2])):
            if self.rng.randrange(3):
                options += self.expiry()
            else:
                options.append(self.case(self.pick(b"PERSIST", b"PERSIST", b"KEEPTTL", b"NX")))
        return options

    def expire_options(self):
        count = self.rng.choice([0, 0, 1, 1, 2])
        return [self.case(self.pick(b"NX", b"XX", b"GT", b"LT", b"GT", b"LT",
                                    b"ZZ" if self.rng.randrange(8) == 0 else b"XX"))
                for _ in range(count)]

    def pattern(self):
        return self.pick(b"*", b"k*", b"k?", b"k[0-3]", b"k[^0-3]", b"[k{]*", b"*1", b"\\k*", b"**",
                         b"", b"k[", b"k[^", b"k\\", b"*a*", b"x*x", b"?*", b"[a-", b"k[3-0]",
                         b"*\xff*", b"[\x80-\xff\x00]*", b"{tag}?", b"k[\\]]", b"w*e*", b"[]k]*")

    def keys_of(self, count_max):
        return [self.key() for _ in range(self.rng.randrange(1, count_max))]

    def bits_range(self):
        args = []
        if self.rng.randrange(3):
            args.append(self.integer())
        if args and self.rng.randrange(3):
            args.append(self.integer())
            if self.rng.randrange(2):
                args.append(self.case(self.pick(b"BIT", b"BYTE", b"BITS" if
                                                self.rng.randrange(6) == 0 else b"BIT")))
                if self.rng.randrange(12) == 0:
                    args.append(b"more")
        return args

    def transaction(self, commands):
        """Some of the commands between MULTI and EXEC, perhaps with keys watched."""
        # Subcommands are looked at when they are queued there, when they are run here.
        commands = [c for c in commands if c[0].upper() != b"OBJECT"] or [[b"DBSIZE"]]
        first = self.rng.randrange(len(commands))
        last = self.rng.randrange(first, len(commands)) + 1
        watch = []
        if self.rng.randrange(2):
            # They exist: one that comes and goes again counts as changed there, but not here.
            keys = self.keys_of(3)
            watch = [[b"SET", key, b"watched"] for key in keys] + [[b"WATCH"] + keys]
        end = [b"EXEC"] if self.rng.randrange(8) else [b"DISCARD"]
        return (watch + commands[:first] + [[b"MULTI"]] + commands[first:last] + [end] +
                commands[last:])

    def command(self):
        rng = self.rng
        name = rng.choice(self.commands)
        key = self.key()
        if name in (b"GET", b"STRLEN", b"TYPE", b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME",
                    b"INCR", b"DECR", b"PERSIST", b"GETDEL"):
            args = [key]
        elif name in (b"MGET", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"):
            args = self.keys_of(5)
        elif name == b"SET":
            args = [key, self.value()] + self.set_options()
        elif name in (b"SETNX", b"GETSET", b"APPEND"):
            args = [key, self.value()]
        elif name in (b"SETEX", b"PSETEX"):
            args = [key, self.relative(1 if name == b"SETEX" else 1000), self.value()]
        elif name == b"GETEX":
            args = [key] + self.getex_options()
        elif name in (b"MSET", b"MSETNX"):
            args = [x for k in self.keys_of(4) for x in (k, self.value())]
            if rng.randrange(10) == 0:
                args.append(key)
        elif name in (b"GETRANGE", b"SUBSTR"):
            args = [key, self.integer(), self.integer()]
        elif name == b"SETRANGE":
            args = [key, self.offset(), self.value()]
        elif name in (b"INCRBY", b"DECRBY"):
            args = [key, self.integer()]
        elif name == b"INCRBYFLOAT":
            args = [key, self.pick(self.integer(), self.value(), b"0.1", b"-1.25", b"3e2")]
        elif name in (b"EXPIRE", b"PEXPIRE"):
            args = [key, self.relative(1 if name == b"EXPIRE" else 1000)] + self.expire_options()
        elif name in (b"EXPIREAT", b"PEXPIREAT"):
            args = [key, self.absolute(1000 if name == b"EXPIREAT" else 1)] + self.expire_options()
        elif name in (b"RENAME", b"RENAMENX"):
            args = [key, self.key()]
        elif name == b"COPY":
            args = [key, self.key()] + rng.choice(
                [[], [], [b"REPLACE"], [b"DB", b"0"], [b"DB", b"16"], [b"DB", b"x"], [b"DB"],
                 [b"DB", b"99999999999"], [b"NOPE"], [b"DB", b"0", b"replace"], [b"DB", b"-1"]])
        elif name == b"OBJECT":
            args = [self.case(self.pick(b"ENCODING", b"ENCODING", b"ENCODING", b"REFCOUNT", b"FREQ",
                                        b"HELP", b"NOPE"))]
            args += [key] if rng.randrange(10) else []
            args = args[:1] if args[0].upper() == b"HELP" else args
        elif name == b"SETBIT":
            args = [key, self.pick(self.offset(), b"4294967296", b"4294967295x", b"3000000" if
                                   rng.randrange(10) == 0 else b"77"),
                    self.pick(b"0", b"1", b"1", b"2", b"x")]
        elif name == b"GETBIT":
            args = [key, self.pick(self.offset(), b"4294967296", b"100000")]
        elif name == b"BITCOUNT":
            args = [key] + self.bits_range()
        elif name == b"BITPOS":
            args = [key, self.pick(b"0", b"1", b"0", b"1", b"2", b"x")] + self.bits_range()
        elif name in mix_zset.COMMANDS:
            args = mix_zset.arguments(self, name, key)
        elif name in mix_geo.COMMANDS:
            args = mix_geo.arguments(self, name, key)
        elif name == b"KEYS":
            args = [self.pattern()]
        elif name.decode() in mix_hash_set.NAMES:
            args = mix_hash_set.arguments(self, name.decode())
        elif name.decode() in mix_list.NAMES:
            args = mix_list.arguments(self, name.decode())
        elif name in (b"FLUSHDB", b"FLUSHALL"):
            args = rng.choice([[], [b"ASYNC"], [b"sync"], [b"NOW"], [b"ASYNC", b"SYNC"]])
        else:
            args = []
        if rng.randrange(60) == 0 and name not in mix_hash_set.RANDOM:
            args = args[:rng.randrange(len(args) + 1)]
        return [self.case(name)] + args


COMMANDS = [name.encode() for name in (
    "GET GET MGET STRLEN SET SET SET SET SETNX SETEX PSETEX GETSET GETDEL GETEX GETEX MSET MSETNX "
    "APPEND APPEND GETRANGE GETRANGE SUBSTR SETRANGE SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT "
    "INCRBYFLOAT DEL UNLINK EXISTS TOUCH TYPE EXPIRE EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL "
    "EXPIRETIME PEXPIRETIME PERSIST RENAME RENAMENX COPY COPY OBJECT OBJECT SETBIT SETBIT GETBIT "
    "BITCOUNT BITCOUNT BITPOS BITPOS BITPOS DBSIZE KEYS "
    "FLUSHDB").split() + mix_hash_set.NAMES * 2 + mix_list.NAMES]
COMMANDS += mix_zset.COMMANDS + mix_geo.COMMANDS
# A seed has one of these, so that collections also live long enough to grow.
FOCUS = [COMMANDS, mix_zset.COMMANDS * 3 + mix_zset.AROUND,
         mix_geo.COMMANDS * 2 + mix_geo.AROUND]


def number(value):
    return int(value[1]) if isinstance(value, tuple) and value[0] == b":" else None


def pairs(flat):
    return sorted(zip(flat[::2], flat[1::2]))


def alike(command, a, b, queued=()):
    name = command[0].upper()
    if name == b"EXEC" and isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return len(a) == len(queued) and all(map(alike, queued, a, b))
    if name == b"ZRANDMEMBER" and len(command) == 2 and not isinstance(a, tuple):
        return (a is None) == (b is None)
    if isinstance(a, list) and isinstance(b, list):
        if name == b"KEYS":
            return sorted(a) == sorted(b)
        if name == b"ZSCAN" and len(command) < 5:
            return True  # A page of its own size.
        if name in SCANS:  # Of one page, with all elements.
            return a[0] == b[0] and pairs(a[1]) == pairs(b[1])
        if name == b"ZRANDMEMBER" and len(command) == 4:
            return pairs(a) == pairs(b)
        if name in UNORDERED:
            return sorted(a) == sorted(b)
        verdict = mix_hash_set.alike(command, a, b)
        if verdict is not None:
            return verdict
    # ZDIFFSTORE in Redis looks at the lengths of members that it then takes away again.
    if name == b"OBJECT" and sorted([repr(a), repr(b)]) == ["b'listpack'", "b'skiplist'"]:
        return True
    if name.startswith(b"SORT") and a == mix_hash_set.STUCK:
        return True
    if name in TOLERANT_S | TOLERANT_MS:
        x, y = number(a), number(b)
        slack = 3 if name in TOLERANT_S else 3000
        if x is not None and y is not None and x >= 0 and y >= 0:
            return abs(x - y) <= slack
    return a == b


def shown(value):
    text = repr(value)
    return text if len(text) < 400 else text[:300] + "... (%d)" % len(text)


def scan_all(run, rng):
    """All keys by SCAN, whatever the cursors look like."""
    found, cursor = [], b"0"
    while True:
        reply = run([[b"SCAN", cursor, b"COUNT", b"%d" % rng.choice([1, 2, 10, 100])]])[0]
        cursor, keys = reply
        found += keys
        if cursor == b"0":
            return sorted(set(found))


SCAN_ARGUMENTS = [[b"x"], [b"-"], [b"", b"COUNT", b"1000"], [b" 0"], [b"99999999999999999999999"], [b"0", b"COUNT"],
                  [b"0", b"COUNT", b"0"], [b"0", b"COUNT", b"x"], [b"0", b"MATCH"],
                  [b"0", b"NOPE", b"1"], [b"0", b"TYPE"], [b"0", b"TYPE", b"hash", b"COUNT", b"1000"],
                  [b"0", b"MATCH", b"nothing*"], []]


def compare_scans(redis, runner, rng, report):
    mine, theirs = scan_all(runner.run, rng), scan_all(redis.run, rng)
    if mine != theirs:
        report([b"SCAN"], theirs, mine)
    command = [b"SCAN"] + rng.choice(SCAN_ARGUMENTS)
    mine, theirs = runner.run([command])[0], redis.run([command])[0]
    if isinstance(theirs, list) and isinstance(mine, list):
        mine, theirs = sorted(mine[1]), sorted(theirs[1])
    if mine != theirs:
        report(command, theirs, mine)
    key = runner.run([[b"RANDOMKEY"]])[0]
    if (key is None) != (redis.run([[b"DBSIZE"]])[0] == (b":", b"0")):
        report([b"RANDOMKEY"], b"a key if there is one", key)
    elif key is not None and redis.run([[b"EXISTS", key]])[0] != (b":", b"1"):
        report([b"RANDOMKEY"], b"a key that exists", key)


def play(seed, length, redis, program, folder):
    rng = random.Random(seed)
    generator = Generator(rng)
    runner = Runner(program, folder, rng.choice([1, 2, 7, 50]))
    history, failures = [], []

    def report(command, theirs, mine):
        failures.append((command, theirs, mine))

    redis.run([[b"FLUSHALL"]])
    done = 0
    while done < length and not failures:
        batch = [generator.command() for _ in range(rng.randrange(1, 40))]
        if rng.randrange(3) == 0:
            batch = generator.transaction(batch)
        # What is set to a time that is over is removed by both when it is looked at.
        batch += [[b"EXISTS"] + generator.keys]
        commands = [c for pair in zip(batch, [[b"EXISTS"] + generator.keys] * len(batch))
                    for c in pair]
        queued = []
        for command, theirs, mine in zip(commands, redis.run(commands), runner.run(commands)):
            history.append(command)
            if not alike(command, theirs, mine, queued):
                report(command, theirs, mine)
                break
            if theirs == (b"+", b"QUEUED"):
                queued.append(command)
            elif command[0] == b"EXEC":
                queued = []
        done += len(batch)
        if not failures and rng.randrange(4) == 0:
            compare_scans(redis, runner, rng, report)
        if rng.randrange(6) == 0:
            runner.control(b"#reopen")
    code = runner.stop()
    for command, theirs, mine in failures:
        print("seed %d, command %s\n  redis: %s\n  ours:  %s" % (
            seed, shown(command), shown(theirs), shown(mine)))
        for before in history[-12:]:
            if before[0] != b"EXISTS":
                print("    after %s" % shown(before))
    if code != 0:
        print("seed %d: the runner ended with %d" % (seed, code))
    return not failures and code == 0


def run_seeds(play, seeds, length):
    """The program around play(seed, length, redis, runner, folder), which says if all were alike."""
    parser = argparse.ArgumentParser()
    parser.add_argument("runner")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--length", type=int, default=length)
    options = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("there is no redis-server here")
        return 77
    folder = tempfile.mkdtemp(prefix="differential-")
    redis = Redis(folder)
    failed = 0
    start = time.time()
    try:
        for seed in range(options.first, options.first + options.seeds):
            failed += not play(seed, options.length, redis, os.path.abspath(options.runner), folder)
    finally:
        redis.stop()
        shutil.rmtree(folder)
    print("%d seeds, %d failed, %.1f s" % (options.seeds, failed, time.time() - start))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(run_seeds(play, 10, 400))
