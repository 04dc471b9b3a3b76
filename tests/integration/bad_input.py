"""Hostile and broken input on every port: the offender gets a clear error or is disconnected;
others get PONG at once, no process dies, memory stays bounded.
"""

import os
import socket
import struct
import time

import harness
from cluster import answers_ping, demand
from resp_client import RespClient, encode

MIB = 1 << 20
ANSWER_S = 2.0


def corpus(random):
    """(name, bytes) of everything that a parser of RESP must survive."""
    lengths = [b"-1", b"-2", b"-9223372036854775808", b"2147483647", b"2147483648", b"4294967296",
               b"9223372036854775807", b"9223372036854775808", b"99999999999999999999", b"abc", b"",
               b"1x", b"+1", b"0x10", b" 1", b"1 ", b"00000000000000000001", b"\0", b"1\0"]
    for length in lengths:
        yield f"multibulk {length!r}", b"*" + length + b"\r\n"
        yield f"bulk {length!r}", b"*2\r\n$3\r\nGET\r\n$" + length + b"\r\n"
        yield f"first bulk {length!r}", b"*1\r\n$" + length + b"\r\nx\r\n"
    yield "bulk of 512 MB and one", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870913\r\n"
    yield "a million empty arguments", b"*1048576\r\n" + b"$0\r\n\r\n" * 100000
    yield "arguments over the limit", b"*1048577\r\n"
    yield "nested arrays", b"*1\r\n" * 10000
    yield "array in place of a bulk", b"*2\r\n*1\r\n$4\r\nPING\r\n$1\r\nx\r\n"
    yield "no CR", b"*1\n$4\nPING\n"
    yield "no LF", b"*1\r$4\rPING\r" * 10
    yield "wrong end of a bulk", b"*2\r\n$3\r\nGET\r\n$1\r\nkXX*1\r\n$4\r\nPING\r\n"
    yield "empty lines", b"\r\n" * 5000
    yield "inline without end", b"A" * (128 * 1024)
    yield "inline of 64 KB", b"GET " + b"k" * 65536 + b"\r\n"
    yield "open quote", b"SET a \"b\r\n"
    yield "quote and more", b"SET a \"b\"c\r\n"
    yield "bad escapes", b"SET a \"\\xzz\\q\"\r\n"
    yield "NULs", b"\0" * 4096
    yield "key of 64 KB", encode(["GET", b"k" * 65536])
    yield "key of 64 KB and one", encode(["SET", b"k" * 65537, "v"])
    yield "key of 1 MB", encode(["SET", b"k" * MIB, "v"])
    yield "not UTF-8", encode([b"\xff\xfe", b"\x80"])
    yield "empty command", encode([""])
    yield "no arguments", b"*0\r\n"
    yield "every arity of GET", b"".join(encode(["GET"] * n) for n in range(1, 50))
    yield "HTTP GET", b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: x\r\n\r\n"
    yield "HTTP POST", (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
                       b"*1\r\n$8\r\nFLUSHALL\r\n")
    yield "TLS hello", bytes.fromhex("16030100a5010000a10303") + random.randbytes(160)
    yield "SSH", b"SSH-2.0-OpenSSH_9.2p1\r\n"
    yield "memcached", b"set k 0 0 1\r\nx\r\nget k\r\n"
    yield "many AUTH", b"".join(encode(["AUTH", "wrong", str(i)]) for i in range(500))
    yield "MULTI without EXEC", encode(["MULTI"]) + encode(["SET", "a", "b"]) * 1000
    yield "SUBSCRIBE", b"".join(encode(["SUBSCRIBE", f"c{i}"]) for i in range(1000))
    yield "numbers at their ends", b"".join(
        encode(words) for words in (
            ["SETRANGE", "bad:k", "536870912", "x"], ["SETRANGE", "bad:k", "-1", "x"],
            ["SETRANGE", "bad:k", "9223372036854775807", "x"], ["SETBIT", "bad:k", "4294967296",
                                                                "1"],
            ["SETBIT", "bad:k", "-1", "1"], ["SETBIT", "bad:k", "0", "2"],
            ["GETRANGE", "bad:k", "-9223372036854775808", "9223372036854775807"],
            ["INCRBY", "bad:n", "9223372036854775807"], ["INCRBY", "bad:n", "9223372036854775807"],
            ["DECRBY", "bad:n", "-9223372036854775808"], ["INCRBYFLOAT", "bad:f", "nan"],
            ["INCRBYFLOAT", "bad:f", "inf"], ["INCRBYFLOAT", "bad:f", "1e400"],
            ["EXPIRE", "bad:n", "9223372036854775807"], ["PEXPIREAT", "bad:n",
                                                         "-9223372036854775808"],
            ["SET", "bad:k", "v", "PX", "9223372036854775807"], ["SET", "bad:k", "v", "EX", "0"],
            ["SCAN", "18446744073709551615"], ["SCAN", "18446744073709551616"], ["SCAN", "-1"],
            ["SCAN", "0", "COUNT", "0"], ["SCAN", "0", "COUNT", "9223372036854775807"],
            ["BITCOUNT", "bad:k", "-1", "-2"], ["BITPOS", "bad:k", "2"], ["CLIENT", "KILL", "ID",
                                                                          "-1"],
            ["HELLO", "4"], ["HELLO", "x"], ["SELECT", "-1"], ["SELECT", "99999999999"],
            ["CONFIG", "SET", "maxclients", "-1"], ["OBJECT", "ENCODING"], ["COMMAND", "GETKEYS",
                                                                            "MSET"]))
    yield "glob bombs", encode(["SCAN", "0", "MATCH", "*a" * 2000 + "b"]) + encode(
        ["KEYS", "[" * 10000]) + encode(["KEYS", "\\"])
    for i in range(12):
        yield f"garbage {i}", random.randbytes(random.randrange(1, 20000))
        yield f"RESP garbage {i}", bytes(random.choice(b"*$+-:\r\n0123456789ab\0 ")
                                         for _ in range(random.randrange(1, 3000)))


