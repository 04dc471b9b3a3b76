"""All nodes start together, each told of all others, and all are told to stop together."""

import signal
import time

import harness
from cluster import PATIENCE, as_map, demand, wait_until
from resp_client import RespClient


def start_together(context):
    cluster = context.cluster()
    everyone = ",".join(f"127.0.0.1:{node.port}" for node in cluster.nodes)
    begin = time.monotonic()
    for node in reversed(cluster.nodes[1:]):  # Those that cannot do anything yet come first.
        node.start("--join", everyone)
    cluster.nodes[0].start("--bootstrap", "--shards", "32", "--replicas", "3")
    cluster.router.start()
    cluster.wait_ready()
    took = time.monotonic() - begin
    context.say(f"ready after {took:.2f} s")
    demand(took < 2 * PATIENCE, "the nodes asked each other instead of the first")
    cluster.wait_whole(seconds=5)
    context.say(f"whole after {time.monotonic() - begin:.2f} s")
    return cluster


def node_says_whole(node):
    """Nodes know what the others lead, and in what state that is."""
    with RespClient(node.address, timeout=5, protocol=3) as client:
        status = as_map(client.call("SHERD", "STATUS"))
    if int(status["shards_short"]) or int(status["meta_voters"]) != 3:
        raise ValueError(status)
    return True


def demand_no_circles(cluster):
    """While all of them leave nobody hands leadership to one who leaves too, again and again."""
    for node in cluster.nodes:
        tail = node.log_text().rsplit(" node.stop ", 1)[1]
        won = tail.count(" shard.leader ")
        demand(won <= cluster.shards + 1, f"{node.name} took {won} leaderships while it stopped")


def test(context):
    cluster = start_together(context)
    for node in cluster.nodes:
        wait_until(lambda n=node: node_says_whole(n), 5, f"{node.name} knows that nothing is short")
    for _ in range(5):
        begin = time.monotonic()
        for node in cluster.nodes:
            node.signal(signal.SIGTERM)
        codes = [node.wait_exit() for node in cluster.nodes]
        took = time.monotonic() - begin
        demand(codes == [0, 0, 0], f"exit codes {codes}")
        demand(took < 3 * PATIENCE, f"it took {took:.1f} s to stop")
        demand_no_circles(cluster)
        context.say(f"stopped in {took:.2f} s")
        for node in cluster.nodes:
            node.start()
        cluster.wait_whole()


harness.run(test)
