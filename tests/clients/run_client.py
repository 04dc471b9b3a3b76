"""Runs one real client, or a framework, against the routers of a fresh three-node cluster.

    run_client.py --bin DIR --build DIR SCRIPT

SCRIPT gets HOST and PORT as arguments, and one PORT more for each further router (--routers 2).
--flag=X is one for the routers, as `--flag=--multi-across-shards --flag=best-effort`.
--endpoint HOST:PORT uses a server that runs already (a redis-server, to test the script itself).
Scripts for node run in the build folder, where npm put the packages of package-lock.json.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "integration"))

from cluster import Cluster, PATIENCE, print_log_tails  # noqa: E402

SECONDS = 120


def copy_scripts(build):
    for folder in ("", "frameworks"):
        os.makedirs(os.path.join(build, folder), exist_ok=True)
        for name in os.listdir(os.path.join(HERE, folder)):
            if name.endswith((".mjs", ".json")):
                shutil.copy(os.path.join(HERE, folder, name), os.path.join(build, folder))


def npm_install(build):
    """Copies the scripts next to the packages; installs these if they are not those we want."""
    copy_scripts(build)
    with open(os.path.join(HERE, "package-lock.json"), encoding="utf-8") as wanted:
        wanted = wanted.read()
    mark = os.path.join(build, "installed")
    if os.path.exists(mark):
        with open(mark, encoding="utf-8") as have:
            if have.read() == wanted:
                return
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund",
                    "--loglevel=error"], cwd=build, check=True, timeout=300)
    with open(mark, "w", encoding="utf-8") as out:
        out.write(wanted)


def command_for(script, build):
    path = script if os.path.isabs(script) else os.path.join(HERE, script)
    if script.endswith(".mjs"):
        npm_install(build)
        return ["node", os.path.join(build, os.path.relpath(path, HERE))]
    interpreters = {".py": "/usr/bin/python3", ".rb": "/usr/bin/ruby", ".sh": "bash"}
    interpreter = interpreters.get(os.path.splitext(script)[1])
    return [interpreter, path] if interpreter else [path]


def run_script(command, host, ports):
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*command, host, *map(str, ports)], timeout=SECONDS * PATIENCE,
                          check=False, env=environment)
    return done.returncode


def with_cluster(command, options):
    directory = tempfile.mkdtemp(prefix="sherd-client-")
    cluster = Cluster(options.bin, directory, routers=options.routers, router_flags=options.flag)
    try:
        cluster.start()
        code = run_script(command, "127.0.0.1", [router.port for router in cluster.routers])
        dead = [process.name for process in cluster.processes() if not process.alive()]
        if dead:
            print(f"these ended meanwhile: {dead}")
            code = code or 1
        codes = cluster.stop()
        if any(codes.values()):
            print(f"exit codes {codes}")
            code = code or 1
    except BaseException:
        print_log_tails(directory)
        raise
    finally:
        cluster.destroy()
    if code != 0:
        print_log_tails(directory)
        print(f"logs are kept in {directory}")
    else:
        shutil.rmtree(directory)
    return code


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin", default="build/dev/bin")
    parser.add_argument("--build", default="build/dev/clients")
    parser.add_argument("--routers", type=int, default=1)
    parser.add_argument("--flag", action="append", default=[])
    parser.add_argument("--endpoint")
    parser.add_argument("script")
    options = parser.parse_args()
    command = command_for(options.script, options.build)
    started = time.monotonic()
    if options.endpoint:
        host, port = options.endpoint.rsplit(":", 1)
        code = run_script(command, host, [port] * options.routers)
    else:
        code = with_cluster(command, options)
    print(f"{'passed' if code == 0 else 'FAILED'} {os.path.basename(options.script)} in "
          f"{time.monotonic() - started:.1f} s")
    sys.exit(code)


main()