def frames(random):
    """The same for the frames that nodes and routers speak, on the node's port."""
    def frame(kind, size, body=b"", checksum=None):
        return struct.pack("<BBBBI", 0xF5, kind, 0, 0, size) + (
            random.randbytes(8) if checksum is None else checksum) + body

    yield "magic alone", b"\xf5"
    yield "magic and silence", b"\xf5" + b"\0" * 7
    for kind in list(range(0, 12)) + [127, 255]:
        yield f"frame {kind} empty", frame(kind, 0)
        yield f"frame {kind} of 1 GB", frame(kind, (1 << 30) - 1, b"x" * 1000)
        yield f"frame {kind} of 4 GB", frame(kind, 0xffffffff, b"x" * 1000)
        yield f"frame {kind} garbage", frame(kind, 4000, random.randbytes(4000))
    for i in range(10):
        yield f"frame garbage {i}", b"\xf5" + random.randbytes(random.randrange(1, 20000))


def throw(address, data, half_close):
    """Sends it, reads what comes until it is closed or quiet; the server chooses how it ends."""
    with socket.create_connection(address, timeout=ANSWER_S) as attack:
        attack.settimeout(0.15)
        try:
            attack.sendall(data)
            if half_close:
                attack.shutdown(socket.SHUT_WR)
            while attack.recv(65536):
                pass
        except OSError:
            pass


