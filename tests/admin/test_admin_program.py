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
