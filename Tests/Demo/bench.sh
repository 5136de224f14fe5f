#!/usr/bin/env bash
# Holds relayd against its marks with `chatctl bench` on temporary stores: prints a table and writes latest.json.
# CPU time a message is the figure to compare; the others depend on what else the machine does. What is not met is printed;
# only a broken promise (lost, doubled, out of order, corrupted) fails.
# Usage: bench.sh DIRECTORY-OF-THE-PROGRAMS [DIRECTORY-FOR-latest.json]
#   SHORT=1  all loads, small and for a second each: what the tests run. Its figures say nothing.
#   SURGE=0  leaves the surge out, which takes a minute and a half.
set -euo pipefail

programs=${1:?usage: bench.sh DIRECTORY-OF-THE-PROGRAMS [DIRECTORY-FOR-latest.json]}
target=${2:-.build/bench}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=relay.sh
. "$here/relay.sh"
replies=$work/replies
mkdir -p "$replies" "$target"
trap 'stop_relay; rm -rf "$work"' EXIT

# The value at a path such as cost.cores in a reply of chatctl, which is indented JSON, one key a line; nothing when it is not there.
value() {
    awk -v path="$2" '
        { line = $0; sub(/^ +/, "", line); depth = int((length($0) - length(line)) / 2) }
        match(line, /^"[^"]*"/) {
            keys[depth] = substr(line, 2, RLENGTH - 2)
            here = keys[1]
            for (i = 2; i <= depth; i++) here = here "." keys[i]
            if (here == path) { sub(/^"[^"]*" *: */, "", line); sub(/,$/, "", line); gsub(/"/, "", line); print line; exit }
        }' "$1"
}

broken=
lost=0
doubled=0

# run NAME LOAD OPTION... keeps the reply as NAME. A reply that says that a promise was broken is kept; without one the bench ends.
run() {
    local reply=$replies/$1 name=$1
    shift
    [ ! -t 2 ] || echo "chatctl bench $*" >&2
    if ! chatctl bench "$@" --json >"$reply" 2>"$work/errors"; then
        cat "$work/errors" >&2
        [ -s "$reply" ] || { tail -n 5 "$log" >&2; return 1; }
        broken="$broken $name"
    fi
    lost=$((lost + $(value "$reply" verdict.lost)))
    doubled=$((doubled + $(value "$reply" verdict.doubled)))
}

# A relay on an empty store, so that no mark depends on what was measured before it.
fresh_relay() {
    stop_relay
    rm -f "$work"/relay.db*
    start_relay || { tail -n 5 "$log" >&2; echo "relayd did not start" >&2; exit 1; }
}

# The median of a path over the replies NAME.1, NAME.2, ...
median() {
    local reply
    for reply in "$replies/$1".*; do value "$reply" "$2"; done | sort -g | awk '{ v[NR] = $1 } END { if (NR) print v[int((NR + 1) / 2)] }'
}

divide() { [ -z "$1" ] || awk -v a="$1" -v b="$2" -v d="${3:-2}" 'BEGIN { printf "%.*f", d, a / b }'; }

# ---- The machine ----

cpu=$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)
cores=$(nproc)
kernel=$(uname -sr)
memory=$(awk '/^MemTotal/ { printf "%.0f", $2 / 1048576 }' /proc/meminfo)
# Seconds for 200 synchronous writes of 4 KB, one after the other, on the disk that the store is on.
fsync=$(LC_ALL=C dd if=/dev/zero of="$work/fsync" bs=4k count=200 oflag=dsync 2>&1 | sed -n 's/^.*copied, \([0-9.e-]*\) s.*$/\1/p')
fsync=$(divide "$fsync" 0.2 3)
rm -f "$work/fsync"
commit=$(git -C "$here" describe --always --dirty 2>/dev/null || echo unknown)
version=$("$programs/relayd" --version 2>/dev/null | head -n 1)

# ---- The loads ----

rounds=3 pairs=100 seconds=5 slow=10 members=1000 fanout=10 stored=100000 missed=50000 some=10000 many=19000 every=60 seed=60 surge=60 contacts=1000 devices=5 calls=50
if [ -n "${SHORT:-}" ]; then
    rounds=1 pairs=10 seconds=1 slow=1 members=20 fanout=1 stored=1000 missed=500 some=50 many=100 every=1 seed=2 surge=1 contacts=10 devices=2 calls=1
fi

configure warning
fresh_relay
for round in $(seq $rounds); do
    run "small.$round" pairs --pairs $pairs --size 200 --seconds $seconds
    run "large.$round" pairs --pairs $pairs --size 4096 --seconds $seconds
