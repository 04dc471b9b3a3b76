#!/usr/bin/env bash
# Durable replicated writes of every type over 50 connections without pipelining, three nodes and a
# router on this machine, against our own SET and against redis-server with appendfsync always. Each
# round takes new keys, so that collections stay as small as users' mostly are.
set -euo pipefail
# shellcheck source=tests/bench/lib.sh
source "$(dirname "$0")/lib.sh"

start_demo sherd
sherd=$port
start_redis redis --appendonly yes --appendfsync always
redis=$port

keys=${KEYS:-100000}
for ((round = 1; round <= rounds; round++)); do
    echo "round $round of $rounds" >&2
    for kind in set hset lpush sadd zadd xadd limiter; do
        load=(-c 50 --value-size 100 --keys "$keys" --seed "$round" "$kind")
        measure "sherd-$kind" -p "$sherd" "${load[@]}"
        case $kind in
        lpush | zadd) measure "redis-$kind" -p "$redis" "${load[@]}" ;;
        esac
    done
done
python3 "$here/summary.py" "$results" "sherd-hset / sherd-set >= 0.6" \
    "sherd-lpush / sherd-set >= 0.6" "sherd-sadd / sherd-set >= 0.6" \
    "sherd-zadd / sherd-set >= 0.6" "sherd-xadd / sherd-set >= 0.6" \
    "sherd-limiter / sherd-set >= 0.6" "sherd-lpush / redis-lpush >= 1.2" \
    "sherd-zadd / redis-zadd >= 1.2"
