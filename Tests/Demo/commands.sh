#!/usr/bin/env bash
# How long chatctl's commands that only read take on a small relay of their own: the median of the wall time, from before the fork to after the wait,
# and the CPU time of chatctl, both in milliseconds, one command a line, the slowest first. Needs an idle machine.
# Usage: commands.sh DIRECTORY-OF-THE-PROGRAMS [RUNS]
set -euo pipefail

programs=$(cd "${1:?usage: commands.sh DIRECTORY-OF-THE-PROGRAMS [RUNS]}" && pwd)
runs=${2:-50}
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=relay.sh
. "$here/relay.sh"
trap 'stop_relay; rm -rf "$work"' EXIT
export TIMEFORMAT='%U %S'

configure warning
start_relay || { tail -n 5 "$log" >&2; echo "relayd did not start" >&2; exit 1; }

# Two people who know each other, with a device each, and a message.
cd "$work"
phone="--state alice"
for name in alice bob; do
    chatctl client enrol "$(chatctl user add "$name" --json | field link)" --state "$name" --device phone >/dev/null
done
chatctl contact add alice bob --reason "commands.sh" >/dev/null
chatctl client send "hello" --to bob $phone --wait sent >/dev/null
device=$(chatctl device list --user alice --json | field id)

# measure COMMAND...
measure() {
    local run before cpu
    chatctl "$@" >/dev/null 2>&1 || [ $? = 1 ] || { echo "chatctl $* failed" >&2; exit 1; }
    cpu=$( { time for run in $(seq "$runs"); do
        before=${EPOCHREALTIME/[.,]/}
        "$programs/chatctl" "$@" >/dev/null 2>&1 || true
        echo $((${EPOCHREALTIME/[.,]/} - before))
    done >walls; } 2>&1)
    sort -n walls | awk -v cpu="$cpu" -v command="$*" '
        { wall[NR] = $1 }
        END { split(cpu, part, " "); printf "%8.1f %8.1f  chatctl %s\n", wall[int((NR + 1) / 2)] / 1000, (part[1] + part[2]) * 1000 / NR, command }'
}

printf '%8s %8s\n' WALL CPU
while read -r -a command; do measure "${command[@]}"; done <<COMMANDS | sort -rn
--version
status
status --json
top --count 1
user list
user show alice
user erase plan bob
user erase status
invite list
device list
device show $device
key list
key show $device
key audit
contact list --user alice
block list
block audit
retention show
retention plan
retention status
retention verify
alert list
alert kinds
metrics show
metrics show --prometheus
metrics history
metrics people
metrics budget
presence summary
config show
config diff
health live
health ready
audit list
audit verify
backup list
client status $phone
client outbox $phone
client history $phone
client contacts list $phone
client group list $phone
client keys show $phone
client safety show bob $phone
COMMANDS
