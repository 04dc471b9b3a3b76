"""Start, write, read, stop, start again with the data, stop: the promises of every day."""

import harness
from cluster import demand


def fill(client, count, tag):
    replies = client.pipeline([("SET", f"key:{i}", f"{tag}:{i}") for i in range(count)])
    demand(replies == ["OK"] * count, f"SET: {[r for r in replies if r != 'OK'][:3]}")


def demand_all(client, count, tag):
    for first in range(0, count, 100):
        names = [f"key:{i}" for i in range(first, first + 100)]
        got = client.call("MGET", *names)
        wanted = [f"{tag}:{i}".encode() for i in range(first, first + 100)]
        demand(got == wanted, f"MGET from {first}: {got!r:.300}")


def test(context):
    cluster = context.cluster()
    cluster.start()
    context.say(f"ready: {cluster.status()}")
    led = cluster.led_by()
    demand(sum(led.values()) >= 32, f"leaders are not counted: {list(led.values())}")
    demand(all(count > 0 for count in led.values()), f"a node leads nothing: {list(led.values())}")
    rows = cluster.shard_rows()
    demand(all(len(row["replicas"]) == 3 for row in rows), "a shard has not 3 replicas")
    with cluster.router.client() as client:
        fill(client, 2000, "first")
        demand_all(client, 2000, "first")
        demand(client.call("DBSIZE") == 2000, "DBSIZE is not 2000")
        demand(client.call("INCR", "counter") == 1, "INCR")
    for node in cluster.nodes:
        with_node = cluster.ask("PING", router=node)
        demand(with_node == "PONG", f"{node.name} answers PING with {with_node!r}")

    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes of a clean stop: {codes}")
    demand(not any(process.alive() for process in cluster.processes()), "something still runs")
    context.say("stopped, starting again")
    cluster.restart_all()
    with cluster.router.client() as client:
        demand_all(client, 2000, "first")
        demand(client.call("GET", "counter") == b"1", "the counter after a restart")
        fill(client, 2000, "second")

    for node in cluster.nodes:
        code = node.stop()
        demand(code == 0, f"exit code of {node.name}: {code}")
        node.start()
        cluster.wait_ready()
        context.say(f"{node.name} was restarted")
    with cluster.router.client() as client:
        demand_all(client, 2000, "second")
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes of the last stop: {codes}")


harness.run(test)
