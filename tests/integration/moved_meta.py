"""Addresses change so that nobody is left to say so: the only node of the meta group comes back at
another port (the others wait for news of it where it was), and then all nodes at once do."""

import harness
from cluster import demand, free_port, wait_until


def addresses(cluster):
    return {str(row["address"]) for row in cluster.node_rows()}


def wanted(cluster):
    return {f"127.0.0.1:{node.port}" for node in cluster.nodes}


def check_data(cluster, keys):
    with cluster.router.client() as client:
        got = client.call("MGET", *keys)
    demand(got == [b"v"] * len(keys), f"after the move: {got!r:.200}")


def fill(cluster):
    keys = [f"key{i}" for i in range(100)]
    with cluster.router.client() as client:
        demand(client.call("MSET", *[word for key in keys for word in (key, "v")]) == "OK", "MSET")
    return keys


def only_voter_moves(context):
    """With two nodes the meta group stays on the first: an even number is worse than one less."""
    cluster = context.cluster(nodes=2, replicas=1, shards=8)
    cluster.start()
    keys = fill(cluster)
    status = cluster.status()
    demand(int(status["meta_voters"]) == 1 and int(status["meta_replicas"]) == 1, f"{status}")
    first = cluster.nodes[0]
    for _ in range(3):
        first.stop()
        first.port = free_port()
        first.start()
        wait_until(lambda: addresses(cluster) == wanted(cluster), 10, "the router knows where")
        cluster.wait_whole()
        check_data(cluster, keys)
    context.say("the only voter of the meta group moved three times")


def everyone_moves(context):
    cluster = context.cluster()
    cluster.start()
    keys = fill(cluster)
    cluster.wait_whole()
    cluster.stop()
    for node in cluster.nodes:
        node.port = free_port()
    for node in cluster.nodes:
        node.start("--join", ",".join(sorted(wanted(cluster))))
    cluster.router.start()
    cluster.wait_whole()
    wait_until(lambda: addresses(cluster) == wanted(cluster), 10, "the map has all new addresses")
    check_data(cluster, keys)
    for node in cluster.nodes:  # They know where the others are without being told again.
        node.stop()
        node.start()
        cluster.wait_whole()
    check_data(cluster, keys)
    context.say("all nodes moved at once")


def test(context):
    only_voter_moves(context)
    everyone_moves(context)


harness.run(test)
