#!/bin/bash
# redis-cli as people use it: one-shot, RESP3, pipe mode, scans, statistics, an interactive session
# whose connection is killed.
set -u
host=$1 port=$2
prefix="cli:$$:$RANDOM:"
checks=0
cli() { redis-cli -h "$host" -p "$port" "$@"; }

is() { # is WHAT GOT WANTED
    checks=$((checks + 1))
    if [ "$2" != "$3" ]; then
        printf 'redis-cli: %s\n  got:    %q\n  wanted: %q\n' "$1" "$2" "$3"
        exit 1
    fi
}

has() { # has WHAT GOT PART
    checks=$((checks + 1))
    case $2 in
    *"$3"*) ;;
    *)
        printf 'redis-cli: %s\n  got:    %q\n  wanted in it: %q\n' "$1" "$2" "$3"
        exit 1
        ;;
    esac
}

is ping "$(cli ping)" PONG
is "ping with text" "$(cli ping hello)" hello
is "ping in RESP3" "$(cli -3 ping)" PONG
is set "$(cli set "${prefix}a" 'a b c')" OK
is get "$(cli get "${prefix}a")" 'a b c'
is "get of nothing" "$(cli get "${prefix}none")" ''
is "get of nothing, RESP3, as JSON" "$(cli -3 --json get "${prefix}none")" null
is append "$(cli append "${prefix}a" '!')" 6
is strlen "$(cli strlen "${prefix}a")" 6
is getrange "$(cli getrange "${prefix}a" 2 4)" 'b c'
is incr "$(cli incr "${prefix}n")" 1
is incrby "$(cli incrby "${prefix}n" 41)" 42
is incrbyfloat "$(cli incrbyfloat "${prefix}f" 2.5)" 2.5
is mset "$(cli mset "${prefix}m1" 1 "${prefix}m2" 2 "${prefix}m3" 3)" OK
is mget "$(cli mget "${prefix}m1" "${prefix}m2" "${prefix}none" "${prefix}m3")" $'1\n2\n\n3'
is exists "$(cli exists "${prefix}m1" "${prefix}m2" "${prefix}none")" 2
is del "$(cli del "${prefix}m1" "${prefix}m2" "${prefix}none")" 2
is type "$(cli type "${prefix}a")" string
is "set ex" "$(cli set "${prefix}t" v ex 100)" OK
ttl=$(cli ttl "${prefix}t")
is "ttl is near 100" "$([ "$ttl" -ge 95 ] && [ "$ttl" -le 100 ] && echo yes)" yes
is persist "$(cli persist "${prefix}t")" 1
is "ttl of what stays" "$(cli ttl "${prefix}t")" -1
is "set px" "$(cli set "${prefix}p" v px 1)" OK
for _ in $(seq 200); do
    [ "$(cli exists "${prefix}p")" = 0 ] && break
    sleep 0.01
done
is "it expires" "$(cli get "${prefix}p")" ''

has "wrong arity" "$(cli get 2>&1)" "ERR wrong number of arguments for 'get' command"
has "unknown command" "$(cli flyaway now 2>&1)" "ERR unknown command 'flyaway'"
has "not an integer" "$(cli incr "${prefix}a" 2>&1)" 'ERR value is not an integer or out of range'
cli -e incr "${prefix}a" >/dev/null 2>&1
is "exit code of an error with -e" $? 1

has "info server" "$(cli info server)" redis_version:7
has "info replication" "$(cli info replication)" role:master
has "config get" "$(cli config get maxclients)" maxclients
has "command docs" "$(cli command docs get)" summary
is "command count is a number" "$([ "$(cli command count)" -gt 40 ] && echo yes)" yes
has "client list" "$(cli client list)" cmd=client
has "cluster" "$(cli cluster info 2>&1)" 'ERR This instance has cluster support disabled'
is "select 0" "$(cli -n 0 get "${prefix}a")" 'a b c!'

# Mass insertion as in the manual: raw protocol into --pipe, and every key is then found by a scan.
count=3000
piped=$(for ((i = 0; i < count; i++)); do
    key="${prefix}pipe:$i"
    printf '*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n' ${#key} "$key" ${#i} "$i"
done | cli --pipe)
has "pipe mode" "$piped" "errors: 0, replies: $count"
is "scan finds each once" "$(cli --scan --pattern "${prefix}pipe:*" | sort -u | wc -l)" $count
is "scan finds none twice" "$(cli --scan --pattern "${prefix}pipe:*" | sort | uniq -d | wc -l)" 0
is "a value that was piped" "$(cli get "${prefix}pipe:2999")" 2999
is "dbsize is at least that" "$([ "$(cli dbsize)" -ge $count ] && echo yes)" yes
has "bigkeys" "$(cli --bigkeys)" 'Biggest string found'
has "repeat" "$(cli -r 3 incr "${prefix}r")" 3
is "binary from stdin" "$(printf 'x\0y' | cli -x set "${prefix}bin")" OK
is "its length" "$(cli strlen "${prefix}bin")" 3

# Inline commands, as typed into nc.
exec 5<>"/dev/tcp/$host/$port"
printf 'PING\r\nSET %sinline "two words"\r\nGET %sinline\r\nQUIT\r\n' "$prefix" "$prefix" >&5
is inline "$(tr -d '\r' <&5)" $'+PONG\n+OK\n$9\ntwo words\n+OK'
exec 5>&-

# A session that survives the loss of its connection: redis-cli connects again by itself.
coproc SESSION { redis-cli -h "$host" -p "$port" 2>&1; }
echo 'CLIENT ID' >&"${SESSION[1]}"
read -r id <&"${SESSION[0]}"
is "client id is a number" "$([ "$id" -gt 0 ] && echo yes)" yes
is "client kill" "$(cli client kill id "$id")" 1
answer=''
for _ in 1 2 3; do
    echo 'PING' >&"${SESSION[1]}"
    read -r -t 5 answer <&"${SESSION[0]}"
    [ "$answer" = PONG ] && break
done
is "it connects again" "$answer" PONG
session_pid=$SESSION_PID
exec {SESSION[1]}>&-
wait "$session_pid"

is unlink "$(cli unlink "${prefix}a" "${prefix}n")" 2
echo "redis-cli: $checks checks"
