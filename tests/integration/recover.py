"""Two of three nodes are lost for good. What is left goes on with all that it had, as `recover`
promises; it asks first. New nodes get copies. Who comes back with old data is refused, and does no
harm.
"""

import json
import os
import shutil
import subprocess

import harness
from cluster import META_SHARD, PATIENCE, demand, wait_until
from resp_client import RespError

KEYS = 2000


def admin(context, address, *args, code=0):
    program = os.path.join(context.programs, "sherd-admin")
    done = subprocess.run([program, "--connect", "%s:%d" % address, *args], capture_output=True,
                          timeout=180 * PATIENCE, check=False)
    demand(done.returncode == code,
           f"{args} ended with {done.returncode}, not {code}: {done.stdout} {done.stderr}")
    return done.stdout.decode()


def fill(client, word):
    replies = client.pipeline([("SET", f"key:{i}", f"{word} {i}") for i in range(KEYS)])
    demand(all(reply == "OK" for reply in replies), "SET")
    replies = client.pipeline([("HSET", f"hash:{i}", *[x for n in range(300) for x in (n, word)])
                               for i in range(5)])
    demand(not any(isinstance(reply, RespError) for reply in replies), f"HSET {replies}")


def check(client, word):
    replies = client.pipeline([("GET", f"key:{i}") for i in range(KEYS)])
    wrong = [i for i, reply in enumerate(replies) if reply != f"{word} {i}".encode()]
    demand(not wrong, f"{len(wrong)} keys are wrong, such as {wrong[:3]}: {replies[wrong[0]]}"
           if wrong else "")
    demand(client.call("HLEN", "hash:3") == 300, "HLEN")


def replicas(client_address, context):
    text = admin(context, client_address, "--json", "call", "SHERD", "REPLICA", "LIST")
    return {int(row["shard"]): row for row in json.loads(text)}


def wait_same(context, cluster):
    """Until the first node has applied all that the others have: then what is left is all."""
    def same():
        lists = [replicas(node.address, context) for node in cluster.nodes]
        for shard, row in lists[0].items():
            ends = {others[shard]["last_index"] for others in lists if shard in others}
            if len(ends) != 1 or row["applied"] not in ends:
                raise ValueError(f"shard {shard}: {ends}, applied {row['applied']}")
        return True

    wait_until(same, 30, "all nodes have the same")


def lose(context, cluster):
    """Two nodes die; what they had is kept aside."""
    wait_same(context, cluster)
    for node in cluster.nodes[1:]:
        node.expected_dead = True
        node.kill()
    for node in cluster.nodes[1:]:
        shutil.copytree(node.data, node.data + ".aside")
        node.wipe()


def recover(context, cluster, before):
    left = cluster.nodes[0].address
    wait_until(lambda: not any(row["role"] == "leader"
                               for row in replicas(left, context).values()), 20,
               "nobody leads anything")
    out = admin(context, left, "recover", code=5)
    demand("does not answer" in out, f"recover: {out}")
    out = admin(context, left, "recover", "--lost", "2", "--yes", code=5)
    out = admin(context, left, "recover", "--lost", "2,3", code=5)
    demand(out.count("has lost its majority") == cluster.shards + 1, f"recover --lost: {out}")
    demand("Nothing was changed" in out, out)
    admin(context, left, "recover", "--yes", code=2)
    admin(context, left, "recover", "--lost", "1,2", "--yes", code=5)
    out = admin(context, left, "recover", "--lost", "2,3", "--yes")
    demand(f"{cluster.shards + 1} shards go on" in out, out)
    context.say("recovered")
    after = replicas(left, context)
    for shard, row in after.items():
        demand(int(row["replica"]) > int(before[shard]["replica"]), f"shard {shard}: {row}")
        demand(row["role"] == "leader" and len(row["members"]) == 1, f"shard {shard}: {row}")
    out = admin(context, left, "recover")
    demand("no shard has lost" in out, out)


