"""redis-py 4.3 (python3-redis of Debian): RESP2, no handshake, a connection pool."""

import sys
import threading
import time
import uuid

import redis

host, port = sys.argv[1], int(sys.argv[2])
prefix = f"py:{uuid.uuid4().hex[:8]}:"
checks = 0


def equal(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"redis-py: {what}\n  got:    {got!r}\n  wanted: {wanted!r}")


def fails(what, part, call):
    try:
        got = call()
    except redis.RedisError as error:
        equal(f"{what}: {error}", part in str(error), True)
    else:
        sys.exit(f"redis-py: {what} did not fail but gave {got!r}")


def strings(r):
    equal("ping", r.ping(), True)
    equal("echo", r.echo("hi"), "hi")
    equal("set", r.set(prefix + "a", "1"), True)
    equal("get", r.get(prefix + "a"), "1")
    equal("get none", r.get(prefix + "none"), None)
    equal("set nx", r.set(prefix + "a", "2", nx=True), None)
    equal("set xx get", r.set(prefix + "a", "3", xx=True, get=True), "1")
    equal("setnx", r.setnx(prefix + "b", "x"), True)
    equal("getset", r.getset(prefix + "b", "y"), "x")
    equal("getdel", r.getdel(prefix + "b"), "y")
    equal("incr", r.incr(prefix + "n"), 1)
    equal("decr", r.decr(prefix + "n", 11), -10)
    equal("incrbyfloat", r.incrbyfloat(prefix + "f", 0.5), 0.5)
    equal("append", r.append(prefix + "s", "Hello"), 5)
    equal("setrange", r.setrange(prefix + "s", 6, "World"), 11)
    equal("getrange", r.getrange(prefix + "s", 0, -1), "Hello\0World")
    equal("strlen", r.strlen(prefix + "s"), 11)
    equal("setbit", r.setbit(prefix + "bits", 7, 1), 0)
    equal("getbit", r.getbit(prefix + "bits", 7), 1)
    equal("bitcount", r.bitcount(prefix + "bits"), 1)
    equal("set unicode", r.set(prefix + "ключ", "값 ☃"), True)
    equal("get unicode", r.get(prefix + "ключ"), "값 ☃")
    big = "v" * (3 * 1024 * 1024)
    equal("3 MB", (r.set(prefix + "big", big), r.get(prefix + "big") == big), (True, True))
    raw = redis.Redis(host, port)
    blob = bytes(range(256)) * 4
    equal("binary", (raw.set(prefix.encode() + b"\0\r\n", blob),
                     raw.get(prefix.encode() + b"\0\r\n")),
          (True, blob))


def expiry(r):
    r.set(prefix + "e", "v", ex=100)
    equal("ttl", 95 <= r.ttl(prefix + "e") <= 100, True)
    equal("persist", r.persist(prefix + "e"), True)
    equal("ttl none", r.ttl(prefix + "e"), -1)
    equal("ttl missing", r.ttl(prefix + "missing"), -2)
    equal("expire", r.expire(prefix + "e", 50), True)
    equal("expire gt", r.expire(prefix + "e", 10, gt=True), False)
    equal("pexpire", r.pexpire(prefix + "e", 30), True)
    end = time.monotonic() + 5
    while r.exists(prefix + "e") and time.monotonic() < end:
        time.sleep(0.005)
    equal("gone after its time", r.get(prefix + "e"), None)
    r.set(prefix + "k", "v", px=60000)
    r.set(prefix + "k", "w", keepttl=True)
    equal("keepttl", r.pttl(prefix + "k") > 50000, True)
    r.set(prefix + "k", "w")
    equal("set clears the ttl", r.pttl(prefix + "k"), -1)
    equal("getex", r.getex(prefix + "k", ex=10), "w")


def many_keys(r):
    keys = [f"{prefix}many:{i}" for i in range(500)]
    equal("mset", r.mset({key: str(i) for i, key in enumerate(keys)}), True)
    equal("mget", r.mget(keys + [prefix + "none"]), [str(i) for i in range(500)] + [None])
    equal("exists", r.exists(*keys, prefix + "none"), 500)
    equal("touch", r.touch(*keys[:10]), 10)
    equal("scan_iter", sorted(r.scan_iter(match=prefix + "many:*", count=50)), sorted(keys))
    everything = set(r.scan_iter(count=1000))
    equal("scan without pattern", set(keys) <= everything, True)
    equal("scan type", set(r.scan_iter(match=prefix + "many:*", _type="string")), set(keys))
    equal("keys", sorted(r.keys(prefix + "many:1?")), keys[10:20])
    equal("dbsize", r.dbsize() >= 500, True)
    equal("randomkey", r.randomkey() is not None, True)
    equal("delete", r.delete(*keys[:100]), 100)
    equal("unlink", r.unlink(*keys[50:200]), 100)
    equal("the rest", len(list(r.scan_iter(match=prefix + "many:*"))), 300)


