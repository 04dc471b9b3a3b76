"""A node comes back at another address. It is known by its id: it is still the same node, with its
replicas, and the others and the routers find it."""

import harness
from cluster import demand, free_port, wait_until


def address_known(cluster, node):
    rows = cluster.node_rows()
    return len(rows) == 3 and f"127.0.0.1:{node.port}" in {str(row["address"]) for row in rows}


def test(context):
    cluster = context.cluster()
    cluster.start()
    cluster.wait_whole()
    ids = {str(row["id"]) for row in cluster.node_rows()}
    load = context.workload(cluster)
    load.start()
    for mover in cluster.nodes:
        old = mover.port
        mover.stop()
        mover.port = free_port()
        mover.start()
        cluster.wait_ready()
        wait_until(lambda m=mover: address_known(cluster, m), 20,
                   f"{mover.name} is known at its port")
        demand({str(row["id"]) for row in cluster.node_rows()} == ids, "it got another id")
        context.say(f"{mover.name} moved from port {old} to {mover.port}")
        cluster.wait_whole()
        other = context.random.choice([node for node in cluster.nodes if node is not mover])
        other.kill()
        cluster.wait_taken_over(other)
        load.wait_progress(300)
        other.start()
        cluster.wait_whole()
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test)
