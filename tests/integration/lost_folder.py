"""A node whose store or log is gone does not come back as if it had never acknowledged anything."""

import os
import shutil

import harness
from cluster import demand


def test(context):
    cluster = context.cluster(shards=8, node_flags=["--loops", "2"])
    cluster.start()
    with cluster.router.client() as client:
        replies = client.pipeline([("SET", f"key:{i}", "1") for i in range(300)])
        demand(replies == ["OK"] * 300, "SET")
    victim = cluster.nodes[1]
    for lost in (["store"], ["log"], ["store", "log"]):
        victim.kill()
        cluster.wait_taken_over(victim)
        aside = []
        for name in lost:
            here = os.path.join(victim.data, name)
            shutil.move(here, here + ".aside")
            aside.append(here)
        victim.start()
        demand(victim.wait_exit() == 1, f"a node without its {lost} goes on")
        demand("is gone" in victim.log_text(), f"it does not say that its {lost} is gone")
        for here in aside:
            shutil.rmtree(here, ignore_errors=True)
            shutil.move(here + ".aside", here)
        victim.start()
        cluster.wait_ready()
        context.say(f"{lost}: refused, and well again with it")
    with cluster.router.client() as client:
        got = client.pipeline([("GET", f"key:{i}") for i in range(300)])
        demand(got == [b"1"] * 300, "GET")


harness.run(test)
