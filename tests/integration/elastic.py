"""Shards split, merge, move and change leaders at random while clients use everything through two
routers: no error, nothing lost or doubled, every history linearizable, SCAN and DBSIZE exact, every
job at its end.

    elastic.py --operations 1000 --seed 7       as many changes; the same choices again
    elastic.py --faults kill,stop,restart       meanwhile: kill -9 of a node, SIGSTOP of a router,
                                                kill -9 and start of all nodes
    elastic.py --kinds split,move               only these changes

A node joins on the way. How long requests took during each kind of change is printed, not judged.
"""

import time

import harness
from cluster import Node, demand, wait_until
from elastic_jobs import ACTIVE, Jobs, latency_lines
from elastic_load import Load
from resp_client import as_map

SHARDS = 8
FAULTS = ("kill", "stop", "restart")


def settled(cluster):
    """Every shard has a leader and all its voters, and every node that runs is known to be up."""
    status = {key: int(value) for key, value in cluster.status().items() if str(value).isdigit()}
    if status["shards"] != status["shards_led"] or status["shards_short"] or \
            status["nodes_up"] < sum(node.alive() for node in cluster.nodes):
        raise ValueError(status)
    return True


def wait_settled(cluster, seconds=60):
    wait_until(lambda: settled(cluster), seconds, "all shards are led and short of nothing")


def add_node(context, cluster):
    node = Node(cluster, len(cluster.nodes))
    cluster.nodes.append(node)
    node.start("--join", ",".join(f"127.0.0.1:{other.port}" for other in cluster.nodes[:-1]))
    wait_until(lambda: sum(str(row["state"]) == "up" for row in cluster.node_rows()) ==
               len(cluster.nodes), 30, f"{node.name} has joined")
    context.say(f"{node.name} joined")


def kill(context, cluster, load):
    victim = context.random.choice(cluster.nodes)
    victim.kill()
    load.history.wait_progress(200, 60)
    time.sleep(context.random.choice((0, 2)))  # Back before others lead, or behind it.
    victim.start()
    context.say(f"killed and started {victim.name}")


def stop(context, cluster, load):
    router, other = context.random.sample(cluster.routers, 2)
    router.pause()
    wait_until(lambda: cluster.status(router=other), 20, "the other router answers")
    time.sleep(1.5)  # So long it stands still; nothing is waited for.
    router.resume()
    load.history.wait_progress(100, 60)
    context.say(f"stopped {router.name} for a while")


def restart(context, cluster, load):
    for node in context.random.sample(cluster.nodes, len(cluster.nodes)):
        node.kill()
    for node in cluster.nodes:
        node.start()
    load.history.wait_progress(100, 90)
    context.say("killed and started all nodes")


def demand_alive(cluster):
    for process in cluster.processes():
        demand(process.alive(), f"{process.name} ended: see {process.log_path}")


