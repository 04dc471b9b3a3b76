"""Clients that write and read through routers while something goes wrong, and keep a history.

Each client is a thread with its own random numbers. Keys come in families, by what is done to
them:

    r*  registers: SET of values that are never repeated, GET, MSET, MGET
    m*  mixed: SET GET SETNX GETSET DEL
    c*  counters: INCR and GET

Every operation goes into the history with the times of its call and its return. An error that
proves that nothing was done is `fail`; any other error, a time-out and a lost connection are
`unknown`. After the faults final_reads() adds a read of every key, so that a lost write is a
violation too.
"""

import os
import random
import subprocess
import threading
import time

from resp_client import RespClient, RespError

# Error replies that promise that nothing was done. UNKNOWN promises nothing.
DEFINITE = ("BUSY", "CLUSTERDOWN", "DISKFULL", "ERR", "LOADING", "MISCONF", "OOM", "TRYAGAIN")

CLIENT_TIMEOUT = 20.0


def escape(value):
    if value is None:
        return "_"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        value = value.encode()
    if value == b"":
        return "%"
    if value == b"_":
        return "%5F"
    return "".join(chr(b) if 32 < b < 127 and b != 37 else f"%{b:02X}" for b in value)


class Client(threading.Thread):
    def __init__(self, workload, number):
        super().__init__(daemon=True, name=f"client{number}")
        self.workload = workload
        self.number = number
        self.random = random.Random(workload.seed * 1000 + number)
        self.connection = None
        self.history = []
        self.errors = []
        self.serial = 0
        self.slowest_ns = 0
        self.last_ok_ns = 0
        self.gap_ns = 0
        self.crash = None
        self.bound_ms = workload.bounds_ms[number % len(workload.bounds_ms)]

    def run(self):
        try:
            while not self.workload.stopping.is_set():
                self.one()
                if self.workload.pause_s:
                    time.sleep(self.workload.pause_s)
        except Exception as error:  # pylint: disable=broad-except
            self.crash = error
            raise
        finally:
            self.disconnect()

    def disconnect(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def connect(self):
        """False if the router does not take us now: then nothing has been asked yet."""
        if self.connection is not None:
            return True
        addresses = self.workload.addresses()
        address = addresses[(self.number + self.random.randrange(2)) % len(addresses)]
        try:
            self.connection = RespClient(address, timeout=CLIENT_TIMEOUT, connect_timeout=2)
            return self.greet()
        except OSError as error:
            self.note_error("connect", error)
            time.sleep(0.02)
            return False

    def greet(self):
        """Says how it wants to read."""
        if self.bound_ms is None:
            return True
        words = ("READONLY",) if self.bound_ms == 0 else ("SHERD", "READ", "bounded", self.bound_ms)
        if self.connection.call(*words) == "OK":
            return True
        self.disconnect()
        return False

    def note_error(self, what, error):
        self.errors.append((time.monotonic_ns(), what, f"{type(error).__name__}: {error}"))

    def value(self):
        self.serial += 1
        value = f"{self.number}.{self.serial}"
        size = self.workload.value_size
        return value if size == 0 else value + ":" + "x" * self.random.randrange(size)

    def key(self, family, count):
        return f"{self.workload.prefix}{family}{self.random.randrange(count)}"

    def one(self):
        if not self.connect():
            return
        keys = self.workload.keys
        dice = self.random.random()
        if dice < 0.30:
            self.call("set", self.key("r", keys), self.value())
        elif dice < 0.52:
            self.call("get", self.key("r", keys))
        elif dice < 0.56:
            self.many("set", sorted({self.key("r", keys) for _ in range(5)}))
        elif dice < 0.60:
            self.many("get", sorted({self.key("r", keys) for _ in range(8)}))
        elif dice < 0.75:
            self.call("incrby", self.key("c", keys // 4), "1")
        elif dice < 0.80:
            self.call("get", self.key("c", keys // 4))
        else:
            kind = self.random.choice(("set", "get", "get", "setnx", "getset", "del"))
            argument = None if kind in ("get", "del") else self.value()
            self.call(kind, self.key("m", keys), argument)

    def ask(self, *command):
        """Returns (outcome, reply, invoked, returned)."""
        invoked = time.monotonic_ns()
        try:
            reply = self.connection.call(*command)
        except (OSError, ValueError) as error:
            self.note_error(command[0], error)
            self.disconnect()
            return "unknown", None, invoked, time.monotonic_ns()
        returned = time.monotonic_ns()
        self.slowest_ns = max(self.slowest_ns, returned - invoked)
        if isinstance(reply, RespError):
            self.note_error(command[0], reply)
            definite = reply.code() in DEFINITE
            return "fail" if definite else "unknown", None, invoked, returned
        if self.last_ok_ns:
            self.gap_ns = max(self.gap_ns, returned - self.last_ok_ns)
        self.last_ok_ns = returned
        return "ok", reply, invoked, returned

    def record(self, row, key, kind, argument, result):
        outcome, _, invoked, returned = row
        if kind == "get" and self.bound_ms:
            # What it saw may be so old.
            invoked = max(invoked - int(self.bound_ms * 1.01e6), self.workload.started_ns)
        self.history.append((invoked, returned if outcome != "unknown" else None, outcome, key,
                             kind,
                             argument, result))

    def call(self, kind, key, argument=None):
        words = {"incrby": ("INCRBY", key, argument)}.get(kind) or (
            (kind.upper(), key) if argument is None else (kind.upper(), key, argument))
        row = self.ask(*words)
        result = None if kind == "set" or row[0] != "ok" else row[1]
        self.record(row, key, kind, argument, result)

    def many(self, kind, keys):
        values = [self.value() if kind == "set" else None for _ in keys]
        if kind == "set":
            words = [word for pair in zip(keys, values) for word in pair]
            row = self.ask("MSET", *words)
            results = [None] * len(keys)
        else:
            row = self.ask("MGET", *keys)
            results = row[1] if row[0] == "ok" else [None] * len(keys)
        if len(results) != len(keys):
            raise AssertionError(f"{len(results)} results for {len(keys)} keys")
        for key, value, result in zip(keys, values, results):
            if isinstance(result, RespError):
                self.note_error("MGET part", result)
                continue
            self.record(row, key, kind, value, result)


class Workload:
    """clients threads over `keys` keys of each family; addresses() tells where to connect."""

    def __init__(self, cluster, seed, tools, clients=12, keys=60, pause_s=0.0005, value_size=0,
                 routers=None, prefix="", bounds_ms=(None,)):
        """bounds_ms: how the clients read, in turn: None at the leader, 0 linearizable at any
        replica, else at a replica that is so many milliseconds old at most."""
        self.cluster = cluster
        self.bounds_ms = bounds_ms
        self.seed = seed
        self.tools = tools
        self.keys = keys
        self.pause_s = pause_s
        self.value_size = value_size
        self.prefix = prefix
        self.routers = routers
        self.stopping = threading.Event()
        self.clients = [Client(self, i + 1) for i in range(clients)]
        self.final = []
        self.started_ns = 0

    def addresses(self):
        return [router.address for router in self.routers or self.cluster.routers]

    def start(self):
        self.started_ns = time.monotonic_ns()
        for client in self.clients:
            client.start()

    def stop(self):
        self.stopping.set()
        for client in self.clients:
            client.join(CLIENT_TIMEOUT * 2)
            if client.is_alive():
                raise AssertionError(f"{client.name} hangs")
            if client.crash is not None:
                raise client.crash

    def abandon(self):
        self.stopping.set()

    def ok_count(self):
        return sum(client.history[i][2] == "ok" for client in self.clients
                   for i in range(len(client.history)))

    def operations(self):
        return sum(len(client.history) for client in self.clients)

    def wait_progress(self, operations, seconds=30):
        """Until so many more operations have returned; Failure if they do not come."""
        from cluster import wait_until
        goal = self.operations() + operations
        wait_until(lambda: self.operations() >= goal, seconds,
                   f"{operations} more operations are done")

    def errors(self):
        return sorted(error for client in self.clients for error in client.errors)

    def longest_gap_s(self):
        """The longest time in which some client got no good answer."""
        return max(client.gap_ns for client in self.clients) / 1e9

    def final_reads(self):
        """Reads every key, by a client of its own that must get answers."""
        reader = Client(self, 0)
        names = sorted({row[3] for client in self.clients for row in client.history})
        for name in names:
            for _ in range(50):
                if reader.connect():
                    reader.call("get", name)
                    if reader.history and reader.history[-1][2] == "ok":
                        break
                time.sleep(0.1)
            else:
                raise AssertionError(f"no answer to the final GET {name}: {reader.errors[-1]}")
        reader.disconnect()
        self.final = reader.history
        return {row[3]: row[6] for row in reader.history if row[2] == "ok"}

    def write_history(self, path):
        rows = [(row, client.number) for client in self.clients for row in client.history]
        rows += [(row, 0) for row in self.final]
        rows.sort(key=lambda pair: pair[0][0])
        with open(path, "w", encoding="ascii") as out:
            for (invoked, returned, outcome, key, kind, argument, result), number in rows:
                out.write(f"{invoked - self.started_ns} "
                          f"{'-' if returned is None else returned - self.started_ns} {outcome} "
                          f"{number} {escape(key)} {kind} {escape(argument)} {escape(result)}\n")
        return len(rows)

    def check_counters(self, final):
        """Each INCR counted once: ok <= value <= ok + unknown."""
        done, open_ = {}, {}
        for client in self.clients:
            for row in client.history:
                if row[4] == "incrby" and row[2] == "ok":
                    done[row[3]] = done.get(row[3], 0) + 1
                elif row[4] == "incrby" and row[2] == "unknown":
                    open_[row[3]] = open_.get(row[3], 0) + 1
        for key, count in done.items():
            value = int(final.get(key) or 0)
            if not count <= value <= count + open_.get(key, 0):
                raise AssertionError(f"{key} is {value} after {count} acknowledged INCRs and "
                                     f"{open_.get(key, 0)} of unknown outcome")
        return sum(done.values()), sum(open_.values())

    def check(self, directory, name="history.txt"):
        """Final reads, counters, linearizability. Returns a line to print."""
        final = self.final_reads()
        path = os.path.join(directory, name)
        count = self.write_history(path)
        counted, unknown = self.check_counters(final)
        result = subprocess.run([os.path.join(self.tools, "lincheck"), path], capture_output=True,
                                text=True, timeout=300, check=False)
        if result.returncode != 0:
            raise AssertionError(f"lincheck says {result.returncode}: {result.stdout[:6000]}"
                                 f"{result.stderr}; history in {path}")
        errors = self.errors()
        return (f"{count} operations, {len(errors)} errors, {counted} INCRs and {unknown} unknown, "
                f"longest gap {self.longest_gap_s():.2f} s; {result.stdout.splitlines()[0]}")

    def demand_no_errors(self):
        errors = self.errors()
        if errors:
            shown = "\n".join(f"  {(at - self.started_ns) / 1e9:.3f} s {what}: {error}"
                              for at, what, error in errors[:10])
            raise AssertionError(f"{len(errors)} client errors:\n{shown}")
