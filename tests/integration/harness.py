"""Runs one integration test: arguments, seed, directory, time limit, what is left behind on
failure.

    harness.run(test)      test(context) raises to fail
    harness.run(test, extra={"--operations": {"type": int, "default": 40}})
                           further arguments, as argparse takes them; context.options has them

Arguments of every test: --bin DIR (sherd-node, sherd-router), --tools DIR (lincheck, the shim),
--seed N to repeat a run, --keep to leave the directory in place.
"""

import argparse
import faulthandler
import os
import random
import shutil
import sys
import tempfile
import time
import traceback

import cluster
from cluster import Cluster, PATIENCE, print_log_tails
from workload import Workload

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


class Context:
    def __init__(self, options, directory):
        self.options = options
        self.programs = options.bin
        self.tools = options.tools
        self.seed = options.seed
        self.random = random.Random(options.seed)
        self.directory = directory
        self.clusters = []
        self.workloads = []
        self.cleanups = []

    def cluster(self, **options):
        directory = os.path.join(self.directory, f"cluster{len(self.clusters)}")
        os.makedirs(directory)
        made = Cluster(self.programs, directory, **options)
        self.clusters.append(made)
        return made

    def workload(self, of, **options):
        made = Workload(of, self.random.randrange(1 << 32), self.tools, **options)
        self.workloads.append(made)
        return made

    def say(self, message):
        print(f"[{time.monotonic() - self.started:6.2f}] {message}", flush=True)

    def clean(self):
        for workload in self.workloads:
            workload.abandon()
        for made in self.clusters:
            made.destroy()
        for cleanup in reversed(self.cleanups):
            cleanup()


def arguments(limit, extra):
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/dev/bin"))
    parser.add_argument("--tools", default=os.path.join(ROOT, "build/dev/tests"))
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--limit", type=float, default=limit, help="seconds")
    for name, settings in extra.items():
        parser.add_argument(name, **settings)
    return parser.parse_args()


def run(test, limit=120, extra=None):
    options = arguments(limit, extra or {})
    name = os.path.splitext(os.path.basename(sys.argv[0]))[0]
    directory = tempfile.mkdtemp(prefix=f"sherd-{name}-")
    print(f"{name} seed={options.seed} directory={directory}", flush=True)
    faulthandler.dump_traceback_later(options.limit * PATIENCE, exit=True)
    context = Context(options, directory)
    context.started = time.monotonic()
    good = False
    try:
        test(context)
        good = True
    except (Exception, KeyboardInterrupt) as error:  # pylint: disable=broad-except
        if isinstance(error, cluster.Failure):
            print(f"FAILED {name} seed={options.seed}: {error}", flush=True)
        else:
            traceback.print_exc()
    finally:
        context.clean()
    if not good:
        for made in context.clusters:
            print_log_tails(made.directory)
        print(f"FAILED {name}; repeat with --seed {options.seed}; all is kept in {directory}")
        sys.exit(1)
    print(f"passed {name} in {time.monotonic() - context.started:.1f} s", flush=True)
    if not options.keep:
        shutil.rmtree(directory)
