#!/usr/bin/env bash
# Bar 4: GET of 100 bytes over 50 connections. Through the router against nutcracker in front of
# three redis-servers; from a node directly against one redis-server. That node is a cluster of its
# own, so that it leads every shard and nothing is redirected.
set -euo pipefail
# shellcheck source=tests/bench/lib.sh
source "$(dirname "$0")/lib.sh"

start_demo sherd
sherd=$port
start_demo single --nodes 1
node=$(ready_value 'r["nodes"][0]["address"].rsplit(":", 1)[1]')
servers=()
for i in 1 2 3; do
    start_redis "redis$i"
    servers+=("$port")
done
redis=${servers[0]}
start_nutcracker "${servers[@]}"
proxy=$port

keys=${KEYS:-100000}
load=(-c 50 --value-size 100 --keys "$keys")
for target in "$sherd" "$proxy" "$node" "$redis"; do
    "$bin/sherd-bench" -p "$target" -c 50 -P 16 --keys "$keys" --dist seq -n "$keys" set >/dev/null
done
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    for pipeline in 1 16; do
        now=("${load[@]}" -P "$pipeline" --seed "$round" get)
        measure "router-P$pipeline" -p "$sherd" "${now[@]}"
        measure "nutcracker-P$pipeline" -p "$proxy" "${now[@]}"
        measure "node-P$pipeline" -p "$node" "${now[@]}"
        measure "redis-P$pipeline" -p "$redis" "${now[@]}"
    done
done
python3 "$here/summary.py" "$results" "router-P1 / nutcracker-P1 >= 1.0" "node-P1 / redis-P1 >= 0.7"
