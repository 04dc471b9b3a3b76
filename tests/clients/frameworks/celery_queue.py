"""Celery 5.2 (python3-celery of Debian): two workers, each on its own router; broker and results
under their default names in co-located databases.

    celery_queue.py HOST PORT PORT2
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from celery import Celery, chain, chord, group
from celery.exceptions import TaskRevokedError, TimeoutError as CeleryTimeout
from celery.result import AsyncResult
import redis

BROKER_DATABASE = 4
RESULT_DATABASE = 5
PATIENCE = float(os.environ.get("SHERD_TEST_PATIENCE", "1"))
SECONDS = 20 * PATIENCE

app = Celery("shop", broker=os.environ.get("BROKER"), backend=os.environ.get("RESULTS"))
app.conf.update(
    task_serializer="json", result_serializer="json", accept_content=["json"],
    task_acks_late=True, worker_prefetch_multiplier=1, worker_send_task_events=True,
    broker_transport_options={"visibility_timeout": 3600, "priority_steps": [0, 3, 6, 9]},
    task_default_retry_delay=0, broker_connection_retry_on_startup=True,
    worker_cancel_long_running_tasks_on_connection_loss=True,
)


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task
def note(text):
    """Writes where and when it ran; the same task twice would be seen."""
    backend = app.backend.client
    backend.rpush("notes", text)
    return time.time()


@app.task(bind=True, max_retries=3)
def flaky(self, failures):
    app.backend.client.rpush(f"flaky:{self.request.id}", self.request.retries)
    if self.request.retries < failures:
        raise self.retry(countdown=0.1, exc=ValueError(f"attempt {self.request.retries + 1}"))
    return self.request.retries


@app.task(bind=True)
def progress(self):
    for percent in (25, 50, 100):
        self.update_state(state="PROGRESS", meta={"percent": percent})
    while app.backend.client.get("go") is None:
        time.sleep(0.02)
    return "정말 ☃"


@app.task
def broken():
    raise KeyError("no such thing")


@app.task(ignore_result=True)
def silent():
    return "nobody sees it"


checks = 0


def equal(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"celery: {what}\n  got:    {got!r}\n  wanted: {wanted!r}")


def until(what, predicate):
    end = time.monotonic() + SECONDS
    while not predicate():
        if time.monotonic() > end:
            sys.exit(f"celery: {what} in vain")
        time.sleep(0.02)


def exactly_once(backend, _):
    jobs = [note.delay(f"once:{i}") for i in range(100)]
    for job in jobs:
        job.get(timeout=SECONDS)
    notes = sorted(backend.lrange("notes", 0, -1))
    equal("each task once", notes, sorted(f"once:{i}".encode() for i in range(100)))
    results = [add.delay(i, 1) for i in range(30)]
    equal("results", [result.get(timeout=SECONDS) for result in results], list(range(1, 31)))
    later = AsyncResult(results[3].id, app=app)
    equal("a result by its id", (later.state, later.result), ("SUCCESS", 4))
    later.forget()
    equal("forgotten", backend.exists(f"celery-task-meta-{results[3].id}"), 0)
    equal("it ends some day", backend.ttl(f"celery-task-meta-{results[4].id}") > 80000, True)


def retries(backend, _):
    job = flaky.delay(2)
    equal("at last", job.get(timeout=SECONDS), 2)
    equal("attempts", backend.lrange(f"flaky:{job.id}", 0, -1), [b"0", b"1", b"2"])
    lost = flaky.delay(9)
    try:
        lost.get(timeout=SECONDS)
        sys.exit("celery: a task failed and gave a result")
    except ValueError as error:
        equal("its last error", str(error), "attempt 4")
    equal("failed", lost.state, "FAILURE")
    try:
        broken.delay().get(timeout=SECONDS)
        sys.exit("celery: a broken task gave a result")
    except KeyError as error:
        equal("the error of the task", error.args, ("no such thing",))


def times(_, __):
    began = time.time()
    late = note.apply_async(("late",), countdown=0.8)
    expired = note.apply_async(("expired",), countdown=0.4, expires=0.1)
    equal("not before its time", late.get(timeout=SECONDS) >= began + 0.8, True)
    try:
        expired.get(timeout=SECONDS)
        sys.exit("celery: what expired was run")
    except TaskRevokedError as error:
        equal("expired", "expired" in str(error), True)
    try:
        AsyncResult("nobody", app=app).get(timeout=0.1)
    except CeleryTimeout:
        equal("a result that does not come", True, True)


def workflows(_, __):
    equal("group", group(add.s(i, i) for i in range(10))().get(timeout=SECONDS),
          [2 * i for i in range(10)])
    equal("chain", chain(add.s(1, 2), add.s(10), add.s(100))().get(timeout=SECONDS), 113)
    equal("chord", chord((add.s(i, 1) for i in range(20)), total.s())().get(timeout=SECONDS), 210)
    nested = chain(group(add.s(1, 1), add.s(2, 2)), total.s(), add.s(1))
    equal("group into chain", nested().get(timeout=SECONDS), 7)
    try:
        chord([add.s(1, 1), broken.s()], total.s())().get(timeout=SECONDS)
        sys.exit("celery: a chord with a broken part gave a result")
    except Exception as error:
        equal("a chord fails with its part", "no such thing" in str(error), True)


def states(backend, _):
    job = progress.delay()
    until("progress", lambda: job.state == "PROGRESS" and job.info == {"percent": 100})
    backend.set("go", 1)
    equal("after it", job.get(timeout=SECONDS), "정말 ☃")
    job = silent.delay()
    equal("without a result", (job.ready(), backend.exists(f"celery-task-meta-{job.id}")),
          (False, 0))


def remote_control(_, names):
    """Broadcasts over publish and subscribe, replies over lists."""
    until("all workers answer", lambda: sorted(
        name for reply in app.control.ping(timeout=2, limit=len(names))
        for name in reply) == sorted(names))
    inspected = app.control.inspect(timeout=5, limit=len(names)).registered()
    equal("what they know", all("celery_queue.add" in known for known in inspected.values()), True)
    victim = note.apply_async(("revoked",), countdown=3)
    app.control.revoke(victim.id)
    try:
        victim.get(timeout=SECONDS)
        sys.exit("celery: what was revoked was run")
    except TaskRevokedError as error:
        equal("revoked", str(error), "revoked")


def priorities(backend, _):
    """The worker of one queue is busy while tasks of all priorities come."""
    backend.delete("go", "notes")
    busy = progress.apply_async(queue="ranked")
    until("it is busy", lambda: busy.state == "PROGRESS")
    jobs = [note.apply_async((f"p{priority}",), queue="ranked", priority=priority)
            for priority in (9, 0, 6, 3, 0)]
    backend.set("go", 1)
    for job in jobs:
        job.get(timeout=SECONDS)
    equal("by priority", [text.decode() for text in backend.lrange("notes", 0, -1)],
          ["p0", "p0", "p3", "p6", "p9"])


def urls(host, port):
    return {"BROKER": f"redis://{host}:{port}/{BROKER_DATABASE}",
            "RESULTS": f"redis://{host}:{port}/{RESULT_DATABASE}"}


class Workers:
    def __init__(self, host, ports, directory):
        self.host, self.ports, self.directory = host, ports, directory
        self.children = []
        self.names = []

    def start(self, name, *flags):
        port = self.ports[len(self.children) % len(self.ports)]
        environment = {**os.environ, **urls(self.host, port),
                       "PYTHONPATH": os.path.dirname(os.path.abspath(__file__)),
                       "PYTHONDONTWRITEBYTECODE": "1"}
        with open(os.path.join(self.directory, f"{name}.log"), "wb") as log:
            self.children.append(subprocess.Popen(
                ["/usr/bin/python3", "-m", "celery", "-A", "celery_queue", "worker",
                 "-n", name, "-l", "info", *flags], cwd=self.directory, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        self.names.append(name)

    def stop(self):
        for child in self.children:
            child.send_signal(signal.SIGTERM)
        return [child.wait(SECONDS) for child in self.children]

    def kill(self):
        for child in self.children:
            child.kill()
        for name in sorted(os.listdir(self.directory)):
            with open(os.path.join(self.directory, name), encoding="utf-8") as log:
                print(f"==== {name}", *log.read().splitlines()[-20:], sep="\n    ")


def main():
    host, first, second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    app.conf.update(broker_url=urls(host, first)["BROKER"],
                    result_backend=urls(host, first)["RESULTS"])
    backend = redis.Redis(host, second, db=RESULT_DATABASE)
    backend.flushdb()
    redis.Redis(host, second, db=BROKER_DATABASE).flushdb()
    directory = tempfile.mkdtemp(prefix="sherd-celery-")
    workers = Workers(host, (second, first), directory)
    try:
        workers.start("one@here", "-c", "4", "-P", "threads")
        workers.start("two@here", "-c", "2")
        workers.start("ranked@here", "-c", "1", "-Q", "ranked")
        for part in (exactly_once, retries, times, workflows, states, remote_control, priorities):
            part(backend, workers.names)
        codes = workers.stop()
        equal("workers end in order", codes, [0, 0, 0])
    except BaseException:
        workers.kill()
        raise
    finally:
        shutil.rmtree(directory)
    print(f"celery: {checks} checks")


if __name__ == "__main__":
    # The tasks must be those of the module that the workers have.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import celery_queue
    celery_queue.main()
