"""RQ 1.13 (python3-rq of Debian): workers on both routers; everything under its default names in a
co-located database.

    rq_queue.py HOST PORT PORT2
    rq_queue.py --worker HOST PORT QUEUE...      what main() starts
"""

import datetime
import os
import signal
import subprocess
import sys
import time

import redis
from rq import Queue, Retry, Worker, get_current_job
from rq.command import send_stop_job_command
from rq.exceptions import NoSuchJobError
from rq.job import Dependency, Job
from rq.registry import (CanceledJobRegistry, DeferredJobRegistry, FailedJobRegistry,
                         FinishedJobRegistry, ScheduledJobRegistry, StartedJobRegistry)

DATABASE = 6
PATIENCE = float(os.environ.get("SHERD_TEST_PATIENCE", "1"))
SECONDS = 20 * PATIENCE

checks = 0


def connect(host, port):
    return redis.Redis(host, int(port), db=DATABASE)


# ---- jobs ----

def note(text):
    job = get_current_job()
    job.connection.rpush("notes", text)
    job.meta["seen"] = text
    job.save_meta()
    return text.upper()


def fail(failures):
    job = get_current_job()
    tried = job.connection.incr(f"tried:{job.id}")
    if tried <= failures:
        raise ValueError(f"attempt {tried}")
    return tried


def fail_when_told():
    get_current_job().connection.blpop("fail now")
    raise ValueError("told")


def follow(name):
    """What the job before it gave."""
    return get_current_job().dependency.return_value() + name


def dawdle():
    get_current_job().connection.set("dawdling", 1)
    time.sleep(60)


def on_success(job, connection, result, *_):
    connection.rpush("callbacks", f"success:{result}")


def on_failure(job, connection, kind, value, _):
    connection.rpush("callbacks", f"failure:{value}")


# ---- checks ----

def equal(what, got, wanted):
    global checks
    checks += 1
    if got != wanted:
        sys.exit(f"rq: {what}\n  got:    {got!r}\n  wanted: {wanted!r}")


def until(what, predicate):
    end = time.monotonic() + SECONDS
    while not predicate():
        if time.monotonic() > end:
            sys.exit(f"rq: {what} in vain")
        time.sleep(0.02)


def finish(*jobs):
    until(f"{len(jobs)} jobs", lambda: all(job.get_status() in ("finished", "failed")
                                           for job in jobs))
    return [job.return_value() for job in jobs]


def exactly_once(queues):
    one, two = queues
    jobs = [queues[i % 2].enqueue(note, f"n{i}") for i in range(24)]
    datas = [Queue.prepare_data(note, (f"m{i}",), result_ttl=60) for i in range(6)]
    jobs += one.enqueue_many(datas)
    equal("results", finish(*jobs), [f"N{i}" for i in range(24)] + [f"M{i}" for i in range(6)])
    notes = sorted(text.decode() for text in two.connection.lrange("notes", 0, -1))
    wanted = [f"n{i}" for i in range(24)] + [f"m{i}" for i in range(6)]
    equal("each job once", notes, sorted(wanted))
    until("all are registered", lambda: FinishedJobRegistry(queue=two).count == 30)
    job = Job.fetch(jobs[3].id, connection=two.connection)
    equal("a job by its id", (job.meta, job.func_name, job.args, job.get_status()),
          ({"seen": "n3"}, "rq_queue.note", ("n3",), "finished"))
    equal("workers did it", len({job.worker_name for job in jobs if job.refresh() is None}) >= 1,
          True)
    equal("nothing is left", (len(one), StartedJobRegistry(queue=two).count), (0, 0))


def failures(queues):
    one, two = queues
    retried = two.enqueue(fail, 2, retry=Retry(max=3), on_success=on_success)
    equal("at last", finish(retried), [3])
    lost = one.enqueue(fail, 99, on_failure=on_failure)
    finish(lost)
    until("registered", lambda: lost.id in FailedJobRegistry(queue=two))
    lost = Job.fetch(lost.id, connection=two.connection)
    equal("its error", "ValueError: attempt 1" in lost.exc_info, True)
    until("callbacks", lambda: one.connection.llen("callbacks") == 2)
    equal("what they were told", sorted(one.connection.lrange("callbacks", 0, -1)),
          [b"failure:attempt 1", b"success:3"])
    one.connection.set(f"tried:{lost.id}", 1000)
    FailedJobRegistry(queue=two).requeue(lost.id)
    until("requeued", lambda: lost.get_status(refresh=True) == "finished")
    equal("no longer failed", lost.id in FailedJobRegistry(queue=one), False)


