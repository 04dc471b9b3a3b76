#!/usr/bin/env bash
# Bar 3: durable replicated SET of 100 bytes over 50 connections, three nodes and a router on this
# machine, against one redis-server with appendfsync always and three etcd members.
set -euo pipefail
# shellcheck source=tests/bench/lib.sh
source "$(dirname "$0")/lib.sh"

start_demo sherd
sherd=$port
start_redis redis --appendonly yes --appendfsync always
redis=$port
start_etcd

keys=${KEYS:-100000}
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    for pipeline in 1 16; do
        load=(-c 50 -P "$pipeline" --value-size 100 --keys "$keys" --seed "$round" set)
        measure "sherd-P$pipeline" -p "$sherd" "${load[@]}"
        measure "redis-P$pipeline" -p "$redis" "${load[@]}"
        measure "etcd-P$pipeline" --connect "$endpoints" --protocol etcd "${load[@]}"
    done
done
python3 "$here/summary.py" "$results" "sherd-P1 / redis-P1 >= 2.0" "sherd-P1 / etcd-P1 >= 5.0" \
    "sherd-P16 / redis-P16 >= 0.6"
