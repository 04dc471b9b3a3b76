"""A node with a new disk is killed again and again while its snapshots arrive and are installed:
each start goes on from what the crash left, and in the end the node has everything."""

import harness
from cluster import demand, wait_until

KEYS = 6000
VALUE = b"b" * 4000
KILLS = 12


def demand_all(client):
    for first in range(0, KEYS, 500):
        got = client.call("MGET", *[f"bulk:{i}" for i in range(first, first + 500)])
        demand(got == [VALUE] * 500, f"data from {first} on: {got!r:.200}")


def arrivals(node):
    return node.log_text().count("snapshot.arrived")


def is_short(cluster):
    """False once the node has everything: no snapshot comes any more."""
    return int(cluster.status()["shards_short"]) > 0


def test(context):
    cluster = context.cluster()
    cluster.start()
    with cluster.router.client() as client:
        for first in range(0, KEYS, 100):
            client.pipeline([("SET", f"bulk:{i}", VALUE) for i in range(first, first + 100)])
    cluster.wait_whole()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(500)

    victim = cluster.nodes[2]
    seeds = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes if node is not victim)
    victim.kill()
    victim.wipe()
    for kill in range(1, KILLS + 1):
        victim.start("--join", seeds)
        # Between the arrival of a snapshot and the end of its installation there are a few
        # milliseconds: the log tells when one has begun.
        wanted = arrivals(victim) + 1 + kill % 3
        wait_until(lambda: arrivals(victim) >= wanted or not is_short(cluster), 20,
                   "a snapshot arrived", interval=0.0005)
        demand(victim.alive(), f"{victim.name} ended by itself")
        victim.kill()
    unfinished = arrivals(victim) - victim.log_text().count("snapshot.installed")
    context.say(f"killed {KILLS} times, {unfinished} snapshots had arrived and were not installed")
    demand(unfinished > 0, "no kill came between arrival and installation: this shows nothing")
    victim.start("--join", seeds)
    cluster.wait_whole(seconds=60)
    installed = victim.log_text().count("snapshot.installed")
    resumed = victim.log_text().count("snapshot.resume")
    context.say(f"whole again: {installed} installed, {resumed} resumed")
    demand(installed > 0, "no snapshot was installed")
    load.stop()

    # The victim and one other must do: the victim's copies are needed for every majority.
    other = cluster.nodes[1]
    other.kill()
    cluster.wait_taken_over(other)
    with cluster.router.client() as client:
        demand_all(client)
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test)
