"""Shards are divided and joined at random under load, on nodes with several loops, while nodes are
killed and started again. Every acknowledged write is there, once; clients see no error; and all of
it is there again after a power cut of the whole cluster.
"""

import json
import os
import subprocess

import harness
from cluster import demand, wait_until

CALM = 12
ROUGH = 16


def admin(context, cluster, *words):
    """One verb of sherd-admin; returns (exit code, what it printed)."""
    command = [os.path.join(context.programs, "sherd-admin"),
               "--connect", f"127.0.0.1:{cluster.router.port}", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def ranges(cluster):
    """Shards in the order of the ring."""
    rows = sorted(cluster.shard_rows(), key=lambda row: str(row["start"]))
    return [str(row["id"]) for row in rows]


def change(context, cluster):
    """One split or merge. False: it was not to be: a merge needs all members to be up."""
    ids = ranges(cluster)
    at = context.random.randrange(len(ids) - 1)
    if context.random.random() < 0.5 and len(ids) > 4:
        pair = [ids[at], ids[at + 1]]
        context.random.shuffle(pair)
        words = ["merge", *pair, "--yes"]
    else:
        words = ["split", ids[at]]
    code, said = admin(context, cluster, "shard", *words, "--wait-max", "10")
    done = code == 0 and json.loads(said)["state"] == "done"
    context.say(f"{' '.join(words)}: {'done' if done else said.strip()}")
    return done


def settle(cluster):
    """The map has what the shards have become; how many there are is news to the harness."""
    def known():
        status = cluster.status()
        cluster.shards = len(ranges(cluster))
        good = int(status["shards"]) == int(status["shards_led"]) == cluster.shards
        if not good or int(status["nodes_up"]) < len(cluster.nodes):
            raise ValueError(status)
        return True
    wait_until(known, 40, "every shard is led")


def test(context):
    cluster = context.cluster(shards=8, node_flags=["--loops", "3"])
    cluster.start()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(500)
    done = sum(change(context, cluster) for _ in range(CALM))
    demand(done == CALM, f"{CALM - done} changes failed although all was well")
    settle(cluster)
    done = 0
    for turn in range(ROUGH):
        victim = context.random.choice(cluster.nodes) if turn % 3 == 1 else None
        if victim is not None:
            victim.kill()
        done += change(context, cluster)
        if victim is not None:
            victim.start()
            settle(cluster)
        load.wait_progress(50)
    demand(done > ROUGH / 2, f"only {done} of {ROUGH} changes were made")
    settle(cluster)
    cluster.wait_whole()
    load.wait_progress(300)
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    cluster.wait_ready()
    load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test, limit=240)
