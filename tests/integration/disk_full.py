"""The disk fills up: writes are refused with a clear error before it is full, reads go on, and
writes come back with the space. Then one disk has no byte left: the cluster goes on without it.

As root each node has a small tmpfs of its own, else a preloaded library tells it that space is
low.
"""

import os
import subprocess

import harness
from cluster import demand, wait_until
from resp_client import RespError

MIB = 1 << 20
DISK_MIB = 192
FLAGS = ["--wal-segment-size", "4mb", "--memtable-size", "4mb", "--free-space-min", "48mb"]


class SmallDisk:
    """A tmpfs over the data directory of a node, and a file that takes its space away."""

    def __init__(self, context, node):
        self.path = node.data + ".disk"
        os.makedirs(self.path)
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", self.path],
                       check=True)
        context.cleanups.append(lambda: subprocess.run(["umount", "-l", self.path], check=False))
        node.data = os.path.join(self.path, "data")
        self.ballast = os.path.join(self.path, "ballast")

    def leave(self, size):
        """Takes space until only so much is free."""
        state = os.statvfs(self.path)
        take = state.f_bavail * state.f_frsize - size
        with open(self.ballast, "ab") as ballast:
            have = ballast.tell()
            try:
                os.posix_fallocate(ballast.fileno(), have, max(take, 1))
            except OSError:
                demand(size == 0, "cannot take the space")

    def free(self):
        os.unlink(self.ballast)


class ToldDisk:
    """The same by the preloaded library."""

    def __init__(self, context, node):
        self.path = node.data + ".shim"
        os.makedirs(self.path)
        node.env = {"LD_PRELOAD": os.path.join(context.tools, "libshim_fault.so"),
                    "SHERD_SHIM": self.path}

    def leave(self, size):
        for name in ["space_low"] + ([] if size else ["write_enospc"]):
            with open(os.path.join(self.path, name), "w", encoding="ascii"):
                pass

    def free(self):
        for name in os.listdir(self.path):
            os.unlink(os.path.join(self.path, name))


def can_mount():
    return os.geteuid() == 0 and subprocess.run(
        ["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def refused(client):
    reply = client.call("SET", "probe", "x" * 100)
    demand(reply == "OK" or isinstance(reply, RespError), f"SET: {reply!r}")
    if reply == "OK":
        return None
    return str(reply)


def test(context):
    cluster = context.cluster(node_flags=FLAGS, router_flags=["--request-deadline-ms", "5000"])
    kind = SmallDisk if can_mount() else ToldDisk
    disks = [kind(context, node) for node in cluster.nodes]
    context.say(f"disks: {kind.__name__}")
    cluster.start()
    with cluster.router.client() as client:
        for i in range(500):
            demand(client.call("SET", f"k{i}", f"v{i}") == "OK", f"SET k{i}")
        for disk in disks:
            disk.leave(20 * MIB)
        error = wait_until(lambda: refused(client), 20, "writes are refused")
        context.say(f"refused: {error}")
        demand("disk" in error.lower() or "space" in error.lower(), f"not a clear error: {error}")
        got = [client.call("GET", f"k{i}") for i in range(500)]
        demand(got == [f"v{i}".encode() for i in range(500)], "reads do not go on")
        demand(client.call("DEL", "none") is not None, "DEL")
        demand(all(node.alive() for node in cluster.nodes), "a node died of low space")
        for disk in disks:
            disk.free()
        wait_until(lambda: all(client.call("SET", f"k{i}", f"w{i}") == "OK" for i in range(500)),
                   20, "writes are taken again on every node")

    load = context.workload(cluster, value_size=20000)  # New segments are needed soon.
    load.start()
    load.wait_progress(500)
    victim = cluster.top_leader()
    disk = disks[cluster.nodes.index(victim)]
    disk.leave(0)
    context.say(f"no byte left for {victim.name}")
    before = load.ok_count()
    wait_until(lambda: load.ok_count() > before + 2000, 30, "the load goes on without it")
    context.say(f"{victim.name} is {'alive' if victim.alive() else 'dead'}")
    disk.free()
    if not victim.alive():
        victim.start()
    cluster.wait_ready()
    load.wait_progress(300)
    load.stop()
    context.say(load.check(context.directory))
    if not victim.alive():
        raise AssertionError("the node died again")


harness.run(test)
