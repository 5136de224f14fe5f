#!/usr/bin/env bash
# A short set of measurements with `chatctl bench` on a relay with a temporary store, as a table. CPU time a message is the
# figure to compare; the others depend on what else the machine does.
# Usage: bench.sh DIRECTORY-OF-THE-PROGRAMS
set -euo pipefail

programs=${1:?usage: bench.sh DIRECTORY-OF-THE-PROGRAMS}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=relay.sh
. "$here/relay.sh"
trap 'stop_relay; rm -rf "$work"' EXIT

configure warning
start_relay || { tail -n 5 "$log" >&2; echo "relayd did not start" >&2; exit 1; }

ms() { awk -v us="$1" 'BEGIN { printf "%.2f", us / 1000 }'; }

echo "latency from due to delivered, in ms; CPU of relayd in µs a delivered message; batch is commands a commit"
printf '%6s %7s %10s %11s %8s %8s %8s %8s %7s %9s %6s %8s\n' pairs bytes load messages/s p50 p99 p99.9 CPU batch 'kB/conn.' lost doubled
# pairs, body bytes, messages a second (0: as many as the relay takes), seconds
while read -r pairs size rate seconds; do
    options=(--pairs "$pairs" --size "$size" --seconds "$seconds")
    load=saturated
    if [ "$rate" -gt 0 ]; then
        options+=(--rate "$rate")
        load=$rate/s
    fi
    reply=$(chatctl bench "${options[@]}" --json)
    get() { field "$1" <<<"$reply"; }
    printf '%6d %7d %10s %11.0f %8s %8s %8s %8.1f %7.1f %9s %6d %8d\n' "$pairs" "$size" "$load" "$(get messagesPerSecond)" \
        "$(ms "$(get p50Microseconds)")" "$(ms "$(get p99Microseconds)")" "$(ms "$(get p999Microseconds)")" "$(get cpuMicrosecondsPerMessage)" \
        "$(get commandsPerCommit)" "$(get residentBytesPerConnection | awk '{ printf "%.1f", $1 / 1024 }')" "$(get lost)" "$(get doubled)"
done <<SET
1 256 0 5
8 256 0 5
64 256 0 5
64 4096 0 5
8 65536 0 5
64 256 1000 5
500 256 1000 5
SET
