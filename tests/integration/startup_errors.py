"""What cannot start says so in one line that tells what to do, with exit code 1 or 2, and changes
nothing on disk: unknown flag, missing value, unusable directory, port taken, wrong cluster, newer
format.
"""

import hashlib
import os
import shutil
import socket
import subprocess

import harness
from cluster import demand, free_port, wait_until

NODE, ROUTER = "sherd-node", "sherd-router"
ANY_PORT = ["--listen", "127.0.0.1:0"]
USAGE, FAILED, EITHER = (2,), (1,), (1, 2)


def fingerprint(directory):
    """Names and contents of everything below."""
    result = {}
    for base, folders, files in os.walk(directory):
        for name in folders:
            result[os.path.join(base, name)] = "folder"
        for name in files:
            path = os.path.join(base, name)
            with open(path, "rb") as data:
                result[path] = hashlib.sha256(data.read()).hexdigest()
    return result


def demand_unchanged(directory, before, what):
    after = fingerprint(directory)
    changed = sorted(path for path in {**before, **after} if before.get(path) != after.get(path))
    demand(not changed, f"{what} changed {changed}")


class Refusals:
    def __init__(self, context):
        self.context = context

    def path(self, name):
        return os.path.join(self.context.directory, name)

    def run(self, program, args, codes, *parts, env=None):
        """Runs it to its end, which must come at once; all parts are in its last line."""
        path = os.path.join(self.context.programs, program)
        shown = f"{program} {' '.join(args)}"
        try:
            done = subprocess.run([path, *args], capture_output=True, text=True, timeout=20,
                                  check=False, env={**os.environ, **(env or {})})
        except subprocess.TimeoutExpired:
            demand(False, f"{shown}: started")
        output = done.stdout + done.stderr
        demand(done.returncode in codes, f"{shown}: exit code {done.returncode}\n{output}")
        # Beside its log, if it came so far, it says one line for the person at the terminal.
        lines = [line for line in done.stderr.splitlines() if line.startswith(program + ": ")]
        demand(len(lines) == 1, f"{shown}: says not one line:\n{output}")
        for part in parts:
            demand(part.lower() in lines[0].lower(), f"{shown}: no '{part}' in: {lines[0]}")
        self.context.say(f"{done.returncode} {lines[0][:150]}")

    def node(self, args, codes, *parts):
        self.run(NODE, args, codes, *parts)

    def router(self, args, codes, *parts, env=None):
        self.run(ROUTER, ["--nodes", "127.0.0.1:1", *args], codes, *parts, env=env)


def usage(refuses):
    for program in (NODE, ROUTER):
        for args, parts in (
                (["--lissten", "127.0.0.1:0"], ("lissten", "listen")),
                (["--listen"], ("listen",)),
                (["--listen", "nonsense"], ("listen",)),
                (["--listen", "127.0.0.1:99999"], ("listen",)),
                (["--loops", "many"], ("loops",)),
                (["--loops", "-1"], ("loops",)),
                (["--maxclients", "0"], ("maxclients",)),
                (["stray"], ("stray",))):
            refuses.run(program, args, USAGE, *parts)
    refuses.node([*ANY_PORT, "--bootstrap"], USAGE, "data")
    refuses.run(ROUTER, ANY_PORT, USAGE, "nodes")
    fresh = [*ANY_PORT, "--data", refuses.path("never")]
    refuses.node([*fresh, "--bootstrap", "--zone", "z" * 32], USAGE, "zone")
    refuses.node([*fresh, "--join", "a" * 60 + ":7000"], USAGE, "join")
    refuses.node([*fresh, "--join", "a:1,,b:1"], USAGE, "join")
    refuses.node([*fresh, "--join", ",".join(f"a:{i}" for i in range(1, 18))], USAGE, "join")
    demand(not os.path.exists(refuses.path("never")), "a directory was made")
    config = refuses.path("bad.conf")
    with open(config, "w", encoding="ascii") as out:
        out.write("# fine\nloops 1\nmaxclint 5\n")
    refuses.router(["--config", config], USAGE, "maxclint", "maxclients", "3")
    refuses.router(["--config", config + ".none"], EITHER, "bad.conf.none")
    refuses.router([], USAGE, "loops", env={"SHERD_LOOPS": "x"})
    for program in (NODE, ROUTER):
        done = subprocess.run([os.path.join(refuses.context.programs, program), "--help"],
                              timeout=10, capture_output=True, text=True, check=False)
        demand(done.returncode == 0 and "--listen" in done.stdout, f"{program} --help")


