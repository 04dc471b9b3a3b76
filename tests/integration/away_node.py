"""A node is away until the log no longer holds what it missed; it returns and catches up by
snapshot while the cluster serves. Then it is needed.
"""

import harness
from cluster import demand, wait_until

FLAGS = ["--wal-segment-size", "1mb", "--memtable-size", "1mb"]
KEYS, SIZE = 3000, 20000  # 60 MB through logs of 1 MB segments.


def write_much(cluster, tag):
    with cluster.router.client() as client:
        for i in range(0, KEYS, 50):
            replies = client.pipeline([("SET", f"much:{j}", f"{tag}:{j}:" + "m" * SIZE)
                                       for j in range(i, i + 50)])
            demand(replies == ["OK"] * 50, f"SET: {[r for r in replies if r != 'OK'][:2]}")


def demand_much(cluster, tag):
    with cluster.router.client() as client:
        for i in range(0, KEYS, 50):
            got = client.call("MGET", *[f"much:{j}" for j in range(i, i + 50)])
            wanted = [f"{tag}:{j}:".encode() + b"m" * SIZE for j in range(i, i + 50)]
            demand(got == wanted, f"much:{i}: {got!r:.100}")


def test(context):
    cluster = context.cluster(node_flags=FLAGS)
    cluster.start()
    write_much(cluster, "old")
    load = context.workload(cluster, clients=6)
    load.start()
    victim = context.random.choice(cluster.nodes)
    victim.kill()
    cluster.wait_taken_over(victim)
    context.say(f"{victim.name} is away")
    write_much(cluster, "new")
    context.say("wrote 60 MB without it")
    victim.start()
    cluster.wait_ready()
    context.say(f"{victim.name} is back")
    load.wait_progress(300)

    # When another one dies, each shard needs the node that was away.
    other = context.random.choice([node for node in cluster.nodes if node is not victim])
    other.kill()
    cluster.wait_taken_over(other, seconds=45)
    context.say(f"killed {other.name}, all shards are led")
    demand_much(cluster, "new")
    load.wait_progress(300)
    other.start()
    cluster.wait_ready()
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()
    wait_until(lambda: all(node.alive() for node in cluster.nodes), 1, "all nodes live")


harness.run(test)
