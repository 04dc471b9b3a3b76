"""kill -9 of the node that leads most shards, and then of each node in turn, under load.

Clients of the router see a pause and no error; no acknowledged write is lost, no INCR counts
twice.
"""

import harness
from cluster import demand

ROUNDS = 6


def test(context):
    cluster = context.cluster()
    cluster.start()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(1000)
    nodes = list(cluster.nodes)
    context.random.shuffle(nodes)
    for number in range(ROUNDS):
        victim = cluster.top_leader() if number % 2 == 0 else nodes[(number // 2) % len(nodes)]
        led = cluster.led_by()[victim]
        victim.kill()
        context.say(f"killed {victim.name}, which led {led} shards")
        cluster.wait_taken_over(victim)
        load.wait_progress(300)
        victim.start()
        cluster.wait_ready()
        load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()
    gap = load.longest_gap_s()
    demand(gap < 10, f"a client waited {gap:.1f} s")


harness.run(test, limit=180)
