"""fdatasync fails with EIO on one node (a preloaded library). That node ends, as nothing that it
says about its disk can be trusted any more; the others go on, nothing is lost. A disk that is
only slow keeps its node alive and loses nothing either.
"""

import os
import time

import harness
from cluster import demand


def give_shim(context, node):
    directory = node.data + ".shim"
    os.makedirs(directory)
    node.env = {"LD_PRELOAD": os.path.join(context.tools, "libshim_fault.so"),
                "SHERD_SHIM": directory}
    return directory


def touch(directory, name):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="ascii"):
        pass
    return path


def test(context):
    cluster = context.cluster()
    shims = {node: give_shim(context, node) for node in cluster.nodes}
    cluster.start()
    load = context.workload(cluster)
    load.start()
    load.wait_progress(500)

    slow = context.random.choice(cluster.nodes)
    trigger = touch(shims[slow], "sync_slow")
    context.say(f"every sync of {slow.name} takes 300 ms longer")
    end = time.monotonic() + 4
    while time.monotonic() < end:
        load.wait_progress(20)
    os.unlink(trigger)
    demand(slow.alive(), f"{slow.name} died of a slow disk")
    cluster.wait_ready()

    for fault in ("sync_eio", "write_eio"):
        victim = cluster.top_leader()
        trigger = touch(shims[victim], fault)
        context.say(f"{fault} on {victim.name}")
        code = victim.wait_exit(15)
        demand(code != 0, f"{victim.name} ended with exit code 0")
        context.say(f"it ended with {code}: {victim.log_text().splitlines()[-1][:200]}")
        cluster.wait_taken_over(victim)
        load.wait_progress(500)
        os.unlink(trigger)
        victim.start()
        cluster.wait_ready()
        load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    load.demand_no_errors()


harness.run(test)