def directories(refuses):
    plain = refuses.path("file")
    with open(plain, "w", encoding="ascii") as out:
        out.write("not a directory")
    below = os.path.join(plain, "below")
    refuses.node([*ANY_PORT, "--data", plain, "--bootstrap"], EITHER, plain)
    refuses.node([*ANY_PORT, "--data", below, "--bootstrap"], EITHER, plain)
    if os.geteuid() == 0:  # Root may write anywhere but into /proc.
        locked = "/proc/sherd"
    else:
        locked = os.path.join(refuses.path("locked"), "data")
        os.makedirs(refuses.path("locked"), 0o500)
    refuses.node([*ANY_PORT, "--data", locked, "--bootstrap"], EITHER, locked)

    empty = refuses.path("empty")
    os.makedirs(empty)
    data = ["--data", empty]
    both = ["--bootstrap", "--join", "127.0.0.1:1"]
    # Neither the first of a cluster nor joining one, and nothing to go on with.
    refuses.node([*ANY_PORT, *data], EITHER, "bootstrap", "join")
    refuses.node([*ANY_PORT, *data, *both], USAGE, "bootstrap", "join")
    refuses.node([*ANY_PORT, *data, "--bootstrap", "--replicas", "2"], EITHER, "replicas")
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = str(busy.getsockname()[1])
        listen = ["--listen", f"127.0.0.1:{port}"]
        refuses.node([*data, "--bootstrap", *listen], FAILED, port)
        refuses.router(listen, FAILED, port)
    demand(os.listdir(empty) == [], f"something was written: {os.listdir(empty)}")


def one_copy(context, value, nodes=1):
    cluster = context.cluster(nodes=nodes, replicas=1, shards=4)
    cluster.start()
    with cluster.router.client() as client:
        demand(client.call("SET", "k", value) == "OK", "SET")
    return cluster


def again(node, *flags):
    """Arguments to start the node's directory once more, at another port."""
    return ["--data", node.data, "--listen", f"127.0.0.1:{free_port()}", *flags]


def in_use(refuses, cluster):
    node = cluster.nodes[0]
    refuses.node(again(node), FAILED, node.data)
    demand(cluster.ask("GET", "k") == b"first", "the node whose directory it is does not go on")


def newer_format(refuses, cluster):
    """The byte behind the magic of DIR/identity is the format of the directory."""
    cluster.stop()
    node = cluster.nodes[0]
    path = os.path.join(node.data, "identity")
    with open(path, "rb") as data:
        before = data.read()
    demand(before[:4] == b"SHID", f"{path} does not begin with its magic")
    with open(path, "wb") as out:
        out.write(before[:4] + bytes([before[4] + 1]) + before[5:])
    state = fingerprint(node.data)
    refuses.node(again(node), FAILED, "newer")
    demand_unchanged(node.data, state, "a start on a newer format")
    with open(path, "wb") as out:
        out.write(before)


def wrong_cluster(refuses, first, second):
    """A node with data of one cluster is told to join, or to begin, another."""
    node = first.nodes[0]
    state = fingerprint(node.data)
    join = ["--join", f"127.0.0.1:{second.nodes[0].port}"]
    refuses.node(again(node, *join), EITHER, "cluster")
    demand_unchanged(node.data, state, "--join to another cluster")
    joined = first.nodes[1]
    state = fingerprint(joined.data)
    refuses.node(again(joined, "--bootstrap"), EITHER, joined.data)
    demand_unchanged(joined.data, state, "--bootstrap on a directory that joined")
    node.start("--bootstrap")  # It was the first already: the flag creates nothing any more.
    joined.start("--join", f"127.0.0.1:{free_port()},127.0.0.1:{node.port}")
    first.restart_all()
    demand(first.ask("GET", "k") == b"first", "the first cluster has lost its data")


def without(refuses, node, name, replacement=None):
    """Its directory without one of its folders: a replica that forgot what it promised."""
    path = os.path.join(node.data, name)
    os.rename(path, path + ".away")
    if replacement is not None:
        os.makedirs(path)
    state = fingerprint(node.data)
    refuses.node(again(node), FAILED, node.data, name, "--join")
    demand_unchanged(node.data, state, f"a start without {name}")
    if replacement is not None:
        os.rmdir(path)
    os.rename(path + ".away", path)


def lost_data(refuses, cluster):
    cluster.stop()
    for node in cluster.nodes:
        for name in ("store", "log"):
            without(refuses, node, name)
            without(refuses, node, name, replacement="empty")
    cluster.restart_all()
    demand(cluster.ask("GET", "k") == b"first", "the data is gone")


def cut_short(refuses, cluster):
    """A first start that died before it had made everything is made anew; one that had is not."""
    first = cluster.nodes[0]
    first.kill()
    fresh = refuses.path("fresh")
    os.makedirs(fresh)
    shutil.copy(os.path.join(first.data, "identity"), fresh)
    first.data = fresh
    first.start()
    wait_until(lambda: os.path.exists(os.path.join(fresh, "map")), 10, "a new cluster is made")
    first.kill()
    for name in ("store", "log"):
        without(refuses, first, name)
    shutil.rmtree(os.path.join(fresh, "store"))
    shutil.rmtree(os.path.join(fresh, "log"))
    os.remove(os.path.join(fresh, "format"))
    refuses.node(again(first), FAILED, fresh, "store")


def test(context):
    refuses = Refusals(context)
    usage(refuses)
    directories(refuses)
    first = one_copy(context, "first", nodes=2)
    in_use(refuses, first)
    newer_format(refuses, first)
    wrong_cluster(refuses, first, one_copy(context, "second"))
    lost_data(refuses, first)
    cut_short(refuses, context.clusters[1])


harness.run(test)
