"""Django's cache over Redis, and sessions in it: django-redis (python3-django-redis of Debian), two
programs, each with its own router.

    django_cache.py HOST PORT PORT2
"""

import os
import sys
import threading
import time

import django
from django.conf import settings

PATIENCE = float(os.environ.get("SHERD_TEST_PATIENCE", "1"))
SECONDS = 20 * PATIENCE
host, first, second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
prefix = f"dj{os.getpid()}"


def cache_settings(port, **options):
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": f"redis://{host}:{port}/0",
            "KEY_PREFIX": options.pop("prefix", prefix), "TIMEOUT": 300, "OPTIONS": options}


settings.configure(
    CACHES={"default": cache_settings(first), "other": cache_settings(second),
            "apart": cache_settings(second, prefix=prefix + "apart"),
            "json": cache_settings(
                second, SERIALIZER="django_redis.serializers.json.JSONSerializer",
                COMPRESSOR="django_redis.compressors.zlib.ZlibCompressor")},
    SESSION_ENGINE="django.contrib.sessions.backends.cache", SESSION_CACHE_ALIAS="default",
    SECRET_KEY="secret", USE_TZ=True, DATABASES={})
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import caches  # noqa: E402

checks = 0


def equal(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"django: {what}\n  got:    {got!r}\n  wanted: {wanted!r}")


def until(what, predicate):
    end = time.monotonic() + SECONDS
    while not predicate():
        if time.monotonic() > end:
            sys.exit(f"django: {what} in vain")
        time.sleep(0.01)


def values(one, two):
    for key, value in (("text", "값 ☃"), ("number", 42), ("float", 1.5), ("none", None),
                       ("list", [1, "two", {"three": (3,)}]), ("bytes", b"\0\xff")):
        one.set(key, value)
        equal(key, two.get(key, "missing"), value)
    equal("a default", two.get("nothing", "default"), "default")
    equal("add", (one.add("new", 1), two.add("new", 2), one.get("new")), (True, False, 1))
    equal("contains", ("new" in two, "nothing" in one), (True, False))
    equal("delete", (two.delete("new"), bool(two.delete("new")), one.get("new")),
          (True, False, None))
    made = (one.get_or_set("made", lambda: "by one"), two.get_or_set("made", "by two"))
    equal("get_or_set", made, ("by one", "by one"))
    equal("versions", (one.set("v", 1, version=1), two.set("v", 2, version=2),
                       two.get("v", version=1), one.get("v", version=2), one.incr_version("v"),
                       two.get("v", version=2), two.get("v", version=1)),
          (True, True, 1, 2, 2, 1, None))


def numbers(one, two):
    one.set("n", 1)
    equal("incr", (two.incr("n"), one.incr("n", 10), two.decr("n", 2)), (2, 12, 10))
    try:
        one.incr("nothing")
        sys.exit("django: what is not there was counted")
    except ValueError as error:
        equal("incr of nothing", "not found" in str(error), True)
    one.set("hits", 0)

    def count(cache):
        for _ in range(50):
            cache.incr("hits")

    threads = [threading.Thread(target=count, args=(caches[name],))
               for name in ("default", "other") * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal("no hit is lost", two.get("hits"), 300)


def expiry(one, two):
    one.set("short", 1, timeout=1)
    one.set("long", 1, timeout=1000)
    one.set("forever", 1, timeout=None)
    one.set("never", 1, timeout=0)
    equal("never", two.get("never"), None)
    equal("ttl", (two.ttl("forever"), 990 <= two.ttl("long") <= 1000, two.ttl("nothing")),
          (None, True, 0))
    equal("touch", (two.touch("long", 2000), one.ttl("long") > 1900, one.touch("nothing", 5)),
          (True, True, False))
    equal("expire", (one.expire("forever", 50), two.ttl("forever") <= 50), (True, True))
    equal("persist", (two.persist("forever"), one.ttl("forever")), (True, None))
    until("its end", lambda: two.get("short") is None)


def many(one, two):
    data = {f"many{i}": {"i": i} for i in range(300)}
    one.set_many(data, timeout=500)
    equal("get_many", two.get_many([*data, "nothing"]), data)
    equal("with their ends", two.ttl("many7") > 400, True)
    equal("keys", sorted(two.keys("many29*")),
          sorted(key for key in data if key.startswith("many29")))
    equal("iter_keys", sorted(one.iter_keys("many*", itersize=20)), sorted(data))
    one.delete_many([f"many{i}" for i in range(100)])
    equal("delete_many", len(two.get_many(data)), 200)
    equal("delete_pattern", (two.delete_pattern("many1*", itersize=50), len(one.keys("many*"))),
          (100, 100))


def locks(one, two):
    """A lock of redis-py: a script, and a token."""
    total = {"inside": 0, "wrong": 0}

    def work(cache):
        for _ in range(8):
            with cache.lock("mutex", timeout=20, blocking_timeout=SECONDS, sleep=0.005):
                total["inside"] += 1
                total["wrong"] += total["inside"] != 1
                value = cache.get("locked", 0)
                time.sleep(0.001)
                cache.set("locked", value + 1)
                total["inside"] -= 1

    threads = [threading.Thread(target=work, args=(caches[name],))
               for name in ("default", "other") * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal("one at a time", (total["wrong"], two.get("locked")), (0, 32))
    lock = one.lock("short", timeout=0.2)
    equal("taken", (lock.acquire(), two.lock("short").acquire(blocking=False)), (True, False))
    until("its end", lambda: two.lock("short", timeout=5).acquire(blocking=False))


def sessions(_, two):
    session = SessionStore()
    session["user"] = "ann"
    session.create()
    key = session.session_key

    def seen():
        store = SessionStore(key)
        store._cache = two  # As a program with the other router has it.
        return store

    equal("seen by the other", (seen()["user"], seen().exists(key)), ("ann", True))
    session["cart"] = ["☃"]
    session.set_expiry(600)
    session.save()
    equal("saved", (seen()["cart"], 500 < two.ttl(session.cache_key) <= 600), (["☃"], True))
    session.cycle_key()
    equal("a new key", (session.session_key != key, seen().exists(key), session["user"]),
          (True, False, "ann"))
    session.flush()
    equal("flushed", dict(SessionStore(key).load()), {})


def kinds(_, __):
    cache = caches["json"]
    cache.set("big", {"text": "값" * 5000})
    equal("compressed JSON", cache.get("big"), {"text": "값" * 5000})


def clearing(one, two):
    apart = caches["apart"]
    apart.set("mine", 1)
    one.clear()
    equal("clear empties the database, as django-redis says", (two.get("list"), apart.get("mine")),
          (None, None))


for part in (values, numbers, expiry, many, locks, sessions, kinds, clearing):
    part(caches["default"], caches["other"])
print(f"django: {checks} checks")
