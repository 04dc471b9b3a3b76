"""Commands of sorted sets for differential.py: names, and arguments made by its generator."""

COMMANDS = [name.encode() for name in (
    "ZADD ZADD ZADD ZADD ZADD ZINCRBY ZREM ZREM ZCARD ZSCORE ZMSCORE ZRANK ZREVRANK ZRANGE ZRANGE "
    "ZRANGE ZRANGESTORE ZRANGEBYSCORE ZREVRANGE ZREVRANGEBYSCORE ZRANGEBYLEX ZREVRANGEBYLEX ZCOUNT "
    "ZLEXCOUNT ZREMRANGEBYRANK ZREMRANGEBYSCORE ZREMRANGEBYLEX ZPOPMIN ZPOPMAX ZMPOP ZRANDMEMBER "
    "ZSCAN ZUNION ZINTER ZDIFF ZINTERCARD ZUNIONSTORE ZINTERSTORE ZDIFFSTORE").split()]
# What else is worth doing to them.
AROUND = [name.encode() for name in "DEL TYPE OBJECT OBJECT RENAME COPY SET PERSIST EXPIRE SADD SADD SADD".split()]

SCORES = [b"0", b"1", b"1", b"2", b"3.5", b"-7", b"1e10", b"0.1", b"-2.25", b"inf", b"-inf",
          b"1e17", b"4611686018427387904", b"4611686018427387903", b"1e308", b"5e-324", b"3.0",
          b"123456789012345678", b"0.30000000000000004"]
WRONG_SCORES = [b"nan", b"x", b"", b" 1", b"1 ", b"1e400", b"1e-400", b"1x", b"--1", b"(1"]
LARGE = [130, 300, 700, 2500]


def score(gen):
    kind = gen.rng.randrange(40)
    if kind == 0:
        return gen.rng.choice(WRONG_SCORES)
    if kind < 14:
        return gen.rng.choice(SCORES)
    return b"%d" % gen.rng.randrange(-50, 300) if kind < 30 else b"%.3f" % gen.rng.uniform(0, 300)


def member(gen):
    return gen.pick(b"a", b"b", b"c", b"", b"12", b"m" * 65, b"\x00\r\n", b"m" * 64,
                    b"%d" % gen.rng.randrange(2500), b"%d" % gen.rng.randrange(200),
                    b"%d" % gen.rng.randrange(200))


def lex_key(gen):
    """Of sets whose elements have one score: else what intervals of members hold is undefined."""
    return gen.pick(b"lex0", b"lex1")


def score_end(gen):
    text = gen.pick(b"-inf", b"+inf", b"inf", b"-inf", b"+inf", score(gen), score(gen), b"(1", b"(",
                    b"", b"( 1", b"(inf", b"1\x00x")
    return b"(" + text if gen.rng.randrange(4) == 0 else text


def lex_end(gen):
    return gen.pick(b"-", b"+", b"-", b"+", b"[" + member(gen), b"(" + member(gen),
                    b"[" + member(gen), b"(1", b"[2", b"(9", b"", b"x", b"-x", b"+1", b"[", b"(")


def rank(gen):
    if gen.rng.randrange(12) == 0:
        return gen.integer()
    return b"%d" % gen.rng.choice([0, 0, 1, 2, 5, 100, 700, 1500, -1, -1, -2, -10, -300, -5000])


def ends(gen, by):
    return [{"rank": rank, "score": score_end, "lex": lex_end}[by](gen) for _ in range(2)]


def limit(gen):
    if gen.rng.randrange(3) == 0:
        return []
    count = gen.pick(b"-1", b"0", b"1", b"10", b"300", b"-2", b"x" if gen.rng.randrange(9) == 0 else b"5")
    return [gen.case(b"LIMIT"), gen.pick(b"0", b"1", b"5", b"150", b"900", b"-1", b"0"), count]


def range_args(gen, store):
    by = gen.pick("rank", "score", "lex")
    words = {"rank": [], "score": [[b"BYSCORE"]], "lex": [[b"BYLEX"]]}[by]
    words = words + gen.pick([], [], [[b"REV"]])
    if by != "rank" or gen.rng.randrange(20) == 0:
        words = words + ([limit(gen)] if gen.rng.randrange(2) else [])
    if gen.rng.randrange(3) == 0 and (not store or gen.rng.randrange(9) == 0):
        words = words + [[b"WITHSCORES"]]
    if gen.rng.randrange(25) == 0:
        words = words + gen.pick([[b"NOPE"]], [[b"BYLEX"]], [[b"LIMIT", b"1"]], [[b"REV"]])
    gen.rng.shuffle(words)
    return ends(gen, by) + [word for group in words for word in group]


def add_args(gen, key):
    rng = gen.rng
    even = rng.randrange(4) == 0
    if even:
        key = lex_key(gen)
    words = [gen.case(gen.pick(b"NX", b"XX", b"GT", b"LT", b"CH", b"INCR", b"CH", b"GT"))
             for _ in range(rng.choice([0, 0, 0, 1, 1, 2, 3]))]
    if rng.randrange(25) == 0:
        first = rng.randrange(2000)
        args = [x for i in range(first, first + rng.choice(LARGE))
                for x in (b"0" if even else b"%d" % rng.randrange(3000), b"%d" % i)]
        return [key, b"CH"] + args
    count = 1 if any(word.upper() == b"INCR" for word in words) and rng.randrange(8) else \
        rng.randrange(1, 5)
    args = [x for _ in range(count) for x in (b"0" if even else score(gen), member(gen))]
    return [key] + words + (args[:-1] if rng.randrange(30) == 0 else args)


