#!/usr/bin/env python3
"""sherd-admin against a played server: output, JSON, exit codes, errors in one line."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(__file__))
import played

ADMIN = sys.argv.pop(1)
ROOT = pathlib.Path(__file__).resolve().parents[2]

STATUS = {"cluster": "c1", "map_version": 12, "role": "router", "nodes": 3, "nodes_up": 3,
          "shards": 32, "shards_led": 32, "shards_short": 0, "replicas": 3,
          "meta_leader": 2, "meta_voters": 3, "meta_replicas": 3}
NODES = [{"id": n, "address": f"127.0.0.1:700{n}", "zone": "", "state": "up", "up": n != 3,
          "leads": 11, "replicas": 32} for n in (1, 2, 3)]
SHARDS = [{"id": 2, "start": "0000000000000000", "last": "7fffffffffffffff", "ver": 1,
           "conf_ver": 2, "leader": 1, "term": 5, "voters": 3, "replicas": ["4@1", "5@2", "6@3"]},
          {"id": 3, "start": "8000000000000000", "last": "ffffffffffffffff", "ver": 1,
           "conf_ver": 2, "leader": 0, "term": 0, "voters": 0, "replicas": ["7@1", "8@2", "9@3"]}]
EXPLAIN = {"key": "user:1", "db": 0, "tag": "user:1", "token": "a1b2c3d4e5f60718", "shard": 2,
           "range": "0000000000000000-7fffffffffffffff", "ver": 1, "leader": 1,
           "leader_address": "127.0.0.1:7001", "term": 5,
           "replicas": [{"id": 4, "node": 1, "address": "127.0.0.1:7001"},
                        {"id": 5, "node": 2, "address": "127.0.0.1:7002"}]}


DATABASES = [{"db": 0, "keys": 12, "expires": 1, "bytes": 4096, "ops_per_second": 9,
              "colocated": False, "shards": 32, "shard": 0, "leader": 0, "leader_address": ""},
             {"db": 1, "keys": 0, "expires": 0, "bytes": 0, "ops_per_second": 0,
              "colocated": True, "shards": 1, "shard": 7, "leader": 2,
              "leader_address": "127.0.0.1:7002"},
             {"db": 2, "keys": 5, "expires": 0, "bytes": 70, "ops_per_second": 1,
              "colocated": True, "shards": 1, "shard": 9, "leader": 0, "leader_address": ""}]


def run(*words, connect=None, environment=None):
    command = [ADMIN, *(["--connect", connect] if connect else []), *words]
    env = {k: v for k, v in os.environ.items() if k != "SHERD_CONNECT"}
    env.update(environment or {})
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def serve(table):
    """A server that answers `WORD WORD ...` from the table, HELLO with a map."""
    asked = []

    def answer(words):
        asked.append(words)
        if words[0] == "HELLO":
            return table.get("HELLO", {"server": "redis", "proto": 3})
        return table.get(" ".join(words), Exception("ERR unknown command"))

    server = played.Server(answer)
    server.asked = asked
    return server


class Look(unittest.TestCase):
    def setUp(self):
        self.table = {"SHERD STATUS": dict(STATUS), "SHERD NODES": NODES, "SHERD SHARDS": SHARDS,
                      "SHERD EXPLAIN user:1": EXPLAIN, "SHERD DATABASES": DATABASES}
        self.server = serve(self.table)

    def ask(self, *words):
        return run(*words, connect=self.server.address)

    def test_status_says_healthy(self):
        done = self.ask("status")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("state     healthy\n", done.stdout)
        self.assertIn("3 of 3 up", done.stdout)
        self.assertIn("32 of 32 have a leader", done.stdout)
        self.assertEqual(self.server.asked[0][:2], ["HELLO", "3"])

    def test_status_fails_when_a_shard_has_no_leader(self):
        self.table["SHERD STATUS"]["shards_led"] = 31
        done = self.ask("status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("NOT HEALTHY", done.stdout)

    def test_status_fails_while_a_shard_is_short_of_replicas(self):
        self.table["SHERD STATUS"]["shards_short"] = 2
        done = self.ask("status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("2 shards are short of that", done.stdout)

    def test_status_fails_while_the_meta_group_is_short_of_replicas(self):
        self.table["SHERD STATUS"]["meta_voters"] = 1
        done = self.ask("status")
        self.assertEqual(done.returncode, 1)
        self.assertIn("led by node 2, 1 of 3 replicas up to date", done.stdout)

    def test_status_fails_when_there_are_no_shards_yet(self):
        self.table["SHERD STATUS"].update(shards=0, shards_led=0)
        self.assertEqual(self.ask("status").returncode, 1)

    def test_json_is_the_reply(self):
        for what, want in (("status", STATUS), ("nodes", NODES), ("shards", SHARDS)):
            done = self.ask(what, "--json")
            self.assertEqual(json.loads(done.stdout), want)
            self.assertEqual(done.stdout.count("\n"), 1)
        self.assertEqual(json.loads(self.ask("--json", "explain", "user:1").stdout), EXPLAIN)

    def test_nodes_are_rows_of_80_columns(self):
        lines = self.ask("nodes").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["NODE", "ADDRESS", "ZONE", "STATE", "UP", "LEADS",
                                            "REPLICAS"])
        self.assertEqual(lines[3].split(), ["3", "127.0.0.1:7003", "-", "up", "no", "11", "32"])
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_shards_mark_the_leader(self):
        lines = self.ask("shards").stdout.splitlines()
        self.assertIn("4@1* 5@2 6@3", lines[1])
        self.assertIn("none", lines[2])
        self.assertNotIn("*", lines[2])
        self.assertLessEqual(max(map(len, lines)), 80)

    def test_databases_say_where_they_are(self):
        lines = self.ask("db", "list").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["DB", "KEYS", "EXPIRES", "BYTES", "OPS/S", "SHARDS",
                                            "SHARD", "LEADER"])
        self.assertEqual(lines[1].split(), ["0", "12", "1", "4096", "9", "32", "-", "-"])
        self.assertEqual(lines[2].split(), ["1", "0", "0", "0", "0", "1", "7", "2"])
        self.assertEqual(lines[3].split()[-2:], ["9", "none"])
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(json.loads(self.ask("db", "list", "--json").stdout), DATABASES)
        self.assertEqual(self.ask("db", "delete").returncode, 2)

    def test_explain_names_the_leader(self):
        done = self.ask("explain", "user:1")
        self.assertIn("token     a1b2c3d4e5f60718\n", done.stdout)
        self.assertIn("leader    node 1 at 127.0.0.1:7001, term 5\n", done.stdout)
        self.assertIn("127.0.0.1:7002", done.stdout)

    def test_the_environment_names_the_server(self):
        done = run("status", environment={"SHERD_CONNECT": self.server.address})
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_an_error_reply_is_one_line(self):
        done = self.ask("explain", "nothing")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn("ERR unknown command", done.stderr)


class Call(unittest.TestCase):
    def test_prints_as_redis_cli(self):
        server = serve({"GET a": "x y\n", "GET b": None, "INCR n": 5, "MGET a b": ["1", None]})
        for words, want in ((["GET", "a"], '"x y\\n"\n'), (["GET", "b"], "(nil)\n"),
                            (["INCR", "n"], "(integer) 5\n"),
                            (["MGET", "a", "b"], '1) "1"\n2) (nil)\n')):
            done = run("call", *words, connect=server.address)
            self.assertEqual((done.returncode, done.stdout), (0, want))

    def test_exit_codes_of_errors(self):
        server = serve({"GET a": Exception("NOAUTH Authentication required."),
                        "GET b": Exception("WRONGTYPE no")})
        done = run("call", "GET", "a", connect=server.address)
        self.assertEqual((done.returncode, done.stdout[:14]), (4, "(error) NOAUTH"))
        done = run("call", "GET", "b", connect=server.address)
        self.assertEqual((done.returncode, done.stdout), (1, "(error) WRONGTYPE no\n"))

    def test_works_with_a_server_that_knows_no_hello(self):
        server = serve({"HELLO": Exception("ERR unknown command 'HELLO'"), "PING": ("PONG",)})
        done = run("call", "PING", connect=server.address)
        self.assertEqual((done.returncode, done.stdout), (0, "PONG\n"))


def job(state="running", **more):
    fields = {"id": 7, "parent": 0, "kind": "move", "what": "move a replica", "state": state,
              "step": 1, "percent": 40, "bytes": 4000000, "size": 10000000, "rate": 2000000,
              "eta_ms": 3000, "doing": "sends the data", "reason": "", "result": "",
              "who": "admin", "undo_of": 0, "throttle": 0, "created_ms": 1000, "started_ms": 1100,
              "ended_ms": 0 if state in ("running", "queued", "paused") else 61000,
              "now_ms": 5000}
    fields.update(more)
    return fields


PLAN = {"hash": "a27872b01aee0615", "steps": ["move a replica of shard 2 from node 1 to node 4"],
        "moves": 1}


class Change(unittest.TestCase):
    """Verbs that change the cluster, and the jobs that they make."""

    def setUp(self):
        self.states = [job(), job("done", percent=100)]
        self.table = {"SHERD NODE DRAIN 3": {"job": 7}, "SHERD NODE DRAIN 3 DRYRUN": PLAN,
                      "SHERD SHARD MOVE 2 1 4": {"job": 7}, "SHERD JOB PAUSE 7": ("OK",),
                      "SHERD JOB THROTTLE 7 20000000": ("OK",), "SHERD REBALANCE PLAN": PLAN,
                      "SHERD REBALANCE APPLY a27872b01aee0615": {"job": 7},
                      "SHERD JOB LIST": [job(), job("failed", id=6, result="node 4 is gone")]}
        self.server = serve(self.table)
        self.asked = self.server.asked
        answer = self.server.answer

        def answer_jobs(words):
            if words[:3] == ["SHERD", "JOB", "GET"]:
                self.asked.append(words)
                return self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return answer(words)

        self.server.answer = answer_jobs

    def ask(self, *words):
        return run(*words, connect=self.server.address)

    def test_a_job_is_waited_for(self):
        done = self.ask("shard", "move", "2", "1", "4")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout, "job 7: move a replica: done after 1 min 0 s\n")

    def test_the_outcome_is_the_exit_code(self):
        for state, result, code in (("failed", "node 4 is gone", 1), ("cancelled", "by hand", 1),
                                    ("done", "2 steps could not be done", 7)):
            self.states = [job(state, result=result)]
            done = self.ask("job", "watch", "7")
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(result, done.stdout)

    def test_what_takes_long_goes_on_without_us(self):
        self.states = [job()]
        done = self.ask("job", "watch", "7", "--wait-max", "0")
        self.assertEqual(done.returncode, 6)
        self.assertIn("sherd-admin job watch 7", done.stderr)
        done = self.ask("shard", "move", "2", "1", "4", "--detach")
        self.assertEqual((done.returncode, done.stdout), (0, "job 7; sherd-admin job watch 7\n"))

    def test_a_dry_run_changes_nothing(self):
        done = self.ask("node", "drain", "3", "--dry-run")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("   1  move a replica of shard 2 from node 1 to node 4\n", done.stdout)
        self.assertIn("1 steps, 1 moves; plan a27872b01aee0615\n", done.stdout)
        self.assertNotIn(["SHERD", "NODE", "DRAIN", "3"], self.asked)
        self.assertEqual(json.loads(self.ask("--json", "node", "drain", "3", "--dry-run").stdout),
                         PLAN)

    def test_nothing_is_moved_unless_someone_says_yes(self):
        done = self.ask("node", "drain", "3")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--yes", done.stderr)
        self.assertNotIn(["SHERD", "NODE", "DRAIN", "3"], self.asked)
        self.assertEqual(self.ask("node", "drain", "3", "--yes").returncode, 0)

    def test_json_is_the_job_as_it_ended(self):
        done = self.ask("--json", "node", "drain", "3", "--yes")
        self.assertEqual(json.loads(done.stdout)["state"], "done")
        self.assertEqual(done.stdout.count("\n"), 1)

    def test_a_plan_is_applied_by_its_hash(self):
        done = self.ask("rebalance", "--yes")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(["SHERD", "REBALANCE", "APPLY", "a27872b01aee0615"], self.asked)
        self.states = [job("done")]
        self.assertEqual(self.ask("rebalance", "--apply", "a27872b01aee0615").returncode, 0)
        self.table["SHERD REBALANCE APPLY a27872b01aee0615"] = Exception("CONFLICT it changed")
        done = self.ask("rebalance", "--apply", "a27872b01aee0615")
        self.assertEqual((done.returncode, done.stderr.count("\n")), (1, 1))

    def test_nothing_to_do_is_no_question(self):
        self.table["SHERD REBALANCE PLAN"] = {"hash": "0" * 16, "steps": [], "moves": 0}
        done = self.ask("rebalance")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("Nothing to do", done.stdout)

    def test_what_is_unsafe_has_its_own_code(self):
        self.table["SHERD NODE REMOVE 3"] = Exception("UNSAFE node 3 holds replicas: drain it")
        done = self.ask("node", "remove", "3", "--yes")
        self.assertEqual((done.returncode, done.stdout), (5, ""))
        self.assertIn("drain it", done.stderr)
        self.table["SHERD NODE REMOVE 3"] = Exception("UNKNOWN whether it was done is not known")
        self.assertEqual(self.ask("node", "remove", "3", "--yes").returncode, 6)

    def test_jobs_are_rows_of_80_columns(self):
        lines = self.ask("job", "list").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["JOB", "KIND", "STATE", "DONE", "LEFT", "WHAT"])
        self.assertEqual(lines[1].split()[:4], ["7", "move", "running", "40%"])
        self.assertLessEqual(max(map(len, lines)), 80)
        self.assertEqual(len(json.loads(self.ask("--json", "job", "list").stdout)), 2)

    def test_a_job_is_shown_line_by_line(self):
        text = self.ask("job", "show", "7").stdout
        self.assertIn("bytes     4.0 MB of 10.0 MB\n", text)
        self.assertIn("rate      2.0 MB/s\n", text)
        self.assertIn("left      3 s\n", text)

    def test_rates_have_units(self):
        self.assertEqual(self.ask("job", "throttle", "7", "20m").returncode, 0)
        self.assertEqual(self.ask("job", "pause", "7").stdout, "done\n")

    def test_bad_operands_are_refused_before_anything_is_asked(self):
        for words in (("node", "drain", "three", "--yes"), ("shard", "move", "2", "x", "4"),
                      ("shard", "split", "2", "12"), ("job", "throttle", "7", "20x"),
                      ("job", "watch", ""), ("job", "show", "-1"), ("events", "--count", "0"),
                      ("completion", "csh"), ("node", "drain", "9" * 40, "--yes")):
            done = self.ask(*words)
            self.assertEqual((done.returncode, done.stdout), (2, ""), words)
            self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertEqual(self.asked, [])


class Around(unittest.TestCase):
    def test_zones_say_what_they_could_lose(self):
        nodes = [{"id": n, "address": "a", "zone": "ab"[n % 2], "state": "up", "up": True,
                  "leads": 1, "replicas": 2} for n in (1, 2, 3)]
        server = serve({"SHERD NODES": nodes, "SHERD SHARDS": SHARDS})
        done = run("zone", connect=server.address)
        rows = [line.split() for line in done.stdout.splitlines()]
        self.assertEqual(rows[1:], [["b", "2", "2", "4", "2", "2"], ["a", "1", "1", "2", "1", "0"]])
        table = json.loads(run("--json", "zone", connect=server.address).stdout)
        self.assertEqual(table[0], {"zone": "b", "nodes": 2, "up": 2, "replicas": 4, "leads": 2,
                                    "at_risk": 2})

    def test_the_journal_has_its_times(self):
        server = serve({"SHERD EVENTS 50": [
            {"number": 1, "time_ms": 1795195303852, "job": 8, "what": "drain node 3", "why": "old",
             "effect": "done"}]})
        done = run("events", connect=server.address)
        self.assertEqual(done.stdout, "2026-11-20 17:21:43  drain node 3 (job 8): done\n"
                                      "                     old\n")

    def test_one_shard_of_many_is_shown(self):
        server = serve({"SHERD SHARDS": SHARDS})
        done = run("shard", "show", "3", connect=server.address)
        self.assertIn("tokens    8000000000000000 to ffffffffffffffff\n", done.stdout)
        self.assertIn("replicas  7 on node 1\n", done.stdout)
        self.assertEqual(run("shard", "show", "4", connect=server.address).returncode, 1)

    def test_a_new_node_is_told_where_to_join(self):
        server = serve({"SHERD NODES": NODES})
        done = run("node", "add", "--detach", connect=server.address)
        self.assertIn("--join 127.0.0.1:7001,127.0.0.1:7002\n", done.stdout)
        done = run("node", "add", "--wait-max", "0", connect=server.address)
        self.assertEqual(done.returncode, 6)

    def test_completion_is_of_this_table(self):
        for shell in ("bash", "zsh", "fish"):
            text = run("completion", shell).stdout
            self.assertIn("rebalance", text)
            self.assertIn("list show watch pause resume cancel throttle undo", text)
        script = run("completion", "bash").stdout + """
            COMP_WORDS=(sherd-admin node dr); COMP_CWORD=2; _sherd_admin; echo "${COMPREPLY[@]}"
            COMP_WORDS=(sherd-admin --connect x:1 sha); COMP_CWORD=3; _sherd_admin
            echo "${COMPREPLY[@]}"
            """
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout.split(), ["drain", "shards", "shard"], done.stderr)

    def test_the_man_page_has_every_verb(self):
        text = run("help", "--man").stdout
        self.assertIn(".SS node drain\n", text)
        self.assertTrue(text.startswith(".TH SHERD-ADMIN 1\n"))


class Faults(unittest.TestCase):
    def check(self, code, part, *words, **more):
        done = run(*words, **more)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn(part, done.stderr)
        self.assertEqual(done.stdout, "")

    def test_usage(self):
        self.check(2, "did you mean 'status'", "stauts")
        self.check(2, "--timeout", "--timeout", "x", "status")
        self.check(2, "not an address", "status", connect="nowhere")
        self.check(2, "there is no verb", "help", "me")

    def test_nobody_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = "127.0.0.1:%d" % free.getsockname()[1]
        self.check(3, "refused", "status", connect=address)

    def test_no_answer(self):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            address = "127.0.0.1:%d" % mute.getsockname()[1]
            self.check(6, "no reply within 50 ms", "--timeout", "50", "status", connect=address)

    def test_closed_connection(self):
        server = played.Server(lambda words: 1 / 0)
        server.serve = lambda connection: connection.close()
        self.check(3, "closed the connection", "status", connect=server.address)

    def test_another_protocol(self):
        server = played.Server(lambda words: bytearray(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        self.check(1, "not the Redis protocol", "status", connect=server.address)


class Page(unittest.TestCase):
    def test_docs_admin_is_what_the_program_prints(self):
        page = (ROOT / "docs" / "admin.md").read_text()
        self.assertEqual(page, run("help", "--markdown").stdout,
                         "write it again: sherd-admin help --markdown > docs/admin.md")


if __name__ == "__main__":
    unittest.main()
