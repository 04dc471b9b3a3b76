"""The commands that one client pipelines on one key take effect in the order in which it sent them,
also while the leader of the key dies, hands over, or is stopped. A read whose answer was lost with the
leader is sent again, and may then see what the client pipelined behind it (docs/routing.md, Lanes):
so reads are held to "not older", writes to the exact order."""

import threading

import harness
from cluster import demand, wait_until

PAIRS = 40


class Pipeliner(threading.Thread):
    """INCR and GET in turn on a key of its own: every GET must see the INCR before it, and none of
    the next burst."""

    def __init__(self, cluster, number):
        super().__init__(daemon=True)
        self.cluster = cluster
        self.key = f"order:{number}"
        self.rounds = 0
        self.fault = None
        self.ending = threading.Event()

    def run(self):
        try:
            with self.cluster.router.client(timeout=30) as client:
                value = 0
                while not self.ending.is_set():
                    commands = []
                    for _ in range(PAIRS):
                        commands += [("INCR", self.key), ("GET", self.key), ("APPEND", self.key, ""),
                                     ("STRLEN", self.key)]
                    wanted = []
                    for _ in range(PAIRS):
                        value += 1
                        size = len(str(value))
                        wanted += [value, str(value).encode(), size, size]
                    got = client.pipeline(commands)
                    wrong = first_wrong(got, wanted)
                    demand(wrong is None, f"{self.key}: {wrong}")
                    self.rounds += 1
        except Exception as error:  # Told to the test's own thread.
            self.fault = error


def first_wrong(got, wanted):
    """None if all is well. Replies come in fours: INCR, GET, APPEND, STRLEN."""
    if len(got) != len(wanted):
        return f"{len(got)} replies, not {len(wanted)}"
    for at, (a, b) in enumerate(zip(got, wanted)):
        if at % 4 == 1:
            good = isinstance(a, bytes) and a.isdigit() and int(b) <= int(a) <= int(wanted[-3])
        else:
            good = a == b or (at % 4 == 3 and a == wanted[-1])
        if not good:
            return f"reply {at} is {a!r}, not {b!r}"
    return None


def test(context):
    cluster = context.cluster()
    cluster.start()
    threads = [Pipeliner(cluster, number) for number in range(12)]
    for thread in threads:
        thread.start()

    def all_moved(more=3):
        marks = [thread.rounds + more for thread in threads]
        wait_until(lambda: any(t.fault for t in threads) or
                   all(t.rounds >= mark for t, mark in zip(threads, marks)), 60,
                   "every client made progress")

    all_moved()
    for fault in ("kill", "stop", "pause"):
        victim = cluster.top_leader()
        context.say(f"{fault} {victim.name}")
        if fault == "kill":
            victim.kill()
        elif fault == "stop":
            victim.stop()
        else:
            victim.pause()
            cluster.wait_taken_over(victim)
            victim.resume()
        all_moved()
        if fault != "pause":
            victim.start()
        cluster.wait_ready(nodes_up=3)
        all_moved()
    for thread in threads:
        thread.ending.set()
    for thread in threads:
        thread.join(60)
        demand(not thread.is_alive(), f"{thread.key} hangs")
        demand(thread.fault is None, f"{thread.fault}")
    context.say(f"{sum(thread.rounds for thread in threads) * PAIRS * 4} commands in order")


harness.run(test)
