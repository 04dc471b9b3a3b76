"""The balancer at work on real processes, under load: a node that joins is given its share of
replicas and of leaders by itself; the verbs that look at the load answer, and turn it off and on.
No client sees an error, and nothing is lost."""

import json
import os
import subprocess

import harness
from cluster import Node, demand, wait_until

SHARDS = 16


def admin(context, cluster, *words, code=0):
    """sherd-admin at the router: what it printed."""
    command = [os.path.join(context.programs, "sherd-admin"), "--connect",
               f"127.0.0.1:{cluster.router.port}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    demand(done.returncode == code, f"{words} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def asked(context, cluster, *words):
    return json.loads(admin(context, cluster, "--json", *words))


def wait_decides(context, cluster):
    wait_until(lambda: asked(context, cluster, "balancer")["waits"] == "", 60,
               "the balancer has looked on for long enough", interval=0.5)


def look(context, cluster):
    """What people see, within 80 columns."""
    wait_until(lambda: asked(context, cluster, "hot")["shards"], 20, "loads are known",
               interval=0.3)
    hot = asked(context, cluster, "hot", "--count", "3")
    demand(1 <= len(hot["shards"]) <= 3, f"the hottest shards: {hot}")
    ops = [int(row["ops"]) for row in hot["shards"]]
    demand(all(count > 0 for count in ops), f"shards without load are not hot: {hot}")
    heat = asked(context, cluster, "heatmap")
    demand(all(len(row["ops"]) == int(heat["columns"]) for row in heat["rows"]),
           "a cell for every column")
    nodes = asked(context, cluster, "balancer")["nodes"]
    demand(len(nodes) == 3 and all(int(node["ops"]) >= 0 for node in nodes), f"nodes: {nodes}")
    for verb in ("hot", "heatmap", "balancer"):
        text = admin(context, cluster, verb)
        wide = [line for line in text.splitlines() if len(line) > 80]
        demand(text and not wide, f"{verb} prints too wide lines: {wide}")
    admin(context, cluster, "hot", "--count", "0", code=2)
    admin(context, cluster, "balancer", "sideways", code=1)


def grow(context, cluster, load):
    admin(context, cluster, "balancer", "off")
    wait_until(lambda: asked(context, cluster, "balancer")["mode"] == "off", 10, "it is off")
    node = Node(cluster, 4)
    join = ",".join(f"127.0.0.1:{other.port}" for other in cluster.nodes)
    cluster.nodes.append(node)
    node.start("--join", join)
    cluster.wait_ready(nodes_up=4)
    context.say("a fourth node joined, the balancer is off")
    load.wait_progress(500)

    def row():
        return next(row for row in cluster.node_rows()
                    if str(row["address"]) == f"127.0.0.1:{node.port}")

    demand(int(row()["replicas"]) == 0, "while it is off nothing moves")
    admin(context, cluster, "balancer", "on")
    fair = SHARDS * 3 // 4
    wait_until(lambda: int(row()["replicas"]) >= fair - 1, 120, "the new node has its share",
               interval=0.5)
    wait_until(lambda: int(row()["leads"]) >= 1, 60, "and leads", interval=0.5)
    wait_until(lambda: int(cluster.status()["shards_short"]) == 0, 60, "nothing is short")
    context.say(f"the new node has {row()['replicas']} replicas, leads {row()['leads']}")
    wait_until(lambda: max(int(other["replicas"]) for other in cluster.node_rows()) <= fair + 2,
               60, "the others have what is left", interval=0.5)
    events = asked(context, cluster, "events", "--count", "200")
    moves = [event for event in events if event["what"].startswith("move a replica")]
    demand(moves and all("holds" in event["why"] or "mean" in event["why"] for event in moves),
           f"why replicas moved stands in the journal: {moves[:2]}")


def test(context):
    cluster = context.cluster(shards=SHARDS, balancer=True)
    cluster.start()
    load = context.workload(cluster, value_size=400)
    cluster.wait_whole()
    load.start()
    load.wait_progress(1000)
    look(context, cluster)
    wait_decides(context, cluster)
    grow(context, cluster, load)
    load.wait_progress(500)
    load.stop()
    context.say(load.check(context.directory))


if __name__ == "__main__":
    harness.run(test, limit=280)
