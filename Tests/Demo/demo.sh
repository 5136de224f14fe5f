#!/usr/bin/env bash
# The whole product on one screen: a relay on a temporary store, two people with three devices, and a real text in many
# scripts that travels between them through an absence and a crash. Exit 0 when every promise held, else 1 and the reason.
# Usage: demo.sh DIRECTORY-OF-THE-PROGRAMS      (KEEP=1 leaves the relay running)
set -euo pipefail
export LC_ALL=C.UTF-8

programs=${1:?usage: demo.sh DIRECTORY-OF-THE-PROGRAMS}
here=$(cd "$(dirname "$0")" && pwd)
text=$here/text/messages.txt
total=$(wc -l <"$text")
first_part=$((total / 3))
kill_at=$((total * 3 / 5))
began=$SECONDS

# shellcheck source=relay.sh
. "$here/relay.sh"
listeners=()
finished=

say() { printf '%s\n' "$*"; }
step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[ -t 1 ] || step() { printf '\n%s\n' "$*"; }
fail() {
    printf '\ndemo FAILED: %s\n' "$*" >&2
    if [ -s "$log" ]; then printf 'the last lines of the relay'\''s log:\n' >&2; tail -n 5 "$log" >&2; fi
    exit 1
}

clean_up() {
    for listener in "${listeners[@]}"; do kill "$listener" 2>/dev/null || true; done
    if [ -n "$finished" ] && [ "${KEEP:-}" = 1 ]; then return; fi
    stop_relay
    rm -rf "$work"
}
trap clean_up EXIT
trap 'fail "interrupted"' INT TERM

received() { wc -l <"$work/$1.received"; }

# Runs a device in the background; every message that it shows becomes a line of $work/NAME.received.
listen() {
    local device=$1
    shift
    "$programs/chatctl" client listen --state "$work/$device" --json "$@" >>"$work/$device.received" 2>>"$work/$device.errors" &
    listeners+=($!)
    listener=$!
}

# Waits until a device has shown that many messages, with a line of progress now and then.
wait_for() {
    local device=$1 wanted=$2 deadline=$((SECONDS + 240)) shown=-1 now
    while now=$(received "$device"); [ "$now" -lt "$wanted" ]; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$device has $now of $wanted messages after four minutes"
        if [ $((now / 200)) -ne "$shown" ]; then
            shown=$((now / 200))
            [ "$now" -eq 0 ] || say "  $device has $now of $total"
        fi
        sleep 0.01
    done
}

step "1. An operator starts a relay and adds two people"
configure debug
start_relay || fail "relayd did not start"
say "  relayd listens on 127.0.0.1:$port, process $relay, store $work/relay.db"
alice_link=$(chatctl user add alice --json | field link)
bob_link=$(chatctl user add bob --json | field link)
[ -n "$alice_link" ] && [ -n "$bob_link" ] || fail "chatctl user add printed no invite link"
say "  chatctl user add alice   → $alice_link"
say "  chatctl user add bob     → $bob_link"

step "2. Three devices enrol, each with its own keys and its own invite"
chatctl client enrol "$alice_link" --state "$work/alice.phone" --device phone >/dev/null || fail "alice.phone could not enrol"
laptop_link=$(chatctl invite create alice --json | field link)
chatctl client enrol "$laptop_link" --state "$work/alice.laptop" --device laptop >/dev/null || fail "alice.laptop could not enrol"
chatctl client enrol "$bob_link" --state "$work/bob.phone" --device phone >/dev/null || fail "bob.phone could not enrol"
chatctl device list | sed 's/^/  /'

chatctl client send "too early" --state "$work/alice.phone" --to bob >/dev/null 2>"$work/early.errors" \
    && fail "a message passed before bob accepted"
grep -q not_contact "$work/early.errors" || { cat "$work/early.errors" >&2; fail "a message before the request was not refused as it should be"; }
chatctl client contacts request bob --state "$work/alice.phone" >/dev/null || fail "alice.phone could not ask bob"
chatctl client listen --state "$work/bob.phone" --until-caught-up --timeout 60 >/dev/null 2>&1 || fail "bob.phone could not catch up"
chatctl client contacts list --state "$work/bob.phone" | sed 's/^/  /'
chatctl client contacts accept alice --state "$work/bob.phone" >/dev/null || fail "bob.phone could not accept alice"
say "  before bob accepts, the relay refuses what alice writes; now they are contacts"

step "3. alice.phone sends bob $total messages: real text in many scripts, one line a message"
for device in alice.laptop bob.phone; do : >"$work/$device.received"; done
listen alice.laptop
listen bob.phone --read
bob=$listener
head -n "$first_part" "$text" >"$work/part1"
tail -n "+$((first_part + 1))" "$text" >"$work/part2"
chatctl client send --state "$work/alice.phone" --to bob --file "$work/part1" --wait delivered >/dev/null \
    || fail "alice.phone could not send the first part"
