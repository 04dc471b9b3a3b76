"""One node is killed again and again at random moments of its start, while the others carry the
load; then another, with hardly any time between. The last restart finds everything.
"""

import time

import harness

ROUNDS = 3
KILLS = 6


def test(context):
    cluster = context.cluster()
    cluster.start()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(500)
    for _ in range(ROUNDS):
        victim = context.random.choice(cluster.nodes)
        for _ in range(KILLS):
            victim.kill()
            victim.start()
            # The moment is the point here, not a state: somewhere in recovery or election.
            time.sleep(context.random.uniform(0.0, 0.8))
        context.say(f"killed {victim.name} {KILLS} times")
        cluster.wait_ready()
        load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test, limit=180)
