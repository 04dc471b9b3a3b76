"""A node loses its disk: stopped, its directory deleted, started with --join at the same address.

It gets all replicas again by snapshots, while the cluster serves; when it has them, any other node
may die."""

import harness
from cluster import demand, wait_until


def test(context):
    cluster = context.cluster()
    cluster.start()
    load = context.workload(cluster, value_size=400)
    cluster.wait_whole()
    load.start()
    load.wait_progress(2000)
    with cluster.router.client() as client:
        for i in range(0, 4000, 100):
            client.pipeline([("SET", f"bulk:{j}", "b" * 1000) for j in range(i, i + 100)])

    victim = context.random.choice(cluster.nodes[1:])
    victim.kill()
    victim.wipe()
    context.say(f"wiped {victim.name}")
    load.wait_progress(500)
    victim.start("--join", ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes
                                    if node is not victim))
    wait_until(lambda: {str(row["state"]) for row in cluster.node_rows()} == {"up", "gone"}, 20,
               "the new disk has taken the place of the lost one")
    cluster.wait_whole()
    homes = {replica.split("@")[1] for row in cluster.shard_rows()
             for replica in map(str, row["replicas"])}
    gone = {str(row["id"]) for row in cluster.node_rows() if str(row["state"]) == "gone"}
    demand(len(homes) == 3 and not homes & gone, f"replicas on {homes}, gone {gone}")
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