done
# Nothing of what was saturated may still be on its way to the disk.
fresh_relay
sync
# The store's file itself is written by checkpoints only.
before=$(stat -c %Y.%s "$work/relay.db")
for round in $(seq $rounds); do run "steady.$round" pairs --pairs $pairs --size 200 --rate 1000 --seconds $slow; done
checkpoints=no
[ "$(stat -c %Y.%s "$work/relay.db")" = "$before" ] || checkpoints=yes
fresh_relay
for round in $(seq $rounds); do run "offline.$round" offline --pairs $pairs --size 200 --messages $stored --backlog $missed; done
fresh_relay
run "fanout.1" fanout --members $members ${SHORT:+--devices 2} --size 200 --seconds $fanout
# Far below saturation, so that the last copy waits for its own message's copies only.
run "spread.1" fanout --members $members --size 200 --rate 5 --seconds $fanout
fresh_relay
run "idle.1" idle --connections $some --connections $many
fresh_relay
run "seed.1" seed --connections $many --every $every --seconds $seed
fresh_relay
run "keys.1" keys --contacts $contacts --devices $devices
if [ "${SURGE:-1}" != 0 ]; then
    fresh_relay
    run "surge.1" surge --seconds $surge ${SHORT:+--pairs 20}
fi

stop_relay
"$here/commands.sh" "$programs" $calls >"$work/commands"

# ---- The results ----

# What a line of the commands' table says: milliseconds of wall time.
wall() { awk -v command="$1" '{ $1 = $1; name = $0; sub(/^[^ ]+ [^ ]+ /, "", name) } name == command { print $1 }' "$work/commands"; }

# Bytes a connection at the first or the second step of the idle load.
idle() { sed -n 's/^.*"bytesPerConnection" : \([0-9]*\).*$/\1/p' "$replies/idle.1" | sed -n "$1p"; }

one_to_one_200_cpu_us=$(median small cost.cpuMicrosecondsPerMessage)
one_to_one_4k_cpu_us=$(median large cost.cpuMicrosecondsPerMessage)
one_to_one_200_msgs_per_s=$(median small cost.messagesPerSecond)
p99_ms_at_1000=$(divide "$(median steady latency.p99Microseconds)" 1000)
p999_ms_at_1000=$(divide "$(median steady latency.p999Microseconds)" 1000)
fanout_1000_cpu_us=$(median fanout cost.cpuMicrosecondsPerMessage)
fanout_1000_last_ms=$(divide "$(median spread dueToLast.p99Microseconds)" 1000)
fanout_first_to_last_ms=$(divide "$(median spread firstToLast.p99Microseconds)" 1000)
store_cpu_us=$(median offline store.cpuMicrosecondsPerMessage)
drain_cpu_us=$(median offline drain.cpuMicrosecondsPerMessage)
idle_kb_10k=$(divide "$(idle 1)" 1024)
idle_kb_19k=$(divide "$(idle 2)" 1024)
seed_load_p99_ms=$(divide "$(median seed latency.p99Microseconds)" 1000)
seed_load_cores=$(median seed cost.cores)
key_change_last_ms=$(divide "$(median keys changeToLast.maxMicroseconds)" 1000)
key_change_cpu_us=$(median keys cost.cpuMicrosecondsPerMessage)
command_status_ms=$(wall "chatctl status")
command_slowest_ms=$(awk 'NR == 2 { print $1 }' "$work/commands")
command_slowest=$(awk 'NR == 2 { $1 = $2 = ""; sub(/^ +/, ""); print }' "$work/commands")

# row WHAT MEASURED MARK UNIT. Without a mark it is a figure only, as most are in the short form.
row() {
    local met
    met=$(awk -v m="$2" -v b="$3" 'BEGIN { print (m == "" ? "not measured" : b == "" ? "-" : m <= b ? "met" : "NOT MET") }')
    printf '%-50s %10s %8s  %-12s  %s\n' "$1" "${2:--}" "${3:+<= $3}" "$met" "$4"
}

# A mark of the full form.
mark() { [ -n "${SHORT:-}" ] || printf '%s' "$1"; }

cat <<HEAD
$cpu, $cores cores, $memory GB, $kernel; a synchronous write takes $fsync ms
$version, commit $commit