def pipelines(r):
    with r.pipeline(transaction=False) as pipe:
        for i in range(2000):
            pipe.set(f"{prefix}p:{i}", i)
            pipe.get(f"{prefix}p:{i}")
            pipe.incr(prefix + "pn")
        got = pipe.execute()
    wanted = [part for i in range(2000) for part in (True, str(i), i + 1)]
    equal("pipeline", got == wanted, True)
    with r.pipeline(transaction=False) as pipe:
        pipe.set(prefix + "text", "text").incr(prefix + "text").get(prefix + "text")
        got = pipe.execute(raise_on_error=False)
    equal("an error in a pipeline stays in its place",
          (got[0], isinstance(got[1], redis.ResponseError), got[2]), (True, True, "text"))


def transactions(r):
    tag = "{" + prefix + "}"
    with r.pipeline(transaction=True) as pipe:
        pipe.set(tag + "a", 1).incr(tag + "a").get(tag + "a").mget(tag + "a", tag + "none")
        equal("transaction", pipe.execute(), [True, 2, "2", ["2", None]])
    with r.pipeline() as pipe:
        pipe.set(tag + "text", "text").incr(tag + "text").get(tag + "text")
        got = pipe.execute(raise_on_error=False)
    equal("an error in a transaction stays in its place",
          (got[0], isinstance(got[1], redis.ResponseError), got[2]), (True, True, "text"))

    def next_number(pipe):
        number = int(pipe.get(tag + "n") or 0)
        pipe.multi()
        pipe.set(tag + "n", number + 1)

    def work():
        mine = redis.Redis(host, port, decode_responses=True)
        for _ in range(25):
            mine.transaction(next_number, tag + "n")

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    equal("transaction() of many threads", r.get(tag + "n"), "100")
    with r.pipeline() as pipe:
        pipe.watch(tag + "n")
        r.set(tag + "n", "other")
        pipe.multi()
        pipe.set(tag + "n", "mine")
        try:
            pipe.execute()
            sys.exit("redis-py: a watched key changed, and EXEC ran")
        except redis.WatchError:
            pass
    equal("what was not executed", r.get(tag + "n"), "other")
    database = redis.Redis(host, port, db=7, decode_responses=True)
    with database.pipeline() as pipe:
        pipe.flushdb()
        for i in range(1000):
            pipe.set(f"{prefix}{i}", i)
        pipe.dbsize()
        equal("any keys of a co-located database", pipe.execute()[-1], 1000)
    equal("its keys", len(list(database.scan_iter(count=50))), 1000)


def errors(r):
    r.set(prefix + "text", "text")
    fails("incr of text", "value is not an integer or out of range",
          lambda: r.incr(prefix + "text"))
    fails("unknown command", "unknown command", lambda: r.execute_command("FLYAWAY", "x"))
    fails("arity", "wrong number of arguments", lambda: r.execute_command("GET"))
    fails("syntax", "syntax error", lambda: r.execute_command("SET", prefix + "a", "b", "NOPE"))
    fails("expire time", "invalid expire time", lambda: r.execute_command("SET", prefix + "a", "b",
                                                                          "EX", 0))
    equal("the connection goes on", r.ping(), True)


def server(r):
    info = r.info()
    equal("info role", info["role"], "master")
    equal("info loading", info["loading"], 0)
    equal("info version", str(info["redis_version"]).startswith("7"), True)
    equal("client_setname", r.client_setname("py"), True)
    equal("config_get", "maxclients" in r.config_get("max*"), True)
    equal("time", abs(r.time()[0] - time.time()) < 5, True)
    equal("command", "get" in r.command(), True)


def reconnection(r):
    """A connection that the server closes is replaced by the pool; the command goes on."""
    single = redis.Redis(host, port, decode_responses=True, single_connection_client=False,
                         max_connections=1, retry_on_error=[redis.ConnectionError])
    victim = single.client_id()
    equal("client_kill", r.client_kill_filter(_id=victim), 1)
    equal("after the kill", single.set(prefix + "re", "connected"), True)
    equal("a new connection", single.client_id() != victim, True)


def threads(r):
    """One pool for many threads; nobody gets the reply of another."""
    wrong = []

    def work(number):
        for i in range(200):
            key = f"{prefix}t:{number}"
            r.set(key, f"{number}.{i}")
            if r.get(key) != f"{number}.{i}":
                wrong.append((number, i))

    workers = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    equal("replies stay with who asked", wrong, [])


client = redis.Redis(host, port, decode_responses=True)
for part in (strings, expiry, many_keys, pipelines, transactions, errors, server, reconnection, threads):
    part(client)
print(f"redis-py {redis.__version__}: {checks} checks")