def algebra_args(gen, name):
    keys = gen.keys_of(4)
    count = gen.pick(b"%d" % len(keys), b"%d" % len(keys), b"%d" % len(keys), b"%d" % len(keys), b"0",
                     b"x", b"-1", b"9") if gen.rng.randrange(4) == 0 else b"%d" % len(keys)
    words = []
    odd = gen.rng.randrange(15) == 0
    if odd or (gen.rng.randrange(2) and b"DIFF" not in name and name != b"ZINTERCARD"):
        # None that makes a -0, which has another place than 0 in a large set.
        weights = [gen.pick(b"1", b"2", b"3e5", b"0.1", b"0.5", b"inf", b"-inf", b"x" if odd else b"7")
                   for _ in keys]
        words.append([gen.case(b"WEIGHTS")] + (weights[:-1] if gen.rng.randrange(20) == 0 else weights))
    if odd or (gen.rng.randrange(2) and b"DIFF" not in name and name != b"ZINTERCARD"):
        words.append([gen.case(b"AGGREGATE"), gen.case(gen.pick(b"SUM", b"MIN", b"MAX", b"MIN", b"AVG"
                      if odd else b"MAX"))])
    if odd or (gen.rng.randrange(2) and name in (b"ZUNION", b"ZINTER", b"ZDIFF")):
        words.append([gen.case(b"WITHSCORES")])
    if name == b"ZINTERCARD" and gen.rng.randrange(2):
        words.append([b"LIMIT", gen.pick(b"0", b"1", b"5", b"-1", b"x")])
    gen.rng.shuffle(words)
    return [count] + keys + [word for group in words for word in group]


def arguments(gen, name, key):
    rng = gen.rng
    if name in (b"ZREM", b"ZRANK", b"ZPOPMAX", b"ZREVRANGE", b"ZSCAN", b"ZREMRANGEBYRANK"):
        key = gen.pick(key, key, lex_key(gen))
    if name == b"ZADD":
        return add_args(gen, key)
    if name == b"ZINCRBY":
        return [key, score(gen), member(gen)]
    if name in (b"ZREM", b"ZMSCORE"):
        return [key] + [member(gen) for _ in range(rng.choice([1, 1, 2, 5, 60]))]
    if name in (b"ZSCORE", b"ZRANK", b"ZREVRANK"):
        return [key, member(gen)]
    if name == b"ZRANGE":
        args = range_args(gen, False)
        return [lex_key(gen) if b"BYLEX" in args else key] + args
    if name == b"ZRANGESTORE":
        args = range_args(gen, True)
        return [gen.key(), lex_key(gen) if b"BYLEX" in args else key] + args
    if name in (b"ZRANGEBYSCORE", b"ZREVRANGEBYSCORE"):
        return [key] + ends(gen, "score") + limit(gen) + gen.pick([], [b"WITHSCORES"])
    if name in (b"ZRANGEBYLEX", b"ZREVRANGEBYLEX"):
        return [lex_key(gen)] + ends(gen, "lex") + limit(gen)
    if name == b"ZREVRANGE":
        return [key] + ends(gen, "rank") + gen.pick([], [b"WITHSCORES"], [b"x"])
    if name == b"ZREMRANGEBYRANK":
        start = rng.choice([0, 0, 3, 120, 400, -1, -3, -200])
        return [key] + gen.pick(ends(gen, "rank"), [b"%d" % start, b"%d" % (start + rng.choice([0, 1, 3, 150]))])
    if name in (b"ZCOUNT", b"ZREMRANGEBYSCORE"):
        return [key] + ends(gen, "score")
    if name in (b"ZLEXCOUNT", b"ZREMRANGEBYLEX"):
        return [lex_key(gen)] + ends(gen, "lex")
    if name in (b"ZPOPMIN", b"ZPOPMAX"):
        return [key] + gen.pick([], [], [b"1"], [b"3"], [b"0"], [b"150"], [b"-1"], [b"x"], [b"1", b"2"])
    if name == b"ZMPOP":
        keys = gen.keys_of(4)
        return [gen.pick(b"%d" % len(keys), b"%d" % len(keys), b"%d" % len(keys), b"0", b"x", b"9")] + keys + \
            [gen.case(gen.pick(b"MIN", b"MAX", b"MIN", b"MAX", b"MID"))] + \
            gen.pick([], [], [b"COUNT", b"3"], [b"COUNT", b"200"], [b"COUNT", b"0"], [b"COUNT"],
                     [b"COUNT", b"1", b"COUNT", b"2"], [b"NOPE", b"1"])
    if name in (b"ZUNION", b"ZINTER", b"ZDIFF", b"ZINTERCARD"):
        return algebra_args(gen, name)
    if name in (b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE"):
        return [gen.key()] + algebra_args(gen, name)
    if name == b"ZRANDMEMBER":
        return [key] + rng.choice(
            [[b"0"], [b"9999"], [b"9999", b"WITHSCORES"], [b"x"], [b"1", b"no"], [b"0", b"withscores"],
             [b"-9223372036854775808"], [b"9223372036854775807", b"WITHSCORES"], [b"1", b"2", b"3"]])
    if name == b"ZSCAN":
        return [key, gen.pick(b"0", b"0", b"0", b"x")] + rng.choice(
            [[b"COUNT", b"9999"], [b"COUNT", b"9999", b"MATCH", gen.pattern()], [b"COUNT"],
             [b"COUNT", b"0"], [b"count", b"x"], [b"TYPE", b"zset"], [b"COUNT", b"9000"]])
    return [key]

