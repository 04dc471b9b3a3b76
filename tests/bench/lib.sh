# Sourced by the measuring scripts: starts servers on ports that the kernel chooses, in one temporary
# folder, and ends exactly what it started.
#
# Settings from the environment: ROUNDS (5), SECONDS_EACH (5), BIN (build/release/bin), KEEP=1 to
# leave the folder.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
bin=${BIN:-$root/build/release/bin}
rounds=${ROUNDS:-5}
seconds=${SECONDS_EACH:-5}
work=$(mktemp -d -t sherd-bench-XXXXXX)
results=$work/results.jsonl
pids=()

for program in sherd-node sherd-router sherd-admin sherd-bench; do
    if [ ! -x "$bin/$program" ]; then
        echo "$bin/$program is missing: client/quickstart --build-only" >&2
        exit 2
    fi
done

cleanup() {
    local pid
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
    done
    for pid in "${pids[@]}"; do
        wait "$pid" 2>/dev/null || true
    done
    [ "${KEEP:-}" = 1 ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Prints N ports that nobody has.
free_ports() {
    python3 - "$1" <<'PY'
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))
PY
}

# until COMMAND...: repeats it until it succeeds; gives up after a minute.
until_true() {
    local deadline=$(($(date +%s) + 60))
    until "$@" >/dev/null 2>&1; do
        if [ "$(date +%s)" -gt "$deadline" ]; then
            echo "never came true: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# start_redis NAME ARG...: sets port.
start_redis() {
    local name=$1
    shift
    port=$(free_ports 1)
    mkdir -p "$work/$name"
    redis-server --port "$port" --bind 127.0.0.1 --dir "$work/$name" --save '' --daemonize no \
        "$@" >"$work/$name.log" 2>&1 &
    pids+=($!)
    until_true "$bin/sherd-admin" --connect "127.0.0.1:$port" call PING
}

# start_demo NAME ARG...: a cluster; sets port, demo_pid, ready (a JSON file).
start_demo() {
    local name=$1
    shift
    ready=$work/$name.json
    rm -f "$ready"
    "$bin/sherd-admin" demo --dir "$work/$name" --port 0 --ready-file "$ready" "$@" \
        >"$work/$name.out" 2>&1 &
    demo_pid=$!
    pids+=("$demo_pid")
    until_true test -s "$ready" || { cat "$work/$name.out" >&2; return 1; }
    port=$(ready_value 'r["endpoint"].rsplit(":", 1)[1]')
}

# ready_value EXPRESSION: of the ready file, as r.
ready_value() {
    python3 -c "import json; r = json.load(open('$ready')); print($1)"
}

# start_etcd: three members; sets endpoints (HOST:PORT,HOST:PORT,HOST:PORT).
start_etcd() {
    local ports members='' i
    read -r -a ports <<<"$(free_ports 6)"
    for i in 0 1 2; do
        members+="${members:+,}m$i=http://127.0.0.1:${ports[i + 3]}"
    done
    endpoints=''
    for i in 0 1 2; do
        etcd --name "m$i" --data-dir "$work/etcd$i" --logger zap --log-outputs "$work/etcd$i.log" \
            --listen-client-urls "http://127.0.0.1:${ports[i]}" \
            --advertise-client-urls "http://127.0.0.1:${ports[i]}" \
            --listen-peer-urls "http://127.0.0.1:${ports[i + 3]}" \
            --initial-advertise-peer-urls "http://127.0.0.1:${ports[i + 3]}" \
            --initial-cluster "$members" --quota-backend-bytes 8589934592 \
            >"$work/etcd$i.out" 2>&1 &
        pids+=($!)
        endpoints+="${endpoints:+,}127.0.0.1:${ports[i]}"
    done
    until_true "$bin/sherd-bench" --connect "$endpoints" --protocol etcd -c 3 -n 3 --timeout 2 set
}

# start_nutcracker PORT...: a proxy in front of these redis-servers; sets port.
start_nutcracker() {
    local ports server
    read -r -a ports <<<"$(free_ports 2)"
    port=${ports[0]}
    {
        printf 'pool:\n  listen: 127.0.0.1:%s\n  hash: fnv1a_64\n  distribution: ketama\n' "$port"
        printf '  redis: true\n  servers:\n'
        for server in "$@"; do
            printf '   - 127.0.0.1:%s:1\n' "$server"
        done
    } >"$work/nutcracker.yml"
    nutcracker -c "$work/nutcracker.yml" -s "${ports[1]}" -o "$work/nutcracker.log" &
    pids+=($!)
    until_true "$bin/sherd-bench" -p "$port" -c 1 -n 1 --timeout 2 get
}

# measure NAME ARG...: one run of sherd-bench; its line goes to $results with the name.
measure() {
    local name=$1 line
    shift
    line=$("$bin/sherd-bench" --json -t "$seconds" --warmup 1 "$@") || true
    if [ -z "$line" ]; then
        echo "$name: no result" >&2
        return 1
    fi
    python3 - "$name" "$line" >>"$results" <<'PY'
import json, sys
row = json.loads(sys.argv[2])
row["name"] = sys.argv[1]
print(json.dumps(row))
print("%-22s %9.0f/s  p50 %7.0f us  p99 %7.0f us  errors %d" % (
    row["name"], row["ops_per_s"], row["p50_us"], row["p99_us"], row["errors"]), file=sys.stderr)
PY
}
