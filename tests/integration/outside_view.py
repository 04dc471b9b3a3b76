"""What monitoring sees: /metrics that promtool accepts without a word, /healthz, /readyz, INFO."""

import http.client
import subprocess

import harness
from cluster import demand, wait_until

INFO_FIELDS = {
    "server": ("redis_version", "redis_mode", "process_id", "tcp_port", "uptime_in_seconds",
               "run_id"),
    "clients": ("connected_clients", "blocked_clients", "maxclients"),
    "memory": ("used_memory", "used_memory_rss", "maxmemory", "maxmemory_policy"),
    "persistence": ("loading", "aof_enabled", "rdb_bgsave_in_progress"),
    "stats": ("total_connections_received", "total_commands_processed", "instantaneous_ops_per_sec",
              "rejected_connections", "expired_keys", "keyspace_hits"),
    "replication": ("role", "connected_slaves"),
    "cpu": ("used_cpu_sys", "used_cpu_user"),
    "cluster": ("cluster_enabled",),
}


def get(process, path, method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", process.http_port, timeout=5)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), dict(answer.getheaders())
    finally:
        connection.close()


def demand_metrics(context, process):
    code, body, headers = get(process, "/metrics")
    demand(code == 200, f"/metrics of {process.name}: {code}")
    demand(headers.get("Content-Type", "").startswith("text/plain"), f"content type: {headers}")
    lint = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True,
                          text=True,
                          timeout=20, check=False)
    said = lint.stdout + lint.stderr
    demand(lint.returncode == 0 and said.strip() == "", f"promtool on {process.name}: {said}")
    samples = {}
    for line in body.splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            samples[name] = float(value)
    demand(len(samples) > 15, f"{process.name} has {len(samples)} samples")
    demand(any(value > 0 for value in samples.values()), "all samples are 0")
    return samples


def demand_info(process):
    from resp_client import RespClient
    with RespClient(process.address, timeout=5) as client:
        everything = client.call("INFO").decode()
        fields = dict(line.split(":", 1) for line in everything.split("\r\n") if ":" in line)
        for section, names in INFO_FIELDS.items():
            demand(f"# {section}".lower() in everything.lower(), f"INFO has no section {section}")
            one = client.call("INFO", section).decode()
            for name in names:
                demand(name in fields, f"INFO of {process.name} has no {name}")
                demand(name + ":" in one, f"INFO {section} of {process.name} has no {name}")
        demand(fields["role"] == "master" and fields["loading"] == "0", "role or loading")
        demand(fields["redis_version"].startswith("7."), fields["redis_version"])
        demand(int(fields["process_id"]) == process.pid, "process_id")
        demand(int(fields["tcp_port"]) == process.port, "tcp_port")
        demand(int(fields["used_memory"]) > 0, "used_memory")
        both = client.call("INFO", "server", "clients").decode()
        demand("run_id" in both and "maxclients" in both and "used_cpu_sys" not in both,
               "two sections")
        demand(client.call("INFO", "nonsense") == b"", "an unknown section is empty")


def test(context):
    cluster = context.cluster()
    for node in cluster.nodes[:1]:
        node.start("--bootstrap", "--shards", "32", "--replicas", "3")
    cluster.router.start()
    for process in (cluster.nodes[0], cluster.router):
        wait_until(lambda p=process: get(p, "/healthz")[0] == 200, 10, f"{process.name} is healthy")
        code, body, _ = get(process, "/readyz")
        demand(code == 503 and body.strip(),
               f"{process.name} is ready without shards: {code} {body!r}")
    for node in cluster.nodes[1:]:
        node.start("--join", f"127.0.0.1:{cluster.nodes[0].port}")
    cluster.wait_ready()
    before = {process: demand_metrics(context, process) for process in cluster.processes()}
    with cluster.router.client() as client:
        for i in range(1000):
            demand(client.call("SET", f"m{i}", "v") == "OK", "SET")
    for process in cluster.processes():
        wait_until(lambda p=process: get(p, "/readyz")[0] == 200, 10, f"{process.name} is ready")
        after = demand_metrics(context, process)
        old = before[process]
        rose = [name for name, value in after.items() if value >= old.get(name, 0) + 300]
        demand(rose, f"1000 SETs left no trace in the metrics of {process.name}")
        demand_info(process)
        demand(get(process, "/nothing")[0] == 404, "an unknown path is not 404")
        demand(get(process, "/metrics", "POST")[0] in (400, 404, 405), "POST is not refused")
        context.say(f"{process.name}: {len(after)} samples")

    # Two nodes dead: no shard has a majority; a router tells that it is not ready, but is healthy.
    for node in cluster.nodes[1:]:
        node.kill()
    wait_until(lambda: get(cluster.router, "/readyz")[0] == 503, 20, "the router is not ready")
    demand(get(cluster.router, "/healthz")[0] == 200, "the router is not healthy")
    for node in cluster.nodes[1:]:
        node.start()
    cluster.wait_ready()
    wait_until(lambda: get(cluster.router, "/readyz")[0] == 200, 20, "the router is ready again")


harness.run(test)
