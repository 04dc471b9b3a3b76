"""Commands on hashes and sets for differential.py."""

HASH_NAMES = ("HSET HSET HSET HSET HMSET HSETNX HGET HMGET HMGET HGETALL HKEYS HVALS HLEN HEXISTS "
              "HDEL HDEL HSTRLEN HINCRBY HINCRBY HINCRBYFLOAT HSCAN HRANDFIELD").split()
SET_NAMES = ("SADD SADD SADD SADD SREM SREM SISMEMBER SMISMEMBER SMEMBERS SCARD SPOP SRANDMEMBER "
             "SMOVE SSCAN SINTER SINTER SINTERCARD SINTERSTORE SUNION SUNIONSTORE SUNIONSTORE SDIFF "
             "SDIFFSTORE SORT SORT_RO").split()
# redis-server 7.0 may go on to say so for a while after a score that is out of range.
STUCK = (b"-", b"ERR One or more scores can't be converted into double")
NAMES = HASH_NAMES + SET_NAMES
# With fewer arguments they choose.
RANDOM = {b"HRANDFIELD", b"SRANDMEMBER", b"SPOP"}
UNORDERED = {b"HKEYS", b"HVALS", b"HRANDFIELD", b"SMEMBERS", b"SINTER", b"SUNION", b"SDIFF",
             b"SRANDMEMBER", b"SPOP"}


def field(generator):
    number = b"%d" % generator.rng.randrange(200)
    return generator.pick(b"f", b"g", b"h", b"", b"12", b"-7", b"9" * 65, b"x" * 64,
                          b"\x00\r\n", number, number)


def fields(generator, count_max):
    """Rarely so many that the collection has to become a large one."""
    count = generator.rng.randrange(1, count_max)
    if generator.rng.randrange(20) == 0:
        first = generator.rng.randrange(100)
        return [b"%d" % i for i in range(first, first + generator.rng.choice([100, 130, 600]))]
    return [field(generator) for _ in range(count)]


def value(generator):
    """Not so large that a page of HSCAN does not hold all of a hash."""
    return generator.value()[:1000]


def hash_arguments(generator, name):
    rng, key = generator.rng, generator.key()
    if name in (b"HSET", b"HMSET"):
        args = [x for f in fields(generator, 5) for x in (f, value(generator))]
        return [key] + (args[:-1] if rng.randrange(20) == 0 else args)
    if name == b"HSETNX":
        return [key, field(generator), value(generator)]
    if name in (b"HMGET", b"HDEL"):
        return [key] + fields(generator, 6)
    if name in (b"HGET", b"HEXISTS", b"HSTRLEN"):
        return [key, field(generator)]
    if name == b"HINCRBY":
        return [key, field(generator), generator.integer()]
    if name == b"HINCRBYFLOAT":
        return [key, field(generator), generator.pick(generator.integer(), generator.value(),
                                                      b"0.1", b"-1.25")]
    if name == b"HSCAN":
        return [key, generator.pick(b"0", b"0", b"0", b"x")] + rng.choice(
            [[b"COUNT", b"1000"], [b"COUNT", b"1000", b"MATCH", generator.pattern()], [b"COUNT"],
             [b"COUNT", b"0"], [b"count", b"x"], [b"TYPE", b"hash"], [b"COUNT", b"9999"]])
    if name == b"HRANDFIELD":
        return [key] + rng.choice(
            [[b"0"], [b"1000"], [b"1000", b"WITHVALUES"], [b"x"], [b"1", b"no"],
             [b"-9223372036854775808"], [b"9223372036854775807", b"WITHVALUES"]])
    return [key]