wait_for bob.phone "$first_part"
wait_for alice.laptop "$first_part"
say "  the first $first_part are delivered; bob.phone has read them"

kill "$bob" 2>/dev/null || true
wait "$bob" 2>/dev/null || true
say "  bob.phone goes offline"

"$programs/chatctl" client send --state "$work/alice.phone" --to bob --file "$work/part2" --wait sent >"$work/send.output" 2>&1 &
sender=$!
wait_for alice.laptop "$kill_at"
kill -9 "$relay"
at_kill=$(received alice.laptop)
kill -0 "$sender" 2>/dev/null || fail "the sender was done before the relay was killed"
[ "$at_kill" -lt "$total" ] || fail "all messages were through before the relay was killed"
say "  kill -9 of relayd after $at_kill messages, in the middle of sending"
while kill -0 "$relay" 2>/dev/null; do sleep 0.05; done
start_relay || fail "relayd did not start again"
say "  relayd is back on the same store, process $relay; alice.phone goes on by itself"
wait "$sender" || { cat "$work/send.output" >&2; fail "alice.phone could not send the second part"; }
wait_for alice.laptop "$total"
say "  every message is on the relay's disk"

say "  bob.phone comes back"
listen bob.phone --read
wait_for bob.phone "$total"
chatctl client listen --state "$work/alice.phone" --until-caught-up --timeout 60 >/dev/null || fail "alice.phone could not catch up"
say "  bob.phone has all of it"

step "4. What the devices hold"
chatctl client history --state "$work/bob.phone" --chat-with alice --raw >"$work/bob.history"
chatctl client history --state "$work/alice.laptop" --chat-with bob --raw >"$work/laptop.history"
for number in 40 260 480 700 920 1140; do
    line=$(sed -n "${number}p" "$work/bob.history")
    printf '  %5d  %s\n' "$number" "${line:0:70}"
done
cmp "$text" "$work/bob.history" >&2 || fail "bob.phone's history differs from the text"
cmp "$text" "$work/laptop.history" >&2 || fail "alice.laptop's history differs from the text"
say "  bob.phone and alice.laptop hold the text byte for byte ($(stat -c %s "$text") bytes), in order"
[ "$(received bob.phone)" -eq "$total" ] || fail "bob.phone was shown $(received bob.phone) messages instead of $total"
[ "$(received alice.laptop)" -eq "$total" ] || fail "alice.laptop was shown $(received alice.laptop) messages instead of $total"
say "  nothing was shown twice"
status=$(chatctl client status --state "$work/alice.phone" --json)
for count in sent delivered read; do
    value=$(field "$count" <<<"$status")
    [ "$value" = "$total" ] || { say "$status" >&2; fail "alice.phone shows $count: ${value:-nothing} instead of $total"; }
done
say "  alice.phone shows all $total sent, delivered and read"

step "5. What the relay can read: its store, its log, its memory"
LC_ALL=C awk 'length($0) > 24' "$text" >"$work/needles"
needles=$(wc -l <"$work/needles")
chatctl status | sed 's/^/  /'
(cd "$work" && gcore -o "$work/core" "$relay" >"$work/gcore.output" 2>&1) || { cat "$work/gcore.output" >&2; fail "gcore could not dump the relay's memory"; }
found() { LC_ALL=C grep -a -F -c -f "$work/needles" || true; }
for file in relay.db relay.db-wal relayd.log "core.$relay"; do
    [ -e "$work/$file" ] || { [ "$file" = relay.db-wal ] && continue; fail "there is no $file to search"; }
    # The search must be able to find: a copy with one line of the text behind it has exactly one hit more.
    hits=$(found <"$work/$file")
    with_canary=$({ cat "$work/$file"; echo; sed -n "$((needles / 2))p" "$work/needles"; } | found)
    [ "$with_canary" -eq $((hits + 1)) ] || fail "the search in $file does not find a planted line"
    [ "$hits" -eq 0 ] || fail "$hits lines of $file contain plaintext"
    printf '  %-14s %9d bytes: none of %d lines of the text (a planted one is found)\n' "${file/core.*/core of relayd}" "$(stat -c %s "$work/$file")" "$needles"
done
rm -f "$work/core.$relay"

finished=1
if [ "${KEEP:-}" = 1 ]; then
    step "The relay keeps running. What to type next:"
    cat <<NEXT
  export CHATCTL_SOCKET=$CHATCTL_SOCKET PATH="$programs:\$PATH"
  chatctl status
  chatctl user list
  chatctl client listen --state $work/bob.phone                    # in a second terminal
  echo 'hello' | chatctl client send --state $work/alice.phone --to bob --file -
  chatctl client history --state $work/bob.phone --chat-with alice
  kill $relay && rm -rf $work                      # when you are done
NEXT
fi
printf '\ndemo passed: %d messages to 2 devices in %d s, through an absence and a kill -9: all there, in order, once; the relay read none of it\n' \
    "$total" "$((SECONDS - began))"
