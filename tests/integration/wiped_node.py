"""A node loses its disk: stopped, its directory deleted, started with --join at the same address.

It gets all replicas again by snapshots, while the cluster serves; when it has them, any other node
may die."""

import harness
from cluster import demand, wait_until


def full_strength(cluster):
    """Every shard has as many replicas as wanted, each on another node that is up."""
    up = {str(row["id"]) for row in cluster.node_rows() if str(row["up"]) in ("1", "True", "yes")}
    for row in cluster.shard_rows():
        homes = {str(replica).split("@")[1] for replica in row["replicas"]}
        if len(row["replicas"]) != cluster.replicas or len(homes) != cluster.replicas or homes - up:
            raise ValueError(f"shard {row['id']}: {row['replicas']}, up {sorted(up)}")
    return True


def test(context):
    cluster = context.cluster()
    cluster.start()
    load = context.workload(cluster, value_size=400)
    cluster.wait_meta_spread()
    load.start()
    load.wait_progress(2000)
    with cluster.router.client() as client:
        for i in range(0, 4000, 100):
            client.pipeline([("SET", f"bulk:{j}", "b" * 1000) for j in range(i, i + 100)])

    victim = context.random.choice(cluster.nodes[1:])
    steps = len(cluster.member_steps())
    victim.kill()
    victim.wipe()
    context.say(f"wiped {victim.name}")
    load.wait_progress(500)
    victim.start("--join", ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes
                                    if node is not victim))
    cluster.wait_ready()
    wait_until(lambda: full_strength(cluster), 45, "the map gives every shard 3 live nodes")
    cluster.wait_replaced(steps)
    context.say("at full strength again")

    others = [node for node in cluster.nodes if node is not victim]
    for other in others:
        other.kill()
        context.say(f"killed {other.name}; {victim.name} is needed now")
        cluster.wait_taken_over(other)
        load.wait_progress(300)
        with cluster.router.client() as client:
            for i in range(0, 4000, 500):
                got = client.call("MGET", *[f"bulk:{j}" for j in range(i, i + 500)])
                demand(got == [b"b" * 1000] * 500, f"bulk data at {i}: {got!r:.200}")
        other.start()
        cluster.wait_ready()
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test)
