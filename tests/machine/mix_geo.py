"""Commands of places for differential.py: names, and arguments made by its generator."""

COMMANDS = [name.encode() for name in (
    "GEOADD GEOADD GEOADD GEOADD GEOPOS GEODIST GEODIST GEOHASH GEOSEARCH GEOSEARCH GEOSEARCH GEOSEARCH "
    "GEOSEARCHSTORE GEOSEARCHSTORE GEORADIUS GEORADIUS GEORADIUSBYMEMBER GEORADIUS_RO "
    "GEORADIUSBYMEMBER_RO").split()]
AROUND = [name.encode() for name in
          "ZADD ZREM ZRANGE ZCARD ZREMRANGEBYRANK DEL SET OBJECT RENAME COPY ZSCORE".split()]


def coordinate(gen, most):
    kind = gen.rng.randrange(30)
    if kind == 0:
        return gen.pick(b"x", b"", b"200", b"-86", b"nan", b"inf", b"181")
    if kind < 4:
        return gen.pick(b"0", b"%.8f" % most, b"-%.8f" % most, b"-0", b"1e-9", b"66", b"80.5")
    if kind < 16:  # A town.
        return b"%.5f" % (most / 6 + gen.rng.uniform(-0.3, 0.3))
    return b"%.6f" % gen.rng.uniform(-most, most)


def place(gen):
    return [coordinate(gen, 180), coordinate(gen, 85.05112878)]


def member(gen):
    return gen.pick(b"a", b"b", b"", b"m" * 65, b"%d" % gen.rng.randrange(400),
                    b"%d" % gen.rng.randrange(40), b"%d" % gen.rng.randrange(40))


def length(gen):
    if gen.rng.randrange(25) == 0:
        return gen.pick(b"x", b"-1", b"", b"0", b"inf", b"1e30")
    return b"%.3f" % (10 ** gen.rng.uniform(-1, 4.5))


def unit(gen):
    return gen.pick(b"m", b"km", b"KM", b"ft", b"mi", b"km", b"yd" if gen.rng.randrange(20) == 0 else b"km")


def options(gen, with_words, store):
    """None that leaves the order of the elements open, if they are cut."""
    rng, words = gen.rng, []
    if with_words:
        words += [[gen.case(word)] for word in (b"WITHDIST", b"WITHHASH", b"WITHCOORD")
                  if rng.randrange(3) == 0]
    if rng.randrange(2):
        words.append([gen.case(gen.pick(b"ASC", b"DESC"))])
    if rng.randrange(3) == 0:
        words.append([gen.case(b"COUNT"), gen.pick(b"1", b"3", b"10", b"200", b"0" if rng.randrange(4) == 0
                                                   else b"5")])
        if rng.randrange(3) == 0:
            words[-1].append(gen.case(b"ANY"))
    if rng.randrange(30) == 0:
        words.append(gen.pick([b"ANY"], [b"COUNT"], [b"COUNT", b"x"], [b"NOPE"], [b"STORE"], [b"WITHDIST"],
                              [b"STOREDIST"], [b"FROMMEMBER", b"a"]))
    words += store
    rng.shuffle(words)
    return [word for group in words for word in group]


def search(gen, store):
    rng = gen.rng
    words = [gen.pick([gen.case(b"FROMMEMBER"), member(gen)], [gen.case(b"FROMLONLAT")] + place(gen))]
    words.append(gen.pick([gen.case(b"BYRADIUS"), length(gen), unit(gen)],
                          [gen.case(b"BYBOX"), length(gen), length(gen), unit(gen)]))
    if rng.randrange(20) == 0:
        words = words[:rng.randrange(3)]
    if rng.randrange(20) == 0:
        words.append(gen.pick([b"BYRADIUS", b"1", b"km"], [b"FROMLONLAT", b"1", b"1"], [b"BYBOX", b"1", b"2", b"km"]))
    rng.shuffle(words)
    words = [word for group in words for word in group]
    storing = [[gen.case(b"STOREDIST")]] if store and rng.randrange(2) else []
    more = options(gen, not store or rng.randrange(20) == 0, storing)
    return words + more if rng.randrange(2) else more + words


def arguments(gen, name, key):
    rng = gen.rng
    if name == b"GEOADD":
        words = [gen.case(gen.pick(b"NX", b"XX", b"CH")) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
        count = rng.choice([1, 1, 2, 5, 5, 150 if rng.randrange(4) == 0 else 20])
        args = [x for _ in range(count) for x in place(gen) + [member(gen)]]
        if count > 20:
            args = [x for i in range(count)
                    for x in (b"%.6f" % rng.uniform(-180, 180), b"%.6f" % rng.uniform(-85, 85), b"%d" % i)]
        return [key] + words + (args[:-1] if rng.randrange(30) == 0 else args)
    if name in (b"GEOPOS", b"GEOHASH"):
        return [key] + [member(gen) for _ in range(rng.randrange(4))]
    if name == b"GEODIST":
        return [key, member(gen), member(gen)] + gen.pick([], [unit(gen)], [unit(gen)], [b"km", b"x"])
    if name == b"GEOSEARCH":
        return [key] + search(gen, False)
    if name == b"GEOSEARCHSTORE":
        return [gen.key(), key] + search(gen, True)
    store = []
    if not name.endswith(b"_RO") and rng.randrange(3) == 0:
        store = [[gen.case(gen.pick(b"STORE", b"STOREDIST")), gen.key()]]
    start = place(gen) if name.startswith(b"GEORADIUS_") or name == b"GEORADIUS" else [member(gen)]
    return [key] + start + [length(gen), unit(gen)] + options(gen, not store or rng.randrange(20) == 0, store)
