"""Clients that let replicas answer their reads, linearizable ones and some with a bound, while nodes
are killed and paused. Replicas that do not lead must have answered; the router prefers its zone."""

import urllib.request

import harness
from cluster import demand, wait_until
from resp_client import RespClient, RespError


def metric(process, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{process.http_port}/metrics", timeout=5) as page:
        return sum(float(line.split()[-1]) for line in page.read().decode().splitlines()
                   if line.startswith(name) and not line.startswith("#"))


def answered(node):
    return (metric(node, "sherd_node_replica_reads_total"),
            metric(node, "sherd_node_replica_reads_bounded_total"))


def check_words(context, cluster):
    with cluster.router.client() as client:
        demand(client.call("SHERD", "READ") == [b"default"], "nothing was said")
        demand(client.call("READONLY") == "OK", "READONLY")
        demand(client.call("SHERD", "READ") == [b"linearizable"], "READONLY is linearizable")
        for i in range(200):
            demand(client.call("SET", "own", i) == "OK", "SET")
            demand(client.call("GET", "own") == b"%d" % i, f"reads its own write {i}")
        sent = [("SET", "pipe", i) if i % 2 == 0 else ("GET", "pipe") for i in range(200)]
        got = client.pipeline(sent)
        demand(got[1::2] == [b"%d" % i for i in range(0, 200, 2)], "a pipeline keeps its order")
        demand(client.call("SHERD", "READ", "bounded", 500) == "OK", "bounded")
        demand(client.call("SHERD", "READ") == [b"bounded", 500], "is told")
        for _ in range(200):
            client.call("GET", "own")
        demand(client.call("READWRITE") == "OK", "READWRITE")
        demand(client.call("SHERD", "READ") == [b"leader"], "as before")
    # A node answers for what it holds, also where it does not lead.
    for node in cluster.nodes:
        with RespClient(node.address, timeout=5) as client:
            demand(client.call("READONLY") == "OK", "READONLY at a node")
            demand(client.call("GET", "own") == b"199", "every node reads")
    context.say("words")


def check_zone(context, cluster):
    """Node 1 stands where the router does: it answers for all shards, those that it leads as their
    leader."""
    with cluster.router.client() as client:
        for mode in (("READONLY",), ("SHERD", "READ", "bounded", 200)):
            demand(client.call(*mode) == "OK", f"{mode}")
            for i in range(300):
                client.call("GET", f"zone:{i}")
    wait_until(lambda: sum(answered(cluster.nodes[1])) > 200, 10, "the near node answers")
    counts = [answered(node) for node in cluster.nodes]
    context.say(f"answered by replicas that do not lead: {counts}")
    with cluster.router.client() as client:
        reply = client.call("CONFIG", "SET", "read-from-replicas", "zone: sometimes")
        demand(isinstance(reply, RespError), f"a bad rule: {reply}")
        sent = "sherd_router_replica_reads_sent_total"
        for rule in ("zone: linearizable", "* leader, zone: bounded:300"):
            demand(client.call("CONFIG", "SET", "read-from-replicas", rule) == "OK", rule)
            before = metric(cluster.router, sent)
            for i in range(200):
                client.call("GET", f"zone:{i}")
            wait_until(lambda: metric(cluster.router, sent) > before + 40, 5,
                       f"{rule!r}: keys of the prefix are read at replicas")
        demand(client.call("CONFIG", "SET", "read-from-replicas", "") == "OK", "no rule")
    demand(min(counts[1]) > 0, f"with a bound, and without: {counts}")
    demand(sum(counts[0]) + sum(counts[2]) == 0, f"the own zone is preferred: {counts}")


def test(context):
    cluster = context.cluster(shards=8)
    for i, node in enumerate(cluster.nodes):
        node.flags = ["--zone", f"z{i}"]
    cluster.router.flags = ["--zone", "z1"]
    cluster.start()
    cluster.wait_whole()
    check_zone(context, cluster)
    check_words(context, cluster)

    load = context.workload(cluster, bounds_ms=(None, 0, 0, 400, 40))
    load.start()
    load.wait_progress(3000)
    for node in cluster.nodes[1:]:
        node.kill()
        context.say(f"killed {node.name}")
        load.wait_progress(500)
        node.start()
        cluster.wait_ready()
        load.wait_progress(500)
        node.pause()
        context.say(f"paused {node.name}")
        load.wait_progress(500)
        node.resume()
        cluster.wait_ready()
        load.wait_progress(500)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()
    wait_until(lambda: sum(sum(answered(node)) for node in cluster.nodes) > 200, 10,
               "replicas have answered")
    context.say(f"answered: {[answered(node) for node in cluster.nodes]}")


harness.run(test)
