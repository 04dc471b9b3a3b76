"""All nodes die at once under load (kill -9 of all), three times; every acknowledged write is
there."""

import time

import harness
from cluster import wait_until


def test(context):
    cluster = context.cluster()
    cluster.start()
    load = context.workload(cluster)
    load.start()
    for _ in range(3):
        load.wait_progress(1500)
        for node in cluster.nodes:
            node.signal(9)
        for node in cluster.nodes:
            node.kill()
        context.say(f"cut the power after {load.operations()} operations")
        time.sleep(context.random.uniform(0.0, 0.5))  # How long it is dark does not matter.
        for node in cluster.nodes:
            node.start()
        cluster.wait_ready()
        context.say("back")
    before = load.ok_count()
    wait_until(lambda: load.ok_count() > before + 500, 20, "the load goes on")
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test, limit=180)