def sort_options(generator, name):
    rng = generator.rng
    options = rng.choice([[], [b"DESC"], [b"desc", b"ASC"]])
    if rng.randrange(12) == 0:
        return options + rng.choice([[b"LIMIT", b"0"], [b"BY"], [b"GET"], [b"NOPE"],
                                     [b"LIMIT", b"x", b"1"]])
    for _ in range(rng.randrange(3)):
        options += [b"GET", generator.pick(b"#", b"k*", b"k*->f", b"k", b"*")]
    by = rng.choice([[], [], [b"BY", b"k*"], [b"BY", b"k*->f"]])
    alpha = rng.randrange(3) > 0
    if by and alpha:  # What has no weight is in any order.
        return options + by + [b"ALPHA"]
    if rng.randrange(2):
        options += [b"LIMIT", b"%d" % rng.randrange(-2, 9), b"%d" % rng.randrange(-2, 9)]
    if alpha and rng.randrange(3) == 0:
        options += [b"STORE", generator.key()]
    return options + by + ([b"ALPHA"] if alpha else [])


def set_arguments(generator, name):
    rng, key = generator.rng, generator.key()
    if name in (b"SADD", b"SREM", b"SMISMEMBER"):
        return [key] + (fields(generator, 5) if rng.randrange(3) else
                        [b"%d" % rng.randrange(-9, 20) for _ in range(rng.randrange(1, 9))])
    if name == b"SISMEMBER":
        return [key, field(generator)]
    if name == b"SMOVE":
        return [key, generator.key(), field(generator)]
    if name == b"SPOP":  # Only what leaves no choice.
        return [key, generator.pick(b"100000", b"100000", b"0", b"x", b"-1")]
    if name == b"SRANDMEMBER":
        return [key] + rng.choice([[b"0"], [b"100000"], [b"x"], [b"1", b"x"]])
    if name == b"SSCAN":
        return [key, generator.pick(b"0", b"0", b"0", b"x")] + rng.choice(
            [[b"COUNT", b"1000"], [b"COUNT", b"1000", b"MATCH", generator.pattern()], [b"COUNT"],
             [b"COUNT", b"0"], [b"count", b"x"], [b"TYPE", b"set"]])
    if name in (b"SINTER", b"SUNION", b"SDIFF"):
        return generator.keys_of(4) + ([b"diff"] if rng.randrange(5) == 0 else [])
    if name == b"SINTERCARD":
        keys = generator.keys_of(4)
        return [generator.pick(b"%d" % len(keys), b"%d" % len(keys), b"0", b"2", b"x")] + keys + \
            rng.choice([[], [], [b"LIMIT", b"2"], [b"LIMIT", b"0"], [b"LIMIT"],
                        [b"LIMIT", b"-1"]])
    if name in (b"SORT", b"SORT_RO"):
        return [key] + sort_options(generator, name)
    if name in (b"SINTERSTORE", b"SUNIONSTORE"):
        return [key] + generator.keys_of(4)
    if name == b"SDIFFSTORE":  # Its encoding depends on how Redis computes it.
        return [b"diff"] + generator.keys_of(4)
    return [key]


def arguments(generator, name):
    name_bytes = name.encode()
    if name in SET_NAMES:
        return set_arguments(generator, name_bytes)
    return hash_arguments(generator, name_bytes)


def pairs(flat):
    return sorted(zip(flat[::2], flat[1::2]))


def alike(command, a, b):
    """Two lists as replies, if their order is left open; None: it is not."""
    name = command[0].upper()
    if name.startswith(b"SORT") and b"ALPHA" in command:
        if any(x is not None and b"\x00" in x for x in a + b):  # strcoll() reads up to the zero.
            return len(a) == len(b)
        return sorted(map(repr, a)) == sorted(map(repr, b)) if b"BY" in command else None
    if name in (b"HSCAN", b"SSCAN"):  # Of one page, with all elements.
        in_order = pairs if name == b"HSCAN" else sorted
        return a[0] == b[0] and in_order(a[1]) == in_order(b[1])
    if name == b"HGETALL" or (name == b"HRANDFIELD" and len(command) == 4):
        return pairs(a) == pairs(b)
    return sorted(a) == sorted(b) if name in UNORDERED else None
