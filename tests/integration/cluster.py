"""A Sherd cluster of real processes in a directory of its own.

Every process is started, stopped and killed by its pid; ports are chosen by the kernel's leave (a
port outside of the ephemeral range that can be bound now: connecting again and again to a dead
port inside the range would at last connect to itself). All waiting is polling for a state, with a
limit. Start processes on the main thread only: they die with the thread that started them.
"""

import contextlib
import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import time

from resp_client import RespClient, RespError, as_map, text

# Sanitizers and slow machines need more time than states take otherwise.
PATIENCE = float(os.environ.get("SHERD_TEST_PATIENCE", "1"))
PR_SET_PDEATHSIG = 1

META_SHARD = 1
LIBC = ctypes.CDLL(None)


class Failure(AssertionError):
    """Something that a test demands is not so."""


def demand(condition, message):
    if not condition:
        raise Failure(message)


def wait_until(predicate, seconds, what, interval=0.02):
    """Polls until predicate() is true and returns that value; Failure after so many seconds."""
    end = time.monotonic() + seconds * PATIENCE
    last = None
    while True:
        try:
            value = predicate()
            last = value
        except (OSError, ValueError, KeyError, RespError) as error:
            value, last = None, error
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited {seconds * PATIENCE:.0f} s in vain until {what}; last: {last!r}")
        time.sleep(interval)


def free_port(taken=set()):
    chooser = random.SystemRandom()
    while True:
        port = chooser.randrange(10000, 32000)
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in taken:
            taken.add(port)
            return port


