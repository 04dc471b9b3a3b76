"""Chooses changes of shards at random, has them done, and knows when each began and ended."""

import json
import os
import subprocess
import time

from cluster import META_SHARD, as_map, demand, wait_until
from resp_client import RespError, text

ACTIVE = ("queued", "running", "paused")
KINDS = {"split": 4, "merge": 4, "move": 3, "transfer": 2}
SHARDS_MIN, SHARDS_MAX = 3, 18
TOKENS = 1 << 64
# Answers that mean "not now": somebody else is at it, or the map has just changed.
LATER = ("BUSY", "CONFLICT", "RETRY", "TRYAGAIN", "LOADING", "CLUSTERDOWN")


class Shard:
    def __init__(self, row):
        self.id = int(row["id"])
        self.start, self.last = (int(str(row[name]), 16) for name in ("start", "last"))
        self.nodes = [int(text(replica).split("@")[1]) for replica in row["replicas"]]

    def middle(self):
        return self.start + (self.last - self.start) // 2 + 1


class Jobs:
    """faulty: nodes die meanwhile, so that jobs may fail and answers may be lost."""

    def __init__(self, context, cluster, faulty=False):
        self.context = context
        self.cluster = cluster
        self.random = context.random
        self.faulty = faulty
        self.kinds = dict(KINDS)
        self.running = {}  # Job -> (kind, words).
        self.ended = []  # (kind, state, begin, end), ns.
        self.refused = {}
        self.failed = []
        self.clock_ns = time.monotonic_ns() - time.time_ns()

    def ask(self, *command):
        return self.cluster.ask(*command, router=self.random.choice(self.cluster.routers))

    def shards(self):
        rows = [as_map(row) for row in self.ask("SHERD", "SHARDS")]
        shards = [Shard(row) for row in rows if int(row["id"]) != META_SHARD]
        return sorted(shards, key=lambda shard: shard.start)

    # ---- choosing ----

    def split(self, shards, count):
        if count >= SHARDS_MAX:
            return None
        shard = self.random.choice(shards)
        dice = self.random.random()
        token = self.random.randrange(shard.start + 1, shard.last + 1)
        if dice < 0.3:
            return [shard], (shard.id,)
        if dice < 0.6:
            key = f"col0:l:{self.random.randrange(24)}"
            token = int(str(self.cluster.explain(key)["token"]), 16)
            shard = next((s for s in shards if s.start < token <= s.last), None)
        return shard and ([shard], (shard.id, f"{token:016x}"))

    def merge(self, shards, count):
        if count <= SHARDS_MIN:
            return None
        pairs = [(a, b) for a, b in zip(shards, shards[1:])
                 if a.last + 1 == b.start and set(a.nodes) == set(b.nodes)]
        if not pairs:
            return None
        pair = list(self.random.choice(pairs))
        self.random.shuffle(pair)
        return pair, (pair[0].id, pair[1].id)

    def up(self):
        return [int(row["id"]) for row in self.cluster.node_rows() if str(row["state"]) == "up"]

    def move(self, shards, _):
        shard = self.random.choice(shards)
        free = [node for node in self.up() if node not in shard.nodes]
        if not free:
            return None
        return [shard], (shard.id, self.random.choice(shard.nodes), self.random.choice(free))

    def transfer(self, shards, _):
        shard = self.random.choice(shards)
        nodes = [node for node in shard.nodes if node in self.up()]
        return nodes and ([shard], (shard.id, self.random.choice(nodes)))

    # ---- doing ----

    def by_admin(self, kind, words):
        command = [self.cluster.program("sherd-admin"), "--json", "--connect",
                   "%s:%d" % self.random.choice(self.cluster.routers).address,
                   "shard", kind, *map(str, words), "--detach", "--yes"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RespError(done.stderr.removeprefix("sherd-admin: "))
        return json.loads(done.stdout)

    def begin(self, count):
        """Begins up to so many changes of different shards; returns how many."""
        shards = self.shards()
        total = len(shards)
        begun = 0
        for _ in range(count * 3):
            if begun == count or not shards:
                break
            kind = self.random.choices(list(self.kinds), list(self.kinds.values()))[0]
            chosen = getattr(self, kind)(shards, total)
            if not chosen:
                continue
            touched, words = chosen
            shards = [shard for shard in shards if shard not in touched]
            total += (kind == "split") - (kind == "merge")
            begun += self.order(kind, words)
        return begun

    def order(self, kind, words):
        try:
            job = self.by_admin(kind, words) if self.random.random() < 0.15 else \
                as_map(self.ask("SHERD", "SHARD", kind.upper(), *words))
        except RespError as error:
            code = str(error).split()[0].rstrip(":")
            known = code in LATER or self.faulty and code == "UNKNOWN"
            demand(known, f"{kind} {words} was answered {error}")
            self.refused[str(error)[:100]] = self.refused.get(str(error)[:100], 0) + 1
            return 0
        self.running[int(job["job"])] = (kind, words)
        return 1

    def look(self):
        """Takes the jobs that have ended from those that run; true if none is left."""
        for number, (kind, words) in list(self.running.items()):
            job = as_map(self.ask("SHERD", "JOB", "GET", number))
            if job["state"] in ACTIVE:
                continue
            del self.running[number]
            begin, end = (int(job[name]) * 10**6 + self.clock_ns
                          for name in ("started_ms", "ended_ms"))
            self.ended.append((kind, job["state"], begin, end))
            if job["state"] != "done":
                self.failed.append(f"{kind} {words}: {job['state']}: {job['result']}")
        return not self.running

    def wait(self, seconds):
        try:
            wait_until(self.look, seconds, "the jobs have ended", interval=0.03)
        except AssertionError as error:
            jobs = [as_map(self.ask("SHERD", "JOB", "GET", number)) for number in self.running]
            stuck = [f"{job['what']}: {job['state']}, {job['doing']}" for job in jobs]
            raise AssertionError(f"{error}: {stuck}") from error
        demand(self.faulty or not self.failed, f"jobs failed: {self.failed}")

    def wait_none(self):
        """Until the cluster itself has none either."""
        wait_until(lambda: all(as_map(job)["state"] not in ACTIVE
                               for job in self.ask("SHERD", "JOB", "LIST")),
                   150, "no job is active")

    def summary(self):
        counts = {}
        for kind, state, _, _ in self.ended:
            counts[kind, state] = counts.get((kind, state), 0) + 1
        return ", ".join(f"{count} {kind} {state}"
                         for (kind, state), count in sorted(counts.items()))


def merge_intervals(intervals):
    merged = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return merged


def overlapping(samples, intervals):
    """Those of the samples (begin, end) that were under way in one of the intervals."""
    found, at = [], 0
    merged = merge_intervals(intervals)
    for begin, end in sorted(samples):
        while at < len(merged) and merged[at][1] < begin:
            at += 1
        if at < len(merged) and merged[at][0] <= end:
            found.append((begin, end))
    return found


def latency_lines(samples, ended):
    """p99 and longest of requests while changes of each kind ran, and while none did."""
    rows = [(kind, overlapping(samples, [(b, e) for k, _, b, e in ended if k == kind]))
            for kind in KINDS]
    busy = set(overlapping(samples, [(b, e) for _, _, b, e in ended]))
    rows.append(("none", [sample for sample in samples if sample not in busy]))
    for name, chosen in rows:
        if chosen:
            took = sorted((end - begin) / 1e6 for begin, end in chosen)
            yield (f"during {name:8} {len(took):7} requests: p50 {took[len(took) // 2]:6.1f} ms, "
                   f"p99 {took[len(took) * 99 // 100]:6.1f} ms, longest {took[-1]:7.1f} ms")
