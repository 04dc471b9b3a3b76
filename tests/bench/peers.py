"""Peers that a measurement runs beside us, each in a folder of its own, ended by what started it."""

import base64
import binascii
import http.client
import json
import os
import subprocess
import sys
import pathlib
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))
from cluster import Process, free_port, wait_until  # noqa: E402
from resp_client import RespClient, RespError  # noqa: E402

SLOTS = 16384
HOPS_MAX = 5     # Redirects of one command.
RETRIES_MAX = 3  # As redis-py's cluster client, which gives up then.


def slot_of(key):
    """Redis Cluster specification, key distribution model."""
    begin = key.find(b"{")
    end = key.find(b"}", begin + 1) if begin >= 0 else -1
    return binascii.crc_hqx(key[begin + 1:end] if end > begin + 1 else key, 0) % SLOTS


class RedisCluster:
    """Three masters with a replica each, every write in the append-only file."""

    def __init__(self, folder, masters=3, replicas=1, fsync="everysec"):
        self.processes = []
        self.ports = []
        for index in range(masters * (1 + replicas)):
            data = os.path.join(folder, "redis%d" % index)
            os.makedirs(data)
            port = free_port()
            process = Process("redis%d" % index, data + ".log")
            # The bus has a port of its own: the default, 10000 higher, may be anybody's.
            process.spawn(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", data,
                           "--cluster-enabled", "yes", "--cluster-port", str(free_port()),
                           "--appendonly", "yes", "--appendfsync", fsync, "--save", ""])
            self.processes.append(process)
            self.ports.append(port)
        for port in self.ports:
            wait_until(lambda: RespClient(("127.0.0.1", port)).call("PING") == "PONG", 20, "PONG")
        self.command("create", *["127.0.0.1:%d" % port for port in self.ports],
                     "--cluster-replicas", str(replicas))
        wait_until(lambda: all(b"cluster_state:ok" in self.ask(port, "CLUSTER", "INFO")
                               for port in self.ports), 60, "the cluster is ok")
        # A replica that has not had its copy yet does not take over.
        wait_until(lambda: sum(b"master_link_status:up" in self.ask(port, "INFO", "replication")
                               for port in self.ports) == masters * replicas, 60,
                   "the replicas have their copies")

    @staticmethod
    def ask(port, *args):
        with RespClient(("127.0.0.1", port)) as client:
            return client.call(*args)

    def command(self, *args):
        """redis-cli --cluster ARGS; its output."""
        done = subprocess.run(["redis-cli", "--cluster", *args, "--cluster-yes"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if done.returncode != 0:
            raise RuntimeError("redis-cli --cluster %s: %s" % (args[0], done.stdout.decode()[-2000:]))
        return done.stdout.decode()

    def nodes(self):
        """[(id, port, is master, number of slots)], as somebody who lives says."""
        for process, port in zip(self.processes, self.ports):
            if process.alive():
                rows = self.ask(port, "CLUSTER", "NODES").decode().splitlines()
                return [self.node(row.split()) for row in rows if " fail " not in row]
        raise RuntimeError("no redis-server is left")

    @staticmethod
    def node(words):
        count = 0
        for piece in words[8:]:
            if not piece.startswith("["):
                low, _, high = piece.partition("-")
                count += int(high or low) - int(low) + 1
        port = int(words[1].split("@")[0].rsplit(":", 1)[1])
        return words[0], port, "master" in words[2], count

    def process_at(self, port):
        return self.processes[self.ports.index(port)]

    def client(self):
        return RedisClusterClient(self.ports)

    def stop(self):
        for process in self.processes:
            process.kill()


class RedisClusterClient:
    """What a cluster client does: knows the slots, follows MOVED and ASK, asks anew when a node is
    gone, and gives up after some tries."""

    def __init__(self, ports):
        self.seeds = ports
        self.links = {}
        self.slots = {}
        self.learn()

    def link(self, port):
        if port not in self.links:
            self.links[port] = RespClient(("127.0.0.1", port), timeout=5)
        return self.links[port]

    def drop(self, port):
        link = self.links.pop(port, None)
        if link is not None:
            link.close()

    def learn(self):
        for port in [*self.links, *self.seeds]:
            try:
                for low, high, master, *_ in self.link(port).call("CLUSTER", "SLOTS"):
                    for slot in range(low, high + 1):
                        self.slots[slot] = master[1]
                return
            except (OSError, ValueError):
                self.drop(port)

    def call(self, *args):
        slot = slot_of(args[1])
        port, ask = self.slots[slot], False
        reply = None
        for attempt in range(RETRIES_MAX + 1):
            for _ in range(HOPS_MAX):
                try:
                    if ask:
                        self.link(port).call("ASKING")
                    reply = self.link(port).call(*args)
                except (OSError, ValueError) as error:
                    self.drop(port)
                    reply = RespError("CONNECTION %s" % error)
                    break
                if not isinstance(reply, RespError):
                    return reply
                if reply.code() not in ("MOVED", "ASK"):
                    break
                port = int(str(reply).split()[2].rsplit(":", 1)[1])
                ask = reply.code() == "ASK"
                if not ask:
                    self.slots[slot] = port
            if reply.code() not in ("CONNECTION", "CLUSTERDOWN", "TRYAGAIN"):
                break
            time.sleep(0.01 * attempt)
            self.learn()
            port, ask = self.slots[slot], False
        return reply

    def close(self):
        for port in list(self.links):
            self.drop(port)


class Etcd:
    """Three members with their defaults."""

    def __init__(self, folder):
        self.ports = [free_port() for _ in range(3)]
        peers = [free_port() for _ in range(3)]
        members = ",".join("m%d=http://127.0.0.1:%d" % pair for pair in enumerate(peers))
        self.processes = []
        for index, (port, peer) in enumerate(zip(self.ports, peers)):
            data = os.path.join(folder, "etcd%d" % index)
            process = Process("etcd%d" % index, data + ".log")
            client, between = "http://127.0.0.1:%d" % port, "http://127.0.0.1:%d" % peer
            process.spawn(["etcd", "--name", "m%d" % index, "--data-dir", data,
                           "--listen-client-urls", client, "--advertise-client-urls", client,
                           "--listen-peer-urls", between, "--initial-advertise-peer-urls", between,
                           "--initial-cluster", members])
            self.processes.append(process)
        wait_until(lambda: self.client().put(b"a", b"b"), 60, "etcd takes a write")

    def leader(self):
        """The process that leads."""
        for process, port in zip(self.processes, self.ports):
            status = EtcdClient([port]).post("/v3/maintenance/status", {})
            if status["leader"] == status["header"]["member_id"]:
                return process
        raise RuntimeError("etcd has no leader")

    def client(self):
        return EtcdClient(self.ports)

    def stop(self):
        for process in self.processes:
            process.kill()


class EtcdClient:
    """By its JSON gateway; the next member after an error."""

    def __init__(self, ports):
        self.ports = list(ports)
        self.link = None

    def post(self, path, body):
        if self.link is None:
            self.link = http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=2)
        try:
            self.link.request("POST", path, json.dumps(body))
            reply = self.link.getresponse()
            text = reply.read()
        except (OSError, http.client.HTTPException):
            self.close()
            self.ports.append(self.ports.pop(0))
            raise
        if reply.status != 200:
            self.close()
            self.ports.append(self.ports.pop(0))
            raise OSError(text.decode())
        return json.loads(text)

    def put(self, key, value):
        return self.post("/v3/kv/put", {"key": base64.b64encode(key).decode(),
                                        "value": base64.b64encode(value).decode()})

    def close(self):
        if self.link is not None:
            self.link.close()
            self.link = None