def operate(context, cluster, load, jobs):
    """Changes, one after the other and several at a time, with the faults between them."""
    wanted = context.options.operations
    faults = [name for name in context.options.faults.split(",") if name]
    every = max(wanted // (2 * len(faults)), 4) if faults else 0
    done, said, next_fault, nth_fault = 0, 0, every, 0
    while done < wanted:
        if done >= wanted // 8 and len(cluster.nodes) == 3:
            add_node(context, cluster)
        count = 1 if context.random.random() < 0.5 else context.random.randrange(2, 6)
        begun = jobs.begin(min(count, wanted - done))
        done += begun
        if every and done >= next_fault:
            {"kill": kill, "stop": stop, "restart": restart}[faults[nth_fault % len(faults)]](
                context, cluster, load)
            nth_fault += 1
            next_fault += every
            wait_settled(cluster, 90)
        jobs.wait(180 if faults else 60)
        load.demand_good()
        demand_alive(cluster)
        if done - said >= max(wanted // 10, 10):
            said = done
            context.say(f"{done} changes, {len(jobs.shards())} shards")
        if not begun:
            time.sleep(0.05)


def scan_all(client):
    names, cursor = set(), b"0"
    while True:
        cursor, page = client.call("SCAN", cursor, "COUNT", 500)
        names.update(name.decode() for name in page)
        if cursor == b"0":
            return names


def check_keys(cluster, wanted):
    for router in cluster.routers:
        with router.client(timeout=60) as client:
            # Keys that lived for a time are counted until they are swept.
            wait_until(lambda: client.call("DBSIZE") == len(wanted) or
                       demand_false(client, len(wanted)), 20, "DBSIZE is exact")
            names = scan_all(client)
            demand(names == wanted, f"SCAN: {sorted(wanted - names)[:5]} are missing, "
                   f"{sorted(names - wanted)[:5]} are too much")


def demand_false(client, wanted):
    raise ValueError(f"DBSIZE {client.call('DBSIZE')}, not {wanted}")


def check_ring(cluster):
    """The ranges are the ring, without hole or overlap, and both routers know the same."""
    views = []
    for router in cluster.routers:
        rows = [as_map(row) for row in cluster.ask("SHERD", "SHARDS", router=router)]
        rows = sorted(((int(str(row["start"]), 16), int(str(row["last"]), 16), int(row["id"]))
                       for row in rows if int(row["id"]) != 1))
        demand(rows[0][0] == 0 and rows[-1][1] == (1 << 64) - 1, f"the ends of the ring: {rows}")
        demand(all(a[1] + 1 == b[0] for a, b in zip(rows, rows[1:])), f"no ring: {rows}")
        views.append(rows)
    return all(view == views[0] for view in views)


def check_replicas(cluster, load):
    """Every replica has the same: each leads its shard once, and all is asked then."""
    for nth in range(cluster.replicas):
        for row in cluster.shard_rows():
            nodes = sorted(int(str(replica).split("@")[1]) for replica in row["replicas"])
            cluster.ask("SHERD", "SHARD", "TRANSFER", row["id"], nodes[nth])
        wait_until(lambda: not any(as_map(job)["state"] in ACTIVE
                                   for job in cluster.ask("SHERD", "JOB", "LIST")),
                   60, "the leaders have changed")
        load.check_again()


def report(context, load, jobs):
    context.say(jobs.summary())
    for text, count in jobs.refused.items():
        context.say(f"refused {count} times: {text}")
    for line in jobs.failed:
        context.say(line)
    for line in latency_lines(load.samples(), jobs.ended):
        context.say(line)


def test(context):
    faults = [name for name in context.options.faults.split(",") if name]
    demand(all(name in FAULTS for name in faults), f"--faults: some of {','.join(FAULTS)}")
    cluster = context.cluster(routers=2, shards=SHARDS,
                              router_flags=["--request-deadline-ms", "60000"])
    cluster.start()
    cluster.wait_whole()
    demand(cluster.ask("SHERD", "BALANCER", "OFF") == "OK", "the balancer stays out of it")
    load = Load(context, cluster)
    jobs = Jobs(context, cluster, faulty=bool(faults))
    if context.options.kinds:
        chosen = context.options.kinds.split(",")
        jobs.kinds = {kind: weight for kind, weight in jobs.kinds.items() if kind in chosen}
    load.start()
    load.history.wait_progress(300)
    operate(context, cluster, load, jobs)
    jobs.wait_none()
    load.history.wait_progress(100)
    wanted = load.stop()
    report(context, load, jobs)
    check_keys(cluster, wanted)
    wait_until(lambda: check_ring(cluster), 10, "both routers have the same map")
    wait_settled(cluster)
    check_replicas(cluster, load)
    context.say("every replica has all of it")
    if faults:
        restart_checked(context, cluster, wanted)
    codes = cluster.stop()
    demand(not any(codes.values()), f"exit codes {codes}")


def restart_checked(context, cluster, wanted):
    """All of it is on the disks."""
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        node.start()
    wait_settled(cluster)
    check_keys(cluster, wanted)
    context.say("and all is there after kill -9 of everything")


harness.run(test, limit=240, extra={
    "--operations": {"type": int, "default": 40, "help": "how many changes"},
    "--faults": {"default": "", "help": "kill, stop, restart, separated by commas"},
    "--kinds": {"default": "split,merge,move,transfer", "help": "of split, merge, move, transfer"}})
