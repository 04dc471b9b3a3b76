"""A node with several loops is told to stop while commands are on their way between its loops."""

import threading

import harness
from cluster import RespClient, demand


def test(context):
    for round_ in range(3):
        cluster = context.cluster(nodes=1, replicas=1, shards=8, node_flags=["--loops", "2"])
        cluster.start()
        node = cluster.nodes[0]
        answered = threading.Event()

        def load(cluster=cluster, answered=answered):
            try:
                with RespClient(cluster.router.address, timeout=3) as client:
                    while True:
                        client.pipeline([("SET", f"key:{i}", "1") for i in range(500)])
                        answered.set()
            except Exception:  # pylint: disable=broad-except
                pass  # The node is gone, as it should be.

        for _ in range(8):
            threading.Thread(target=load, daemon=True).start()
        demand(answered.wait(20), "nothing was answered")
        demand(node.stop() == 0, f"round {round_}: the stop was not clean")


harness.run(test)
