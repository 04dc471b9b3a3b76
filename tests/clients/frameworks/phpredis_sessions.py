"""phpredis sessions with locking (php-redis of Debian): two web servers of PHP, each with its own
router; the sessions are in database 0.

    phpredis_sessions.py HOST PORT PORT2
"""

import concurrent.futures
import http.cookies
import json
import os
import random
import subprocess
import sys
import time
import urllib.request

import redis

PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "phpredis_pages.php")
PATIENCE = float(os.environ.get("SHERD_TEST_PATIENCE", "1"))
SECONDS = 20 * PATIENCE
PREFIX = f"PHPREDIS_SESSION{os.getpid()}:"
LIFETIME = 1000

checks = 0


def equal(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"phpredis: {what}\n  got:    {got!r}\n  wanted: {wanted!r}")


def until(what, predicate):
    end = time.monotonic() + SECONDS
    while not predicate():
        if time.monotonic() > end:
            sys.exit(f"phpredis: {what} in vain")
        time.sleep(0.01)


class WebServer:
    """PHP's own, with six processes. It cannot be asked for a port of the kernel's choice."""

    def __init__(self, host, port):
        settings = {
            "session.save_handler": "redis",
            "session.save_path": f"tcp://{host}:{port}?prefix={PREFIX}",
            "session.gc_maxlifetime": LIFETIME,
            "redis.session.locking_enabled": 1,
            "redis.session.lock_expire": 30,
            "redis.session.lock_wait_time": 2000,
            "redis.session.lock_retries": 5000,
            "session.use_strict_mode": 0,
        }
        flags = [flag for name, value in settings.items() for flag in ("-d", f'{name}="{value}"')]
        for _ in range(20):
            self.port = random.SystemRandom().randrange(10000, 32000)
            self.child = subprocess.Popen(
                ["php", *flags, "-S", f"127.0.0.1:{self.port}", PAGES],
                env={**os.environ, "PHP_CLI_SERVER_WORKERS": "6"}, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            if self.answers():
                return
            self.stop()
        sys.exit("phpredis: no port for PHP")

    def answers(self):
        end = time.monotonic() + SECONDS
        while self.child.poll() is None and time.monotonic() < end:
            try:
                self.get("/favicon.ico-", {})
                return True
            except OSError:
                time.sleep(0.02)
        return False

    def get(self, path, cookies):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}")
        request.add_header("Cookie", "; ".join(f"{k}={v}" for k, v in cookies.items()))
        with urllib.request.urlopen(request, timeout=SECONDS) as reply:
            for header in reply.headers.get_all("Set-Cookie") or []:
                for name, morsel in http.cookies.SimpleCookie(header).items():
                    cookies[name] = morsel.value
            return json.load(reply)

    def stop(self):
        # Its processes are a group of their own.
        try:
            os.killpg(self.child.pid, 15)
        except ProcessLookupError:
            pass
        self.child.wait()


def login(servers, store):
    one, two = servers
    browser = {}
    first = one.get("/look", browser)["id"]
    session = one.get("/login?user=ann", browser)
    equal("a new id", session["id"] != first, True)
    equal("the old one is gone", store.exists(PREFIX + first), 0)
    seen = two.get("/look", browser)
    equal("seen by the other", seen, {"id": session["id"], "session": {
        "user": "ann", "visits": 0, "cart": ["키보드", "☃", 1.5, None]}})
    ttl = store.ttl(PREFIX + session["id"])
    equal(f"it ends some day: {ttl}", LIFETIME - 20 <= ttl <= LIFETIME, True)
    for i in range(10):
        visits = servers[i % 2].get("/visit", browser)["session"]["visits"]
        equal(f"visit {i}", visits, i + 1)
    equal("no lock is left", store.exists(PREFIX + session["id"] + "_LOCK"), 0)
    return browser, session["id"]


def touched(servers, store, browser, number):
    store.expire(PREFIX + number, 100)
    servers[1].get("/visit", browser)
    equal("a page renews it", store.ttl(PREFIX + number) > 900, True)


def counting(servers, store, browser):
    """Pages that read, wait and write, all at once: the lock makes them one after the other."""
    before = servers[0].get("/look", browser)["session"]["visits"]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        got = list(pool.map(lambda i: servers[i % 2].get("/visit", dict(browser)), range(40)))
    visits = sorted(reply["session"]["visits"] for reply in got)
    equal("no visit is lost", visits, list(range(before + 1, before + 41)))
    equal("no lock is left", store.keys(PREFIX + "*_LOCK"), [])


def locked(servers, store, browser, number):
    """A page waits for the one that has the session, whichever server has it."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        slow = pool.submit(servers[0].get, "/slow?ms=400", dict(browser))
        until("the lock", lambda: store.exists(PREFIX + number + "_LOCK"))
        after = servers[1].get("/visit", dict(browser))
        equal("it waited", after["session"]["slow"], "ended")
        equal("the slow one", slow.result()["session"]["slow"], "ended")


def abandoned(servers, store, browser, number):
    """The lock of a page that died ends by itself, and nobody else's is taken away."""
    store.set(PREFIX + number + "_LOCK", "of the dead", px=300)
    began = time.monotonic()
    servers[0].get("/visit", browser)
    equal("it waited", time.monotonic() - began > 0.15, True)


def many(servers, store):
    def user(i):
        browser = {}
        servers[i % 2].get(f"/login?user=u{i}", browser)
        for visit in range(5):
            session = servers[(i + visit) % 2].get("/visit", browser)["session"]
            if (session["user"], session["visits"]) != (f"u{i}", visit + 1):
                return session
        return None

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        equal("users are apart", list(pool.map(user, range(24))), [None] * 24)
    equal("so many sessions", len(list(store.scan_iter(PREFIX + "*", count=100))), 25)


def logout(servers, store, browser, number):
    servers[1].get("/big", browser)
    equal("200 KB", len(servers[0].get("/look", browser)["session"]["big"]), 200000)
    servers[0].get("/logout", browser)
    equal("gone", store.exists(PREFIX + number), 0)
    equal("and everywhere", servers[1].get("/look", browser)["session"], [])


def main():
    host, first, second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = redis.Redis(host, second)
    servers = []
    try:
        for port in (first, second):
            servers.append(WebServer(host, port))
        until("what the start left is gone", lambda: [store.delete(key) for key in
                                                      store.scan_iter(PREFIX + "*")] == [])
        browser, number = login(servers, store)
        touched(servers, store, browser, number)
        counting(servers, store, browser)
        locked(servers, store, browser, number)
        abandoned(servers, store, browser, number)
        many(servers, store)
        logout(servers, store, browser, number)
    finally:
        for server in servers:
            server.stop()
    print(f"phpredis: {checks} checks")


main()
