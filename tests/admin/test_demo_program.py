#!/usr/bin/env python3
"""`sherd-admin demo` with played nodes and routers: start, restart, stop, deaths, refusals."""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ADMIN = sys.argv.pop(1)
HERE = pathlib.Path(__file__).resolve().parent
WAIT_S = 60


def alive(pid):
    """False for a process that is gone or only waits to be reaped."""
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def until(what, condition):
    deadline = time.monotonic() + WAIT_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"never: {what}")
        time.sleep(0.005)


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sherd-demo-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for kind in ("node", "router"):
            script = self.bin / f"sherd-{kind}"
            script.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{HERE}/played.py" {kind} "$@"\n')
            script.chmod(0o755)
        self.data = self.folder / "data"

    def start(self, *words):
        """Starts demo and waits for its ready line: (process, contents of the ready file)."""
        ready_file = self.folder / "ready.json"
        process = self.begin("--ready-file", str(ready_file), *words)
        line = ""
        while not line.startswith("ready "):
            line = process.stdout.readline()
            self.assertNotEqual(line, "", "demo ended before it was ready")
        until("the ready file", ready_file.exists)
        return process, json.loads(ready_file.read_text())

    def begin(self, *words, stderr=subprocess.PIPE):
        process = subprocess.Popen([ADMIN, "demo", "--bin", str(self.bin), "--dir", str(self.data),
                                    "--port", "0", *words],
                                   stdout=subprocess.PIPE, stderr=stderr, text=True)
        self.addCleanup(self.end, process)
        return process

    def end(self, process):
        if process.poll() is None:
            process.terminate()
        process.wait(WAIT_S)
        process.stdout.close()
        if process.stderr:
            process.stderr.close()

    def arguments(self, name):
        return json.loads((self.data / name / "arguments").read_text())

    def option(self, name, option):
        words = self.arguments(name)
        return words[words.index(option) + 1]

    def test_starts_what_was_asked_for_and_stops_it_cleanly(self):
        process, ready = self.start("--nodes", "3", "--routers", "2", "--shards", "8")
        self.assertEqual([n["name"] for n in ready["nodes"]], ["node-1", "node-2", "node-3"])
        self.assertEqual([r["name"] for r in ready["routers"]], ["router-1", "router-2"])
        self.assertEqual(ready["endpoint"], ready["routers"][0]["address"])
        self.assertEqual(ready["pid"], process.pid)
        self.assertIn("--bootstrap", self.arguments("node-1"))
        self.assertEqual(self.option("node-1", "--shards"), "8")
        self.assertEqual(self.option("node-1", "--replicas"), "3")
        self.assertNotIn("--bootstrap", self.arguments("node-2"))
        self.assertIn(ready["nodes"][0]["address"], self.option("node-2", "--join").split(","))
        self.assertEqual(self.option("router-2", "--nodes"),
                         ",".join(n["address"] for n in ready["nodes"]))
        pids = [m["pid"] for m in ready["nodes"] + ready["routers"]]
        self.assertTrue(all(map(alive, pids)))
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertFalse(any(map(alive, pids)))
        self.assertEqual(process.stderr.read(), "")
        self.assertFalse((self.folder / "ready.json").exists())

    def test_takes_fewer_copies_when_there_are_few_nodes(self):
        self.start("--nodes", "2")
        self.assertEqual(self.option("node-1", "--replicas"), "1")

    def test_starts_again_on_the_same_folder_with_the_same_ports(self):
        process, first = self.start("--nodes", "2")
        self.end(process)
        process, second = self.start()
        self.assertEqual([n["address"] for n in first["nodes"]],
                         [n["address"] for n in second["nodes"]])
        self.assertNotIn("--bootstrap", self.arguments("node-1"))
        self.end(process)
        process, third = self.start("--nodes", "3")
        self.assertEqual(len(third["nodes"]), 3)
        self.assertEqual([n["address"] for n in third["nodes"][:2]],
                         [n["address"] for n in first["nodes"]])

    def test_takes_another_port_when_a_nodes_port_is_taken(self):
        process, first = self.start("--nodes", "1")
        self.end(process)
        host, port = first["nodes"][0]["address"].split(":")
        with socket.create_server((host, int(port))):
            _, second = self.start()
        self.assertNotEqual(first["nodes"][0]["address"], second["nodes"][0]["address"])

    def test_leaves_nobody_behind_when_it_is_killed(self):
        process, ready = self.start()
        pids = [m["pid"] for m in ready["nodes"] + ready["routers"]]
        process.kill()
        process.wait(WAIT_S)
        until("all children gone", lambda: not any(map(alive, pids)))

    def test_kills_what_does_not_end(self):
        (self.data / "node-2").mkdir(parents=True)
        (self.data / "node-2" / "stubborn").touch()
        process, ready = self.start()
        stubborn = ready["nodes"][1]["pid"]
        process.terminate()
        process.terminate()
        self.assertEqual(process.wait(WAIT_S), 0)
        self.assertFalse(alive(stubborn))

    def test_tells_of_a_dead_node_and_goes_on(self):
        process, ready = self.start()
        os.kill(ready["nodes"][1]["pid"], signal.SIGKILL)
        first = process.stderr.readline()
        self.assertIn("node-2 (process %d) was killed by signal 9" % ready["nodes"][1]["pid"], first)
        self.assertIn("played node began", process.stderr.readline())
        others = [ready["nodes"][0], ready["nodes"][2], *ready["routers"]]
        self.assertTrue(all(alive(m["pid"]) for m in others))
        self.assertIsNone(process.poll())

    def test_ends_when_all_have_died(self):
        process, ready = self.start()
        for member in ready["nodes"] + ready["routers"]:
            os.kill(member["pid"], signal.SIGKILL)
        self.assertEqual(process.wait(WAIT_S), 1)

    def test_fails_with_the_last_line_when_a_node_cannot_start(self):
        (self.data / "node-3").mkdir(parents=True)
        (self.data / "node-3" / "fail").touch()
        process = self.begin()
        out, error = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, 1)
        self.assertIn("node-3", error)
        self.assertIn("ended with exit code 1", error)
        self.assertIn("this disk is broken", error)
        self.assertNotIn("ready", out)

    def refused(self, code, part, *words):
        process = self.begin(*words)
        _, error = process.communicate(timeout=WAIT_S)
        self.assertEqual(process.returncode, code, error)
        self.assertIn(part, error)
        self.assertEqual(error.count("\n"), 1, error)

    def test_refuses_a_taken_port_and_starts_nothing(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            self.refused(1, f"port {port} on 127.0.0.1 cannot be used", "--port", str(port))
        self.assertFalse((self.data / "node-1").exists())

    def test_refuses_a_second_one_on_the_same_folder(self):
        self.start()
        self.refused(1, "another demo runs in")

    def test_refuses_numbers_that_make_no_cluster(self):
        self.refused(2, "--nodes", "--nodes", "0")
        self.refused(2, "power of two", "--shards", "12")
        self.refused(2, "must be odd", "--nodes", "4", "--replicas", "2")
        self.refused(2, "not be more than", "--nodes", "1", "--replicas", "3")
        self.assertFalse((self.data / "node-1").exists())

    def test_refuses_to_leave_a_node_out(self):
        process, _ = self.start("--nodes", "3")
        self.end(process)
        self.refused(2, "holds a cluster of 3 nodes", "--nodes", "2")

    def test_refuses_a_folder_that_cannot_be_used(self):
        self.data.write_text("a file")
        self.refused(1, "cannot use the folder")

    def test_says_which_program_is_missing(self):
        (self.bin / "sherd-router").unlink()
        self.refused(1, "sherd-router")


if __name__ == "__main__":
    unittest.main()