def come_back(context, cluster, nodes):
    """With what they had; two of them are a majority of the groups that are no more."""
    for node in nodes:
        shutil.copytree(node.data + ".aside", node.data)
    for node in nodes:
        node.start()
    count = 0
    with cluster.router.client(timeout=60) as client:
        while any(node.alive() for node in nodes) and count < 3000:
            count += 1
            demand(client.call("SET", "counted", count) == "OK", "SET")
            demand(client.call("GET", "counted") == b"%d" % count, "GET")
            demand(client.call("GET", f"key:{count % KEYS}") == b"after %d" % (count % KEYS), "GET")
        for node in nodes:
            demand(node.wait_exit(30) != 0, f"{node.name} was lost and came back")
            demand("no longer part of the cluster" in node.log_text(),
                   f"its log does not say why, see {node.log_path}")
            node.wipe()
        check(client, "after")
    context.say(f"{len(nodes)} lost nodes that came back were refused, {count} writes meanwhile")


def two_of_five(context):
    """Two copies are left: the better one goes on, the other begins anew."""
    cluster = context.cluster(nodes=5, shards=4, replicas=5)
    cluster.start()
    cluster.wait_whole(seconds=60)
    with cluster.router.client(timeout=60) as client:
        fill(client, "before")
    before = replicas(cluster.nodes[1].address, context)
    wait_same(context, cluster)
    ids = {str(row["address"]): str(row["id"]) for row in cluster.node_rows()}
    ids = [ids[f"127.0.0.1:{node.port}"] for node in cluster.nodes]
    for index in (0, 3, 4):
        cluster.nodes[index].expected_dead = True
        cluster.nodes[index].kill()
    left = cluster.nodes[1].address
    wait_until(lambda: not any(row["role"] == "leader"
                               for row in replicas(left, context).values()), 20,
               "nobody leads anything")
    admin(context, left, "recover", "--lost", f"{ids[0]},{ids[3]},{ids[4]}", "--yes")
    cluster.wait_ready(nodes_up=2)

    def settled():
        good = True
        for node in cluster.nodes[1:3]:
            now = replicas(node.address, context)
            good = good and len(now) == len(before) and all(
                int(row["replica"]) > int(before[shard]["replica"]) and
                {member.split("@")[1] for member in row["members"]} == set(ids[1:3])
                for shard, row in now.items() if shard != META_SHARD)
        return good

    wait_until(settled, 40, "the two that are left have new copies")
    with cluster.router.client(timeout=60) as client:
        check(client, "before")
        fill(client, "after")
        check(client, "after")
    cluster.destroy()
    context.say("two of five went on")


def test(context):
    two_of_five(context)
    cluster = context.cluster(shards=8)
    cluster.start()
    cluster.wait_whole()
    with cluster.router.client(timeout=60) as client:
        fill(client, "before")
    before = replicas(cluster.nodes[0].address, context)
    demand(META_SHARD in before and len(before) == cluster.shards + 1, f"replicas: {before}")
    lose(context, cluster)
    recover(context, cluster, before)
    cluster.wait_ready(nodes_up=1)
    with cluster.router.client(timeout=60) as client:
        check(client, "before")
        fill(client, "after")
        check(client, "after")
    context.say("all that was left is there, and it takes writes")

    come_back(context, cluster, cluster.nodes[1:2])
    come_back(context, cluster, cluster.nodes[1:])

    first = cluster.nodes[0]
    for node in cluster.nodes[1:]:
        node.start("--join", f"127.0.0.1:{first.port}")
        node.expected_dead = False
    cluster.wait_whole(seconds=60)
    with cluster.router.client(timeout=60) as client:
        check(client, "after")
    first.kill()
    cluster.wait_taken_over(first)
    with cluster.router.client(timeout=60) as client:
        check(client, "after")
    context.say("new nodes have all of it")
    first.start()
    cluster.wait_whole(seconds=60)
    out = admin(context, cluster.router.address, "--json", "events")
    demand("recover shard" in out and "is lost" in out, "the journal knows")


harness.run(test, limit=240)
