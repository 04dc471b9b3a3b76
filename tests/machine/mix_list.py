"""Commands on lists for differential.py."""

NAMES = ("LPUSH LPUSH RPUSH RPUSH RPUSH LPUSHX RPUSHX LPOP RPOP LLEN LINDEX LSET LRANGE LRANGE "
         "LTRIM LREM LREM LREM LINSERT LINSERT LPOS LPOS LMOVE RPOPLPUSH LMPOP").split()


def element(generator):
    rng = generator.rng
    kind = rng.randrange(20)
    if kind == 0:
        return generator.value()
    if kind == 1:
        return b"z" * rng.choice([0, 64, 4000, 8184, 8188, 8189, 9000])
    return b"%d" % rng.randrange(6)


def elements(generator):
    rng = generator.rng
    count = rng.choice([1, 1, 1, 2, 3, 10, 60, 130] if rng.randrange(4) == 0 else [1, 1, 2, 5])
    return [element(generator) for _ in range(count)]


def index(generator):
    rng = generator.rng
    if rng.randrange(12) == 0:
        return generator.integer()
    return b"%d" % rng.choice([0, 1, -1, 2, -2, rng.randrange(-12, 12), rng.randrange(-200, 200)])


def end(generator):
    return generator.case(generator.pick(b"LEFT", b"RIGHT", b"LEFT", b"RIGHT", b"LEFT", b"RIGHT",
                                         b"UP"))


def pos_options(generator):
    rng, options = generator.rng, []
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        word = generator.pick(b"RANK", b"COUNT", b"MAXLEN", b"RANK", b"COUNT", b"MAXLEN", b"NOPE")
        value = generator.pick(b"0", b"1", b"2", b"-1", b"-2", b"10", generator.integer())
        # What redis-server 7.0 makes of this rank is left to its compiler.
        value = b"-3" if value == b"-9223372036854775808" else value
        options += [generator.case(word), value]
    return options[:-1] if rng.randrange(15) == 0 else options


def mpop(generator):
    rng = generator.rng
    keys = [list_key(generator) for _ in range(rng.randrange(1, 4))]
    args = [b"%d" % len(keys)] + keys + [end(generator)]
    if rng.randrange(12) == 0:
        args[0] = generator.integer()
    if rng.randrange(2):
        args += [generator.case(b"COUNT"), generator.pick(b"1", b"2", b"10", b"1000", b"0", b"x")]
    return args + ([b"more"] if rng.randrange(20) == 0 else [])


def list_key(generator):
    """Mostly keys that hold nothing but lists."""
    if generator.rng.randrange(10) == 0:
        return generator.key()
    return generator.pick(b"{l}0", b"{l}1", b"{l}2", b"{l}3")


def arguments(generator, name):
    rng, key = generator.rng, list_key(generator)
    if name in ("LPUSH", "RPUSH", "LPUSHX", "RPUSHX"):
        return [key] + elements(generator)
    if name in ("LPOP", "RPOP"):
        return [key] + rng.choice([[], [], [b"1"], [b"3"], [b"20"], [generator.integer()],
                                   [b"0"], [b"1", b"2"]])
    if name == "LINDEX":
        return [key, index(generator)]
    if name == "LSET":
        return [key, index(generator), element(generator)]
    if name == "LRANGE":
        return [key, index(generator), index(generator)]
    if name == "LTRIM":
        return [key] + rng.choice([[b"0", b"-2"], [b"1", b"-1"], [b"2", b"-3"], [b"0", b"120"],
                                   [index(generator), index(generator)]])
    if name == "LREM":
        return [key, generator.pick(b"0", b"1", b"-1", b"2", b"-2", b"10", b"-10", index(generator)),
                element(generator)]
    if name == "LINSERT":
        return [key, generator.case(generator.pick(b"BEFORE", b"AFTER", b"BEFORE", b"AFTER",
                                                   b"BESIDE")),
                element(generator), element(generator)]
    if name == "LPOS":
        return [key, element(generator)] + pos_options(generator)
    if name == "LMOVE":
        return [key, list_key(generator), end(generator), end(generator)]
    if name == "RPOPLPUSH":
        return [key, list_key(generator)]
    if name == "LMPOP":
        return mpop(generator)
    return [key]
