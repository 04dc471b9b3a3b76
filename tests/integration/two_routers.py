"""Two routers at once see one state; a router may die and come back at any time; a router starts
while a node is down, from its seeds or from the map that it kept.
"""

import harness
from cluster import demand, wait_until


def only_connection_errors(load):
    bad = [error for error in load.errors()
           if not error[2].startswith(("ConnectionError", "ConnectionRefusedError",
                                       "ConnectionResetError", "BrokenPipeError"))]
    demand(not bad, f"errors other than lost connections: {bad[:5]}")


def kill_routers(context, cluster, load):
    for router in cluster.routers * 2:
        router.kill()
        load.wait_progress(200)
        router.start()
        cluster.wait_ready(router=router)
        load.wait_progress(200)
    context.say("killed and started each router twice")


def start_with_a_node_down(context, cluster, load):
    down = cluster.nodes[0]
    down.kill()
    cluster.wait_taken_over(down)
    with_map, fresh = cluster.routers
    with_map.stop()
    with_map.start(seeds=[f"127.0.0.1:{down.port}"] +
                   [f"127.0.0.1:{node.port}" for node in cluster.nodes[1:]])
    cluster.wait_ready(nodes_up=2, router=with_map)
    context.say("a router started with a seed that is down")
    fresh.stop()
    fresh.start(seeds=[f"127.0.0.1:{cluster.nodes[2].port}"])
    cluster.wait_ready(nodes_up=2, router=fresh)
    context.say("a router started with one seed")
    load.wait_progress(300)
    # Its only seed is dead, but it has kept the map.
    fresh.stop()
    fresh.start(seeds=[f"127.0.0.1:{down.port}"])
    cluster.wait_ready(nodes_up=2, router=fresh)
    context.say("a router started from the map on its disk")
    down.start()
    cluster.wait_ready()


def test(context):
    cluster = context.cluster(routers=2)
    cluster.start()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(1000)
    first, second = (cluster.status(router=router) for router in cluster.routers)
    demand(first["map_version"] == second["map_version"], f"maps differ: {first} {second}")
    with cluster.routers[0].client() as one, cluster.routers[1].client() as two:
        for i in range(500):
            demand(one.call("SET", "seen", str(i)) == "OK", "SET at the first")
            got = two.call("GET", "seen")
            demand(got == str(i).encode(),
                   f"the second router answers {got} after {i} was acknowledged")
    kill_routers(context, cluster, load)
    start_with_a_node_down(context, cluster, load)
    load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    only_connection_errors(load)
    wait_until(lambda: all(process.alive() for process in cluster.processes()), 1, "all live")


harness.run(test)
