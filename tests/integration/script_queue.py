"""A queue as job libraries build it, through two routers, while leaders are killed: jobs are added by
MULTI, EVALSHA, EXEC, moved by a pop that waits, and finished by MULTI, EVALSHA, EXEC. Each job exists
once, is delivered once and finished once.
"""

import hashlib
import threading

import harness
from cluster import demand, wait_until
from resp_client import RespError

ADD = ("local id = redis.call('incr', KEYS[1]) "
       "redis.call('hset', KEYS[2] .. id, 'data', ARGV[1], 'runs', 0) "
       "redis.call('lpush', KEYS[3], id) "
       "return id")
FINISH = ("if redis.call('lrem', KEYS[1], 1, ARGV[1]) == 0 then return -1 end "
          "return redis.call('hincrby', KEYS[2] .. ARGV[1], 'runs', 1)")
ROUNDS = 4
ADDERS = 4
WORKERS = 8
PREFIX = "bull:{jobs}:"


def sha(text):
    return hashlib.sha1(text.encode()).hexdigest()


class Client(threading.Thread):
    """One that adds or works until it is told to stop."""

    def __init__(self, router, number):
        super().__init__(daemon=True)
        self.router = router
        self.number = number
        self.done = []
        self.unknown = 0
        self.wrong = []
        self.stopping = False
        self.start()

    def step(self, client):
        raise NotImplementedError

    def run(self):
        try:
            with self.router.client(timeout=60) as client:
                while not self.stopping:
                    self.step(client)
        except Exception as error:  # pylint: disable=broad-except
            self.wrong.append(repr(error))

    def execute(self, client, *commands):
        """The replies of a transaction; None if it is not known whether it was executed, or not."""
        reply = client.pipeline([("MULTI",), *commands, ("EXEC",)])[-1]
        if not isinstance(reply, RespError):
            return reply
        self.unknown += reply.code() == "UNKNOWN"
        if reply.code() in ("ERR", "NOSCRIPT", "WRONGTYPE"):
            self.wrong.append(str(reply))
        return None


class Adder(Client):
    """Adds two jobs at a time."""

    def step(self, client):
        add = ("EVALSHA", sha(ADD), "3", PREFIX + "id", PREFIX, PREFIX + "wait", self.number)
        reply = self.execute(client, add, ("INCR", PREFIX + f"added:{self.number}"), add)
        if reply is None:
            return
        if len(reply) != 3 or reply[2] != reply[0] + 1:
            self.wrong.append(f"added {reply}")
            return
        self.done += [reply[0], reply[2]]
        if not len(self.done) // 2 <= reply[1] <= len(self.done) // 2 + self.unknown:
            self.wrong.append(f"{reply[1]} for {len(self.done) // 2} (+{self.unknown})")


class Worker(Client):
    """Takes jobs and finishes them."""

    def step(self, client):
        job = client.call("BRPOPLPUSH", PREFIX + "wait", PREFIX + "active", "1")
        if job is None or isinstance(job, RespError):
            return  # What an unknown one took stays active.
        reply = self.execute(client, ("EVALSHA", sha(FINISH), "2", PREFIX + "active", PREFIX, job),
                             ("HGET", PREFIX + job.decode(), "runs"))
        if reply is not None:
            self.done.append(int(job))
            if reply != [1, b"1"]:
                self.wrong.append(f"job {job} was finished with {reply}")


def leader_of(cluster):
    address = cluster.explain(PREFIX + "id")["leader_address"]
    return next(node for node in cluster.nodes if address.endswith(f":{node.port}"))


def check_jobs(client, adders, workers):
    last = int(client.call("GET", PREFIX + "id"))
    added = [job for adder in adders for job in adder.done]
    unknown = 2 * sum(adder.unknown for adder in adders)
    demand(len(added) == len(set(added)), "a number was given twice")
    demand(len(added) <= last <= len(added) + unknown, f"{last} jobs, {len(added)} (+{unknown})")
    waits, active = (client.call("LRANGE", PREFIX + name, "0", "-1") for name in ("wait", "active"))
    runs = [int(client.call("HGET", PREFIX + str(job), "runs")) for job in range(1, last + 1)]
    demand(max(runs) == 1, f"jobs that were finished twice: {[n for n in runs if n > 1]}")
    finished = {job for job in range(1, last + 1) if runs[job - 1] == 1}
    left = sorted(int(job) for job in waits + active)
    demand(sorted(finished | set(left)) == list(range(1, last + 1)) and
           len(finished) + len(left) == last, "a job is nowhere, or at two places")
    known = [job for worker in workers for job in worker.done]
    demand(len(known) == len(set(known)), "a job was delivered twice")
    demand(set(known) <= finished, "a job was finished, and is not")
    return last, len(finished), len(active)


def test(context):
    cluster = context.cluster(routers=2, shards=4)
    cluster.start()
    with cluster.router.client() as client:
        for text in (ADD, FINISH):
            demand(client.call("SCRIPT", "LOAD", text).decode() == sha(text), "SCRIPT LOAD")
    adders = [Adder(cluster.routers[n % 2], n) for n in range(ADDERS)]
    workers = [Worker(cluster.routers[n % 2], n) for n in range(WORKERS)]
    clients = adders + workers

    def progress(count):
        before = [len(client.done) for client in adders]
        finished = sum(len(worker.done) for worker in workers)
        wait_until(lambda: any(c.wrong for c in clients) or
                   (all(len(c.done) >= b + count for c, b in zip(adders, before)) and
                    sum(len(w.done) for w in workers) >= finished + count), 60, "jobs go on")

    progress(20)
    for _ in range(ROUNDS):
        victim = leader_of(cluster)
        victim.kill()
        context.say(f"killed {victim.name}")
        progress(20)
        victim.start()
        cluster.wait_ready()
        progress(10)
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join()
    wrong = [line for client in clients for line in client.wrong]
    demand(not wrong, f"{len(wrong)} times: {wrong[:5]}")
    with cluster.router.client() as client:
        jobs, finished, active = check_jobs(client, adders, workers)
    context.say(f"{jobs} jobs, {finished} finished, {active} taken by who was told nothing")


harness.run(test, limit=240)
