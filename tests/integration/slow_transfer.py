"""The data of shards comes to an empty node under a limit, which is changed on the way.

SHERD TRANSFERS of the sending nodes tells how far it is; the receiver is killed in between and goes
on; clients notice nothing."""

import harness
from cluster import demand, wait_until
from resp_client import RespClient, as_map

MEGABYTES = 48
SLOW = 2 << 20


def transfers(cluster, without):
    """Rows of all nodes that run, but of small shards."""
    rows = []
    for node in cluster.nodes:
        if node is not without and node.alive():
            with RespClient(node.address, timeout=5, protocol=3) as client:
                rows += [as_map(row) for row in client.call("SHERD", "TRANSFERS")]
    return [row for row in rows if int(row["total"]) > 4 << 20]


def set_rate(cluster, without, rate):
    for node in cluster.nodes:
        if node is not without:
            with RespClient(node.address, timeout=5) as client:
                demand(client.call("CONFIG", "SET", "snapshot-bytes-per-second", rate) == "OK",
                       "CONFIG SET")


def test(context):
    cluster = context.cluster(shards=2, node_flags=["--snapshot-bytes-per-second", str(SLOW)])
    cluster.start()
    load = context.workload(cluster, value_size=100)
    cluster.wait_whole()
    load.start()
    value = context.random.randbytes(65536)
    with cluster.router.client() as client:
        for i in range(MEGABYTES * 16):
            demand(client.call("SET", f"bulk:{i}", value) == "OK", "SET")

    victim = cluster.nodes[2]
    victim.kill()
    victim.wipe()
    load.wait_progress(200)
    seeds = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes if node is not victim)
    victim.start("--join", seeds)
    first = wait_until(lambda: transfers(cluster, victim), 30, "a snapshot is on its way")
    wait_until(lambda: any(int(row["done"]) > 1 << 20 for row in transfers(cluster, victim)), 30,
               "some of it is there")
    for row in transfers(cluster, victim):
        demand(0 <= int(row["done"]) <= int(row["total"]), f"done beyond total: {row}")
        demand(int(row["rate"]) < 3 * SLOW, f"faster than the limit: {row}")
    context.say(f"on their way: {first}")
    load.wait_progress(200)

    victim.kill()
    victim.start()
    context.say("the receiver was killed and is back")
    load.wait_progress(200)
    set_rate(cluster, victim, "0")
    cluster.wait_whole(60)
    wait_until(lambda: not transfers(cluster, victim), 10, "nothing is on its way")
    context.say("everything is there")
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()
    with cluster.router.client() as client:
        for i in range(0, MEGABYTES * 16, 7):
            demand(client.call("GET", f"bulk:{i}") == value, f"bulk:{i}")


harness.run(test)
