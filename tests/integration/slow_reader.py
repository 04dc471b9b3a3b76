"""Clients that ask for big values and never read the answers: the router and the nodes keep a
bounded amount for them and then close the connection (or stop reading); others do not feel it.
"""

import concurrent.futures
import select
import socket
import time

import harness
from cluster import answers_ping, demand
from resp_client import encode

MIB = 1 << 20
LIMIT = 8 * MIB
READERS = 8


def earn_trust(one):
    """Many small replies, all read: such a client may have many commands in flight."""
    commands = encode(["GET", "small"]) * 1000
    for _ in range(4):
        one.sendall(commands)
        left = 1000 * len("$100\r\n" + "x" * 100 + "\r\n")
        while left > 0:
            left -= len(one.recv(min(left, MIB)))


def ask_without_reading(address, commands, trusted):
    """Sends until the server takes no more or closes; returns (socket, bytes sent)."""
    one = socket.create_connection(address, timeout=5)
    if trusted:
        earn_trust(one)
    one.setblocking(False)
    sent = 0
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        _, writable, _ = select.select([], [one], [], 0.3)
        if not writable:
            break
        try:
            sent += one.send(commands)
        except BlockingIOError:
            continue
        except OSError:
            break
    return one, sent


def latency(client, count=100):
    worst = 0
    for i in range(count):
        started = time.monotonic()
        demand(client.call("SET", "other", str(i)) == "OK", "SET of another client")
        demand(client.call("GET", "other") == str(i).encode(), "GET of another client")
        worst = max(worst, time.monotonic() - started)
    return worst


def attack(context, cluster, process, commands, what, trusted=False):
    before = {each: each.memory() for each in cluster.processes()}
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        asked = [pool.submit(ask_without_reading, process.address, commands, trusted)
                 for _ in range(READERS)]
        held = [each.result() for each in asked]
    sent = sum(count for _, count in held)
    with cluster.router.client(timeout=30) as client:
        worst = latency(client)
    demand(answers_ping(process.address), f"{process.name} does not answer PING")
    grown = {each: each.memory() - size for each, size in before.items()}
    shown = " ".join(f"{each.name}+{size / MIB:.0f}" for each, size in grown.items())
    context.say(f"{what}: {READERS} clients sent {sent / MIB:.1f} MB to {process.name}; "
                f"memory in MB: {shown}; others waited up to {worst * 1000:.0f} ms")
    # Each may hold its limit, one reply of 1 MB beyond it, and its input.
    for each, size in grown.items():
        demand(size < READERS * (LIMIT + 4 * MIB) + 64 * MIB,
               f"{each.name} grew by {size // MIB} MB when {process.name} was asked by {what}")
    demand(worst < 1.0, f"others waited {worst:.1f} s")
    for one, _ in held:
        one.close()


def test(context):
    flags = ["--client-output-buffer-limit", "8mb"]
    cluster = context.cluster(node_flags=flags, router_flags=flags)
    cluster.start()
    with cluster.router.client() as client:
        demand(client.call("SET", "big", "x" * MIB) == "OK", "SET of 1 MB")
        demand(client.call("SET", "middle", "x" * (100 << 10)) == "OK", "SET of 100 KB")
        demand(client.call("SET", "small", "x" * 100) == "OK", "SET of 100 bytes")
    for process in (cluster.router, cluster.nodes[0]):
        attack(context, cluster, process, encode(["GET", "big"]) * 500, "GET of 1 MB")
        attack(context, cluster, process, encode(["GET", "small"]) * 5000, "GET of 100 bytes")
        if process is cluster.router:
            attack(context, cluster, process, encode(["GET", "big"]) * 500,
                   "GET of 1 MB, after many small ones", trusted=True)
            attack(context, cluster, process, encode(["GET", "middle"]) * 5000,
                   "GET of 100 KB, after many small ones", trusted=True)
        attack(context, cluster, process, encode(["ECHO", "e" * 10000]) * 100, "ECHO")
    demand(all(process.alive() for process in cluster.processes()), "a process died")
    with cluster.router.client(timeout=30) as client:
        replies = client.pipeline([("GET", "big")] * 5)
        demand(all(len(reply) == MIB for reply in replies), "a client that reads gets its replies")
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


harness.run(test)
