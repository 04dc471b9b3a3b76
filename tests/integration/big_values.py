"""Values of 2, 16 and 64 MB through the router: they come back byte for byte, others do not feel
them, nobody loses leadership over them, memory comes back. What is over the limits is refused.
"""

import random
import socket
import threading
import time

import harness
from cluster import demand, wait_until
from resp_client import RespError, encode

MIB = 1 << 20
SIZES = (2, 16, 64)
WAIT_MAX_S = 1.0


class Others:
    """A client that writes and reads small values all the time."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.worst = 0
        self.count = 0
        self.wrong = None
        self.stopping = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with self.cluster.router.client(timeout=30) as client:
            while not self.stopping and self.wrong is None:
                started = time.monotonic()
                key = f"other{self.count % 100}"
                replies = client.call("SET", key, str(self.count)), client.call("GET", key)
                self.worst = max(self.worst, time.monotonic() - started)
                if replies != ("OK", str(self.count).encode()):
                    self.wrong = replies
                self.count += 1
                time.sleep(0.001)

    def stop(self):
        self.stopping = True
        self.thread.join()

    def take_worst(self):
        worst, self.worst = self.worst, 0
        return worst


def change(context, client, size):
    """Every command that makes a large value, and some that work on one."""
    bits = random.Random(context.seed + size)
    first, second = bits.randbytes(size), bits.randbytes(size)
    key = f"big{size}"
    demand(client.call("SETNX", key, first) == 1, "SETNX")
    demand(client.call("GET", key) == first, f"GET of {size} bytes")
    demand(client.call("SETNX", key, second) == 0, "SETNX of a key that is there")
    demand(client.call("SET", key, second, "NX") is None, "SET NX of a key that is there")
    demand(client.call("GETSET", key, second) == first, "GETSET")
    demand(client.call("SETEX", key, "100", first) == "OK", "SETEX")
    demand(0 < client.call("TTL", key) <= 100, "TTL")
    demand(client.call("SET", key, second, "KEEPTTL", "GET") == first, "SET KEEPTTL GET")
    demand(0 < client.call("TTL", key) <= 100, "TTL after KEEPTTL")
    demand(client.call("STRLEN", key) == size, "STRLEN")
    demand(client.call("GETRANGE", key, 1000000, 1000099) == second[1000000:1000100], "GETRANGE")
    # What is pipelined behind a large value sees it.
    replies = client.pipeline([("SET", key, first), ("GETRANGE", key, 0, 9), ("APPEND", key, "z"),
                               ("STRLEN", key), ("PING",)])
    demand(replies == ["OK", first[:10], size + 1, size + 1, "PONG"], "a pipeline")
    demand(client.call("GET", key) == first + b"z", "GET after APPEND")
    demand(client.call("DEL", key) == 1, "DEL")
    demand(client.call("GET", key) is None, "GET of a deleted key")


def flush_between(client, cluster):
    """A value that is flushed while it comes is whole or gone, never a torso."""
    value = b"f" * (16 * MIB)
    replies = []

    def write():
        with cluster.router.client(timeout=30) as writer:
            replies.append(writer.call("SET", "flushed", value))

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        demand(client.call("FLUSHALL") == "OK", "FLUSHALL")
        time.sleep(0.005)
    thread.join()
    left = client.call("GET", "flushed")
    demand(left is None or left == value, f"{left and len(left)} bytes of {len(value)} are left")
    good = replies[0] == "OK" or (isinstance(replies[0], RespError) and
                                  replies[0].code() == "TRYAGAIN")
    demand(good, f"the reply was {replies[0]!r}")


def refused(cluster):
    """As in Redis: the error, then the connection ends."""
    with socket.create_connection(cluster.router.address, timeout=10) as one:
        one.sendall(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n" % (512 * MIB + 1))
        answer = b""
        while chunk := one.recv(4096):
            answer += chunk
    demand(answer == b"-ERR Protocol error: invalid bulk length\r\n", f"the answer was {answer}")
    with cluster.router.client(timeout=30) as client:
        reply = client.call("APPEND", "k", b"x" * (31 * MIB))
        demand(isinstance(reply, RespError) and "larger than" in str(reply), f"{reply!r}")
        demand(client.call("CONFIG", "SET", "proto-max-bulk-len", str(MIB)) == "OK", "CONFIG SET")
    with cluster.router.client(timeout=10) as client:
        client.send_raw(encode(["SET", "k", b"x" * (MIB + 1)])[:100])
        reply = client.read()
        demand(str(reply) == "ERR Protocol error: invalid bulk length", f"{reply!r}")


def elections(cluster):
    return sum(node.log_text().count(" group.leader ") for node in cluster.nodes)


def test(context):
    cluster = context.cluster()
    cluster.start()
    others = Others(cluster)
    context.cleanups.append(others.stop)
    wait_until(lambda: others.count > 100, 20, "other clients are served")
    others.take_worst()
    before = {each: each.memory() for each in cluster.processes()}
    led = elections(cluster)
    with cluster.router.client(timeout=60) as client:
        for size in SIZES:
            started = time.monotonic()
            change(context, client, size * MIB)
            worst = others.take_worst()
            context.say(f"{size} MB: {time.monotonic() - started:.1f} s; others waited up to "
                        f"{worst * 1000:.0f} ms")
            demand(worst < WAIT_MAX_S, f"others waited {worst:.1f} s")
        others.stop()
        demand(others.wrong is None, f"another client got {others.wrong!r}")
        flush_between(client, cluster)
    demand(elections(cluster) == led, "leadership was lost")
    refused(cluster)
    # What stays is the engine's and the log's caches, which are bounded.
    bound = {each: 48 if each is cluster.router else 768 for each in cluster.processes()}
    wait_until(lambda: all(each.memory() - size < bound[each] * MIB
                           for each, size in before.items()), 20, "memory came back")
    context.say(" ".join(f"{each.name}+{(each.memory() - size) / MIB:.0f} MB"
                         for each, size in before.items()))
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


harness.run(test, limit=200)