class Watch:
    """The well-behaved others: one connection that was there before, and new ones."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.steady = [RespClient(process.address, timeout=ANSWER_S)
                       for process in cluster.processes()]

    def look(self, after):
        for process, client in zip(self.cluster.processes(), self.steady):
            demand(process.alive(), f"{process.name} died after: {after}")
            started = time.monotonic()
            demand(client.call("PING") == "PONG", f"{process.name} after: {after}")
            demand(answers_ping(process.address, ANSWER_S), f"{process.name} after: {after}")
            took = time.monotonic() - started
            demand(took < 1.0, f"{process.name} took {took:.1f} s for PING after: {after}")
        router = self.steady[-1]
        demand(router.call("SET", "good", after) == "OK", f"SET after: {after}")
        demand(router.call("GET", "good") == after.encode(), f"GET after: {after}")


def cut_everywhere(address, watch):
    """A request cut, and two glued, at every byte; slowly as well."""
    request = encode(["SET", "cut", "x" * 20])
    for at in range(len(request)):
        throw_quick(address, request[:at])
    watch.look("a request cut at every byte")
    with RespClient(address, timeout=ANSWER_S) as client:
        # Commands that any process answers: a node need not lead the shard of a key.
        pair = encode(["ECHO", "cut"]) + encode(["PING"])
        for at in range(1, len(pair)):
            client.send_raw(pair[:at])
            time.sleep(0.001)  # Lets the first part arrive alone.
            client.send_raw(pair[at:])
            got = [client.read(), client.read()]
            demand(got == [b"cut", "PONG"], f"two requests cut at byte {at}: {got}")
        for byte in encode(["PING"]):
            client.send_raw(bytes([byte]))
            time.sleep(0.001)
        demand(client.read() == "PONG", "PING byte by byte")


def throw_quick(address, data):
    with socket.create_connection(address, timeout=ANSWER_S) as attack:
        attack.sendall(data)


def half_requests(cluster, watch, before):
    """Many clients that each hold half of a big request open."""
    held = []
    for i in range(100):
        one = socket.create_connection(cluster.router.address, timeout=5)
        one.sendall(b"*3\r\n$3\r\nSET\r\n$4\r\nhalf\r\n$536870912\r\n" + b"x" * 10000)
        held.append(one)
    watch.look("100 clients that announce 512 MB each")
    grown = cluster.router.memory() - before
    demand(grown < 100 * MIB, f"the router took {grown // MIB} MB for announced bytes")
    for one in held:
        one.close()


def big_values(cluster, watch):
    """A large value passes and does not hold up others."""
    with cluster.router.client(timeout=60) as client:
        value = os.urandom(8 * MIB)
        demand(client.call("SET", "big", value) == "OK", "SET of 8 MB")
        demand(client.call("GET", "big") == value, "GET of 8 MB")
        watch.look("a value of 8 MB")
        demand(client.call("DEL", "big") == 1, "DEL")


def test(context):
    cluster = context.cluster()
    cluster.start()
    watch = Watch(cluster)
    before = {process: process.memory() for process in cluster.processes()}
    count = 0
    for process in (cluster.router, cluster.nodes[0]):
        inputs = list(corpus(context.random))
        if process is not cluster.router:
            inputs += list(frames(context.random))
        for name, data in inputs:
            throw(process.address, data, half_close=count % 2 == 0)
            watch.look(f"{name} to {process.name}")
            count += 1
        context.say(f"{len(inputs)} bad inputs to {process.name}")
    for name, data in list(corpus(context.random))[:40]:
        throw(("127.0.0.1", cluster.router.http_port), data, half_close=True)
        watch.look(f"{name} to the router's HTTP port")
    for data in (b"GET /" + b"a" * 200000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50000,
                 b"GET /metrics HTTP/1.1\r\n\r\n" * 200):
        throw(("127.0.0.1", cluster.nodes[0].http_port), data, half_close=False)
        watch.look("bad HTTP")
    cut_everywhere(cluster.router.address, watch)
    cut_everywhere(cluster.nodes[0].address, watch)
    half_requests(cluster, watch, before[cluster.router])
    big_values(cluster, watch)
    for process, memory in before.items():
        grown = process.memory() - memory
        context.say(f"{process.name} grew by {grown / MIB:.0f} MB")
        demand(grown < 400 * MIB, f"{process.name} grew by {grown // MIB} MB")
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


harness.run(test, limit=180)