HEAD
printf '%-50s %10s %8s  %-12s  %s\n' WHAT MEASURED MARK "" UNIT
row "one-to-one, 200 B, saturated" "$one_to_one_200_cpu_us" "$(mark 25)" "µs CPU a message"
row "one-to-one, 200 B, saturated" "$one_to_one_200_msgs_per_s" "" "messages/s"
row "one-to-one, 4 KB, saturated" "$one_to_one_4k_cpu_us" "$(mark 40)" "µs CPU a message"
row "end to end at 1,000/s, p99" "$p99_ms_at_1000" "$(mark 2)" ms
row "end to end at 1,000/s, p99.9 (checkpoints: $checkpoints)" "$p999_ms_at_1000" "$(mark 20)" ms
row "group of $members, saturated" "$fanout_1000_cpu_us" "$(mark 15)" "µs CPU a copy"
row "group of $members, from due to last copy, p99" "$fanout_1000_last_ms" "$(mark 50)" ms
row "offline, store" "$store_cpu_us" "$(mark 20)" "µs CPU a message"
row "offline, drain" "$drain_cpu_us" "$(mark 10)" "µs CPU a message"
row "offline, others while $missed are drained, p99" "$(divide "$(median offline backlog.live.p99Microseconds)" 1000)" "" ms
row "idle connection, $some of them" "$idle_kb_10k" "$(mark 4)" "KB of memory"
row "idle connection, $many of them" "$idle_kb_19k" "$(mark 4)" "KB of memory"
row "$many connections, 4 KB every $every s, p99" "$seed_load_p99_ms" "$(mark 50)" ms
row "$many connections, 4 KB every $every s" "$seed_load_cores" "$(mark 0.10)" "cores of relayd"
row "key change, $contacts contacts with $devices devices, at most" "$key_change_last_ms" "$(mark 1000)" "ms to the last device"
row "key change, $contacts contacts with $devices devices" "$key_change_cpu_us" "" "µs CPU a device told"
row "chatctl status" "$command_status_ms" "$(mark 10)" "ms"
row "the slowest command that only reads" "$command_slowest_ms" "$(mark 10)" "ms, $command_slowest"
if [ -e "$replies/surge.1" ]; then
    row "surge of 10x for $surge s, memory at most" "$(divide "$(value "$replies/surge.1" residentBytesPeak)" 1048576 1)" "" MB
    row "surge of 10x for $surge s, latency normal after" "$(value "$replies/surge.1" recoverySeconds)" "" s
fi
row "lost" "$lost" 0 messages
row "doubled" "$doubled" 0 messages
echo
echo "chatctl itself took $(median small cost.generatorMicrosecondsPerMessage) µs a message of the first line, on the same cores."
[ -z "${SHORT:-}" ] || echo "This was the short form: the figures say nothing."

# ---- latest.json ----

number() { printf '%s' "${1:-null}"; }
text() { printf '"%s"' "$(printf '%s' "$1" | sed 's/[\\"]/\\&/g')"; }
cat >"$target/latest.json.new" <<JSON
{
  "one_to_one_200_cpu_us": $(number "$one_to_one_200_cpu_us"),
  "one_to_one_4k_cpu_us": $(number "$one_to_one_4k_cpu_us"),
  "one_to_one_200_msgs_per_s": $(number "$one_to_one_200_msgs_per_s"),
  "p99_ms_at_1000": $(number "$p99_ms_at_1000"),
  "p999_ms_at_1000": $(number "$p999_ms_at_1000"),
  "fanout_1000_cpu_us": $(number "$fanout_1000_cpu_us"),
  "fanout_1000_last_ms": $(number "$fanout_1000_last_ms"),
  "store_cpu_us": $(number "$store_cpu_us"),
  "drain_cpu_us": $(number "$drain_cpu_us"),
  "idle_kb_10k": $(number "$idle_kb_10k"),
  "idle_kb_19k": $(number "$idle_kb_19k"),
  "seed_load_p99_ms": $(number "$seed_load_p99_ms"),
  "seed_load_cores": $(number "$seed_load_cores"),
  "key_change_last_ms": $(number "$key_change_last_ms"),
  "key_change_cpu_us": $(number "$key_change_cpu_us"),
  "command_status_ms": $(number "$command_status_ms"),
  "command_slowest_ms": $(number "$command_slowest_ms"),
  "lost": $lost,
  "doubled": $doubled,
  "context": {
    "at": $(text "$(date -u +%Y-%m-%dT%H:%M:%SZ)"),
    "commit": $(text "$commit"),
    "version": $(text "$version"),
    "short": $([ -n "${SHORT:-}" ] && echo true || echo false),
    "broken": $(text "${broken# }"),
    "machine": {
      "cpu": $(text "$cpu"), "cores": $cores, "memory_gb": $memory, "kernel": $(text "$kernel"), "synchronous_write_ms": $(number "$fsync")
    },
    "checkpoints_during_p999": $(text "$checkpoints"),
    "generator_cpu_us": $(number "$(median small cost.generatorMicrosecondsPerMessage)"),
    "commands_per_commit": $(number "$(median small cost.commandsPerCommit)"),
    "fanout_first_to_last_ms": $(number "$fanout_first_to_last_ms"),
    "backlog_messages_per_s": $(number "$(median offline backlog.messagesPerSecond)"),
    "surge_recovery_s": $(number "$(value "$replies/surge.1" recoverySeconds 2>/dev/null)"),
    "surge_peak_bytes": $(number "$(value "$replies/surge.1" residentBytesPeak 2>/dev/null)")
  }
}
JSON
mv "$target/latest.json.new" "$target/latest.json"

[ -z "$broken" ] || { echo "promises were broken in:$broken" >&2; exit 1; }
