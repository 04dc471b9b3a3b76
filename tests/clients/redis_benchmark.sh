#!/bin/bash
# redis-benchmark must run to the end without an error or a warning, in the ways people call it.
set -u
host=$1 port=$2

run() {
    out=$(redis-benchmark -h "$host" -p "$port" -q "$@" 2>&1 | tr '\r' '\n')
    code=${PIPESTATUS[0]}
    last=$(printf '%s\n' "$out" | grep 'requests per second')
    if [ "$code" != 0 ] || [ -z "$last" ] || grep -qiE 'error|warning|ERR ' <<<"$out"; then
        printf 'redis-benchmark %s: exit %s\n%s\n' "$*" "$code" "$(printf '%s' "$out" | tail -5)"
        exit 1
    fi
    printf '%s\n' "$last"
}

run -n 5000 -c 50 -t ping,set,get,incr
run -n 5000 -c 50 -t set,get -r 100000 -d 100
run -n 20000 -c 50 -P 16 -t set,get,incr -r 100000
run -n 2000 -c 20 -t mset -r 100000
run -n 5000 -c 20 --threads 2 -t set,get
run -n 2000 -c 10 -3 -t set,get
run -n 1000 -c 10 -d 10000 -t set,get
run -n 2000 -c 10 -r 1000 append 'app:__rand_int__' x
# Every key of the last run but one is there.
keys=$(redis-cli -h "$host" -p "$port" --scan --pattern 'app:*' | wc -l)
[ "$keys" -gt 500 ] || { echo "only $keys keys of 1000 were written"; exit 1; }
