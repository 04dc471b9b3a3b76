"""Thousands of clients that connect and do nothing: 10 000 (2 000 if the limit of files is low)
cost little memory, the others are served as before, one more than maxclients is told so.
"""

import resource
import socket

import harness
from cluster import demand, wait_until
from resp_client import RespClient, RespError

MIB = 1 << 20


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return 10000 if hard >= 12000 else 2000


def connect_many(address, count):
    held = []
    for _ in range(count):
        one = socket.create_connection(address, timeout=10)
        held.append(one)
    return held


def test(context):
    count = raise_file_limit()
    cluster = context.cluster(router_flags=["--maxclients", str(count + 10)])
    cluster.start()
    router = cluster.router
    before = router.memory()
    held = connect_many(router.address, count)
    wait_until(lambda: all(RespClient(router.address).call("PING") == "PONG" for _ in range(3)), 10,
               "new clients get PONG")
    grown = router.memory() - before
    context.say(f"{count} idle connections: {grown / MIB:.0f} MB, {grown // count} bytes each")
    demand(grown < count * 16384 + 32 * MIB, f"the router grew by {grown // MIB} MB")
    with router.client(timeout=5) as client:
        for i in range(500):
            demand(client.call("SET", f"i{i}", "v") == "OK", "SET")
        demand(client.call("MGET", *[f"i{i}" for i in range(500)]) == [b"v"] * 500, "MGET")
        info = client.call("INFO", "clients").decode()
        told = int(info.split("connected_clients:")[1].split()[0])
        demand(told >= count, f"INFO tells {told} clients")
    one = held.pop()
    one.settimeout(5)
    one.sendall(b"PING\r\n")
    demand(one.recv(100) == b"+PONG\r\n", "an idle connection still works")
    one.close()

    extra = []
    refusal = None
    for _ in range(40):
        client = RespClient(router.address, timeout=5)
        extra.append(client)
        try:
            reply = client.call("PING")
        except ConnectionError as error:
            reply = error
        if reply != "PONG":
            refusal = reply
            break
    demand(isinstance(refusal, RespError) and "max number of clients" in str(refusal),
           f"beyond maxclients: {refusal!r}")
    for client in extra:
        client.close()
    for one in held:
        one.close()
    wait_until(lambda: cluster.ask("PING") == "PONG", 10, "there is room again")
    cluster.wait_ready()
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


harness.run(test)