class Process:
    """One child: its log goes to a file, its death is noticed, it cannot outlive the test."""

    def __init__(self, name, log_path):
        self.name = name
        self.log_path = log_path
        self.child = None

    def spawn(self, args, env=None):
        demand(self.child is None or self.child.poll() is not None, f"{self.name} runs already")
        parent = os.getpid()

        def die_with_parent():
            LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        with open(self.log_path, "ab") as log:
            log.write(b"---- " + " ".join(args).encode() + b"\n")
            log.flush()
            self.child = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=True,
                env={**os.environ, **(env or {})}, preexec_fn=die_with_parent)

    @property
    def pid(self):
        return self.child.pid

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def signal(self, number):
        if self.alive():
            self.child.send_signal(number)

    def kill(self):
        """kill -9, and waits until it is gone."""
        self.signal(signal.SIGKILL)
        if self.child is not None:
            self.child.wait()

    def stop(self, seconds=20):
        """Asks it to end (SIGTERM) and returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end within {seconds} s of SIGTERM") from None

    def wait_exit(self, seconds=20):
        try:
            return self.child.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name} did not end by itself within {seconds} s") from None

    def pause(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii", errors="replace") as status:
            for line in status:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        return 0

    def log_text(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as log:
            return log.read()


class Node(Process):
    def __init__(self, cluster, index):
        super().__init__(f"node{index}", os.path.join(cluster.directory, f"node{index}.log"))
        self.cluster = cluster
        self.data = os.path.join(cluster.directory, f"node{index}")
        self.port = free_port()
        self.http_port = free_port()
        self.env = {}
        self.flags = []

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self, *flags):
        """Starts it; with no flags on a directory with data it goes on as what it was."""
        self.spawn([self.cluster.program("sherd-node"), "--data", self.data,
                    "--listen", f"127.0.0.1:{self.port}",
                    "--http", f"127.0.0.1:{self.http_port}",
                    *self.cluster.node_flags, *self.flags, *flags], self.env)

    def wipe(self):
        shutil.rmtree(self.data)


class Router(Process):
    def __init__(self, cluster, index):
        super().__init__(f"router{index}", os.path.join(cluster.directory, f"router{index}.log"))
        self.cluster = cluster
        self.port = free_port()
        self.http_port = free_port()
        self.data = os.path.join(cluster.directory, f"router{index}")
        self.flags = []

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    def start(self, seeds=None):
        os.makedirs(self.data, exist_ok=True)
        seeds = seeds or [f"127.0.0.1:{node.port}" for node in self.cluster.nodes]
        self.spawn([self.cluster.program("sherd-router"), "--nodes", ",".join(seeds),
                    "--listen", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http_port}",
                    "--data", self.data, *self.cluster.router_flags, *self.flags])

    def client(self, **options):
        return RespClient(self.address, **options)


def answers_ping(address, timeout=2.0):
    with RespClient(address, timeout=timeout) as client:
        return client.call("PING") == "PONG"


class Cluster:
    def __init__(self, programs, directory, nodes=3, routers=1, shards=32, replicas=3,
                 node_flags=(), router_flags=(), balancer=False):
        self.programs = programs
        self.directory = directory
        self.shards = shards
        self.replicas = replicas
        self.balancer = balancer
        self.node_flags = list(node_flags)
        self.router_flags = list(router_flags)
        self.nodes = [Node(self, i) for i in range(nodes)]
        self.routers = [Router(self, i) for i in range(routers)]

    def program(self, name):
        return os.path.join(self.programs, name)

    @property
    def router(self):
        return self.routers[0]

    def processes(self):
        return [*self.nodes, *self.routers]

    # ---- starting and stopping ----

    def start(self):
        """The first start, up to the moment when every shard has a leader."""
        first = self.nodes[0]
        first.start("--bootstrap", "--shards", str(self.shards), "--replicas", str(self.replicas))
        wait_until(lambda: answers_ping(first.address) or not first.alive(), 20,
                   "node0 answers PING")
        demand(first.alive(), f"node0 ended at its first start, see {first.log_path}")
        for node in self.nodes[1:]:
            node.start("--join", f"127.0.0.1:{first.port}")
        for router in self.routers:
            router.start()
        for router in self.routers:
            self.wait_ready(router=router)
        if self.routers and not self.balancer:  # What a test looks at changes by its own hand only.
            wait_until(lambda: str(self.ask("SHERD", "BALANCER", "OFF")) == "OK", 15,
                       "the balancer is off", interval=0.1)

    def restart_all(self):
        for process in self.processes():
            if not process.alive():
                process.start()
        self.wait_ready()

    def stop(self):
        """Ends everything in order; returns {name: exit code}."""
        return {process.name: process.stop()
                for process in [*self.routers, *self.nodes] if process.alive()}

    def destroy(self):
        for process in self.processes():
            process.resume()
            process.kill()

    # ---- looking at it ----

    def ask(self, *command, router=None):
        """A command to a router, on a connection of its own."""
        with RespClient((router or self.router).address, timeout=5, protocol=3) as client:
            reply = client.call(*command)
        if isinstance(reply, RespError):
            raise reply
        return reply

    def status(self, router=None):
        return as_map(self.ask("SHERD", "STATUS", router=router))

    def shard_rows(self):
        """Of the shards that hold keys."""
        rows = [as_map(row) for row in self.ask("SHERD", "SHARDS")]
        return [row for row in rows if int(row["id"]) != META_SHARD]

    def leaders(self):
        """[(Shard, node that leads it, term)]."""
        return [(int(row["id"]), int(row["leader"]), int(row["term"])) for row in self.shard_rows()]

    def explain(self, key, db=0):
        return as_map(self.ask("SHERD", "EXPLAIN", key, db))

    def node_rows(self):
        return [as_map(row) for row in self.ask("SHERD", "NODES")]

    def wait_ready(self, nodes_up=None, seconds=30, router=None):
        """Until every shard has a leader and so many nodes (all that run) are up."""
        up = sum(node.alive() for node in self.nodes) if nodes_up is None else nodes_up

        def ready():
            for process in self.processes():
                if process.child is not None and process.child.poll() is not None:
                    if not getattr(process, "expected_dead", False) and nodes_up is None:
                        raise Failure(f"{process.name} ended: exit {process.child.returncode}")
            status = self.status(router)
            good = (int(status["shards"]) == self.shards and
                    int(status["shards_led"]) == self.shards and int(status["nodes_up"]) >= up)
            if not good:
                raise ValueError(status)
            return True

        wait_until(ready, seconds, f"all {self.shards} shards are led and {up} nodes are up")

    def wait_taken_over(self, victim, seconds=15):
        """Until the others lead all shards, and the victim none."""
        others = sum(node.alive() for node in self.nodes if node is not victim)
        self.wait_ready(nodes_up=others, seconds=seconds)
        wait_until(lambda: self.led_by()[victim] == 0, seconds, f"{victim.name} leads nothing")
        self.wait_ready(nodes_up=others, seconds=seconds)

    def wait_whole(self, seconds=40, router=None):
        """Until every shard and the meta group have all the voters that they are to have, up to
        date and connected, and nobody else: any node may die now."""
        up = sum(node.alive() for node in self.nodes)

        def whole():
            status = {key: int(value) for key, value in self.status(router).items()
                      if str(value).isdigit()}
            good = (status["shards"] == status["shards_led"] == self.shards and
                    status["shards_short"] == 0 and status["nodes_up"] >= up and
                    status["meta_voters"] == status["meta_replicas"] >= min(up, 3) - (up == 2))
            if not good:
                raise ValueError(status)
            return True

        wait_until(whole, seconds, "nothing is short of voters")

    def led_by(self):
        """{Node: number of shards that it leads}, as the cluster tells it."""
        rows = {str(row["address"]): int(row["leads"]) for row in self.node_rows()}
        return {node: rows.get(f"127.0.0.1:{node.port}", 0) for node in self.nodes}

    def top_leader(self):
        led = self.led_by()
        return max((node for node in self.nodes if node.alive()), key=lambda node: led[node])


def list_logs(directory):
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory))
            if name.endswith(".log")]


def print_log_tails(directory, lines=25):
    for path in list_logs(directory):
        with open(path, encoding="utf-8", errors="replace") as log:
            tail = log.read()[-65536:].splitlines()[-lines:]
        print(f"==== {os.path.basename(path)}", *tail, sep="\n    ", flush=True)


__all__ = ["Cluster", "Failure", "Node", "Process", "Router", "PATIENCE", "answers_ping", "as_map",
           "demand", "free_port", "print_log_tails", "text", "wait_until"]