def dependencies(queues):
    one, two = queues
    first = one.enqueue(note, "first", job_id="mine")
    second = two.enqueue(follow, "-second", depends_on=first)
    third = one.enqueue(follow, "-third", depends_on=second)
    equal("one after the other", finish(first, second, third),
          ["FIRST", "FIRST-second", "FIRST-second-third"])
    # What is enqueued behind a job that has failed before is never run by RQ 1.13, whatever it allows.
    bad = one.enqueue(fail_when_told)
    never = two.enqueue(note, "never", depends_on=bad)
    anyway = two.enqueue(note, "anyway", depends_on=Dependency(jobs=[bad], allow_failure=True))
    two.connection.rpush("fail now", 1)
    finish(bad, anyway)
    equal("only with leave after a failure", (never.get_status(), anyway.return_value()),
          ("deferred", "ANYWAY"))
    equal("deferred", never.id in DeferredJobRegistry(queue=one), True)
    never.cancel()
    equal("canceled", (never.get_status(), never.id in CanceledJobRegistry(queue=two)),
          ("canceled", True))
    never.delete()
    try:
        Job.fetch(never.id, connection=one.connection)
        sys.exit("rq: a deleted job is there")
    except NoSuchJobError:
        equal("deleted", True, True)


def schedules(queues):
    one, two = queues
    began = time.time()
    # RQ counts in whole seconds.
    soon = one.enqueue_in(datetime.timedelta(seconds=2), note, "soon")
    never = two.enqueue_at(datetime.datetime(2100, 1, 1), note, "2100")
    equal("scheduled", ScheduledJobRegistry(queue=two).count, 2)
    finish(soon)
    equal("not before its time", time.time() >= began + 1, True)
    never.delete()
    equal("removed", ScheduledJobRegistry(queue=one).count, 0)


def commands(queues):
    """Workers listen to their commands on channels."""
    one, two = queues
    workers = Worker.all(connection=one.connection)
    equal("workers", len(workers), 3)
    job = two.enqueue(dawdle)
    until("it runs", lambda: one.connection.get("dawdling") and job.get_status() == "started")
    send_stop_job_command(one.connection, job.id)
    until("stopped", lambda: job.get_status(refresh=True) in ("stopped", "failed"))
    equal("the worker goes on", finish(one.enqueue(note, "after")), ["AFTER"])


def order(host, port, queues):
    """A burst worker empties its queues in their order and ends."""
    high, low = (Queue(name, connection=queues[0].connection) for name in ("high", "low"))
    queues[0].connection.delete("notes")
    for name, queue, front in (("l1", low, False), ("l2", low, False), ("h1", high, False),
                               ("h2", high, True)):
        queue.enqueue(note, name, at_front=front)
    equal("positions", (low.job_ids[1] == low.jobs[1].id, len(high)), (True, 2))
    code = start_worker(host, port, "--burst", "high", "low").wait(SECONDS)
    equal("it ends", code, 0)
    equal("in order", queues[1].connection.lrange("notes", 0, -1), [b"h2", b"h1", b"l1", b"l2"])
    low.enqueue(note, "dropped")
    equal("empty", (low.empty(), len(low)), (1, 0))
    high.delete()
    equal("queues", sorted(queue.name for queue in Queue.all(connection=queues[1].connection)),
          ["default", "low"])


# ---- processes ----

def work(host, port, *names):
    burst = names[0] == "--burst"
    connection = connect(host, port)
    worker = Worker(list(names[1:] if burst else names), connection=connection)
    worker.work(burst=burst, with_scheduler=not burst, logging_level="CRITICAL")


def start_worker(host, port, *names):
    return subprocess.Popen(["/usr/bin/python3", os.path.abspath(__file__), "--worker", host,
                             str(port), *names], stdin=subprocess.DEVNULL)


def main():
    host, first, second = sys.argv[1:4]
    queues = [Queue(connection=connect(host, port)) for port in (first, second)]
    queues[0].connection.flushdb()
    workers = [start_worker(host, port, "default") for port in (first, second, second)]
    try:
        for part in (exactly_once, failures, dependencies, schedules, commands):
            part(queues)
        order(host, first, queues)
        for worker in workers:
            worker.send_signal(signal.SIGTERM)
        equal("workers end in order", [worker.wait(SECONDS) for worker in workers], [0, 0, 0])
        equal("and sign off", Worker.count(connection=queues[0].connection), 0)
    finally:
        for worker in workers:
            worker.kill()
    print(f"rq: {checks} checks")


if __name__ == "__main__":
    # Jobs are stored with the name of their module.
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import rq_queue
    if sys.argv[1] == "--worker":
        rq_queue.work(*sys.argv[2:])
    else:
        rq_queue.main()
