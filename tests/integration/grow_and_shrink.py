"""Nodes come, are given their share, drain, leave and die for good, all under load.

A fourth node joins and a rebalance gives it replicas; one replica is moved by hand and back; a node
is drained and removed, which sherd-admin refuses before; a fifth node joins, and one is killed and
does not come back: its replicas are rebuilt on the others by themselves, which is enough for one
more to die. No client sees an error, and nothing is lost."""

import json
import os
import subprocess

import harness
from cluster import Node, demand, wait_until


def admin(context, cluster, *words, code=0, seconds=90):
    """sherd-admin at the router; its JSON, or its standard error if it is to fail."""
    command = [os.path.join(context.programs, "sherd-admin"), "--json", "--connect",
               f"127.0.0.1:{cluster.router.port}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    demand(done.returncode == code, f"{words} ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout) if code == 0 and done.stdout.startswith(("{", "[")) else \
        done.stderr


def add_node(context, cluster):
    node = Node(cluster, 1 + max(int(other.name[4:]) for other in cluster.nodes))
    join = ",".join(f"127.0.0.1:{other.port}" for other in cluster.nodes if other.alive())
    cluster.nodes.append(node)
    node.start("--join", join)
    cluster.wait_ready(nodes_up=sum(other.alive() for other in cluster.nodes))
    context.say(f"{node.name} joined")
    return node


def id_of(cluster, node):
    return next(str(row["id"]) for row in cluster.node_rows()
                if str(row["address"]) == f"127.0.0.1:{node.port}")


def replicas_on(cluster, node_id):
    return sum(str(replica).split("@")[1] == node_id for row in cluster.shard_rows()
               for replica in row["replicas"])


def demand_even(cluster):
    counts = [int(row["replicas"]) for row in cluster.node_rows() if str(row["state"]) == "up"]
    demand(max(counts) - min(counts) <= 2, f"replicas per node: {counts}")


def grow(context, cluster, load):
    fourth = add_node(context, cluster)
    load.wait_progress(500)
    plan = admin(context, cluster, "rebalance", "--dry-run")
    demand(len(plan["steps"]) >= 12, f"the plan for an empty node: {plan}")
    job = admin(context, cluster, "rebalance", "--apply", plan["hash"])
    demand(job["state"] == "done", f"rebalance: {job}")
    load.wait_progress(500)
    cluster.wait_whole()
    demand_even(cluster)
    error = admin(context, cluster, "rebalance", "--apply", plan["hash"], code=1)
    demand("CONFLICT" in error, f"an old plan: {error}")
    context.say("balanced")
    return fourth


def move_there_and_back(context, cluster, load):
    row = context.random.choice(cluster.shard_rows())
    shard = str(row["id"])
    homes = [str(replica).split("@")[1] for replica in row["replicas"]]
    away = next(str(node["id"]) for node in cluster.node_rows()
                if str(node["id"]) not in homes and str(node["state"]) == "up")
    job = admin(context, cluster, "shard", "move", shard, homes[0], away)
    demand(job["state"] == "done", f"move: {job}")
    undo = admin(context, cluster, "job", "undo", str(job["id"]), "--yes")
    demand(undo["state"] == "done" and undo["undo_of"] == job["id"], f"undo: {undo}")
    wanted = context.random.choice([home for home in homes[1:]])
    job = admin(context, cluster, "shard", "transfer", shard, wanted)
    demand(job["state"] == "done", f"transfer: {job}")
    wait_until(lambda: {str(shard_id): str(node) for shard_id, node, _ in cluster.leaders()}[shard]
               == wanted, 10, f"node {wanted} leads shard {shard}")
    load.wait_progress(300)
    context.say(f"shard {shard} moved to node {away} and back, and is led by node {wanted}")


def shrink(context, cluster, load):
    victim = cluster.nodes[0]  # It made the cluster, and has a replica of the meta group.
    name = id_of(cluster, victim)
    error = admin(context, cluster, "node", "remove", name, "--yes", code=5)
    demand("drain it first" in error, f"a node in use: {error}")
    job = admin(context, cluster, "node", "drain", name, "--yes")
    demand(job["state"] == "done", f"drain: {job}")
    demand(replicas_on(cluster, name) == 0, "a drained node has no replicas")
    admin(context, cluster, "node", "remove", name, "--yes")
    victim.wait_exit(20)
    cluster.nodes.remove(victim)
    load.wait_progress(500)
    cluster.wait_whole()
    error = admin(context, cluster, "node", "drain", id_of(cluster, cluster.nodes[0]), "--yes",
                  code=5)
    demand("UNSAFE" in error, f"too few are left: {error}")
    context.say(f"node {name} drained and removed")


def lose_one(context, cluster, load):
    add_node(context, cluster)
    victim = cluster.nodes[1]
    name = id_of(cluster, victim)
    victim.kill()
    context.say(f"killed {victim.name} for good")
    wait_until(lambda: replicas_on(cluster, name) == 0, 60, "its replicas are elsewhere")
    cluster.nodes.remove(victim)
    cluster.wait_whole()
    wait_until(lambda: any(job["kind"] == "rebuild" and job["state"] == "done"
                           for job in admin(context, cluster, "job", "list", "--all")),
               20, "the rebuild is done", interval=0.3)
    load.wait_progress(500)
    admin(context, cluster, "node", "remove", name, "--yes")
    context.say("rebuilt")
    other = cluster.nodes[0]
    other.kill()
    cluster.wait_taken_over(other)
    load.wait_progress(300)
    other.start()
    cluster.wait_ready()


def test(context):
    cluster = context.cluster(shards=16, node_flags=["--rebuild-after-ms", "3000"])
    cluster.start()
    load = context.workload(cluster, value_size=400)
    cluster.wait_whole()
    admin(context, cluster, "balancer", "off")  # What it would do is done by hand here.
    load.start()
    load.wait_progress(1000)
    grow(context, cluster, load)
    move_there_and_back(context, cluster, load)
    shrink(context, cluster, load)
    lose_one(context, cluster, load)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test, limit=200)
