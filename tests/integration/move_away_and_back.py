"""A replica moves to another node and back at once, again and again, with data that is written
meanwhile: what is still to be deleted of the old replica must not eat the new one's rows. Each node
on the way is asked itself for all that it holds; one is killed in the middle of it."""

import json
import os
import subprocess

import harness
from cluster import demand, wait_until
from resp_client import RespClient

KEYS = 3000


def move(context, cluster, shard, source, target):
    """Returns the job, which goes on."""
    done = subprocess.run(
        [os.path.join(context.programs, "sherd-admin"), "--json", "--connect",
         f"127.0.0.1:{cluster.router.port}", "shard", "move", str(shard), source, target],
        capture_output=True, text=True, timeout=120)
    demand(done.returncode == 0, f"move {source} to {target}: {done.stderr}")
    job = json.loads(done.stdout)
    demand(job["state"] == "done", f"move: {job}")


def id_of(cluster, node):
    return next(str(row["id"]) for row in cluster.node_rows()
                if str(row["address"]) == f"127.0.0.1:{node.port}")


def homes(cluster, shard):
    row = next(row for row in cluster.shard_rows() if int(row["id"]) == shard)
    return [str(replica).split("@")[1] for replica in row["replicas"]]


def check_node(node, expected):
    """All keys, read by this node's own replica: it asks the leader only what to wait for."""
    def whole():
        with RespClient(node.address, timeout=10) as client:
            demand(client.call("READONLY") == "OK", "READONLY")
            for at in range(0, KEYS, 100):
                got = client.call("MGET", *[f"bulk:{i}" for i in range(at, at + 100)])
                if got != [expected(i) for i in range(at, at + 100)]:
                    raise ValueError(f"{node.name} from {at}: {got!r:.200}")
        return True

    wait_until(whole, 20, f"{node.name} has all rows")


def test(context):
    cluster = context.cluster(nodes=4, shards=1)
    cluster.start()
    load = context.workload(cluster, value_size=200)
    cluster.wait_whole()
    load.start()
    version = 0

    def expected(i):
        return b"%d:%d" % (version, i) + b"x" * 900

    def write():
        with cluster.router.client() as client:
            for at in range(0, KEYS, 100):
                got = client.pipeline([("SET", f"bulk:{i}", expected(i))
                                       for i in range(at, at + 100)])
                demand(got == ["OK"] * 100, f"SET: {got!r:.200}")

    write()
    shard = int(cluster.shard_rows()[0]["id"])
    by_id = {id_of(cluster, node): node for node in cluster.nodes}
    for turn in range(4):
        source = context.random.choice(homes(cluster, shard))
        target = next(name for name in by_id if name not in homes(cluster, shard))
        move(context, cluster, shard, source, target)
        version += 1
        write()
        move(context, cluster, shard, target, source)
        demand(source in homes(cluster, shard), f"replicas on {homes(cluster, shard)}")
        check_node(by_id[source], expected)
        context.say(f"turn {turn}: node {source} to {target} and back")
        if turn == 1:
            by_id[source].kill()
            load.wait_progress(200)
            by_id[source].start()
            cluster.wait_ready()
            check_node(by_id[source], expected)
            context.say(f"{by_id[source].name} was killed and has all of it")
        load.wait_progress(200)
    cluster.wait_whole()
    for name in homes(cluster, shard):
        check_node(by_id[name], expected)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test, limit=240)
