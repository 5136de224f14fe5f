#!/usr/bin/env bash
# Goes through the life of a relay on a fresh Debian 12 under a real systemd: installs the packages, does what they say, gives it a certificate, sends
# messages over TLS from one account of the machine to another, reloads, renews, restarts, kills, hangs, stops under load, backs up, restores, upgrades
# and purges, and looks each time whether every message is there, once and in order. As root, on a machine that can be thrown away: accounts and a trusted
# authority are added, and everything of relayd is deleted.
#
#   packaging/try-on-debian.sh [--previous DIRECTORY] relayd_VERSION_ARCH.deb chatctl_VERSION_ARCH.deb
#
# --previous: the packages of an earlier version, from which it is upgraded. Without it: the same packages under a lower number.
# Exit status 0 when everything held, else 1, with the reason.
set -euo pipefail
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive NO_COLOR=1 SYSTEMD_PAGER=

previous=
if [ "${1:-}" = --previous ]; then previous=$(cd "$2" && pwd); shift 2; fi
[[ $# -eq 2 && ${1##*/} == relayd_* && ${2##*/} == chatctl_* ]] || { sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 64; }
debs=()
for deb; do
    [ -f "$deb" ] || { echo "there is no $deb" >&2; exit 64; }
    debs+=("$(readlink -f "$deb")")
done

step() { printf '\n%s\n' "$*"; }
say() { printf '  %s\n' "$*"; }
fail() {
    printf '\nFAILED: %s\n' "$*" >&2
    journalctl -u relayd -n 20 --no-pager --output=short-monotonic 2>/dev/null | sed 's/^/  /' >&2 || true
    exit 1
}
# The account is this script's own.
bob_listens() { pgrep -u relay-bob -x chatctl >/dev/null; }
bob_is_quiet() { ! bob_listens; }
hush_bob() { pkill -TERM -u relay-bob -x chatctl 2>/dev/null || true; await "bob's client ends" bob_is_quiet; }
# Before anything is cleaned up: what is here already is somebody else's.
[ "$(id -u)" -eq 0 ] || fail "this needs root"
[ -d /run/systemd/system ] || fail "this needs a running systemd"
[ ! -e /var/lib/relayd ] && ! command -v relayd >/dev/null || fail "there is a relayd already: this is for a fresh machine"

work=$(mktemp -d)
chmod 755 "$work"
clean_up() {
    pkill -KILL -u relay-bob -x chatctl 2>/dev/null || true
    rm -rf /usr/local/share/ca-certificates/relayd-try.crt /etc/relayd/tls
    update-ca-certificates >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT

# Until something is so, at most two minutes.
await() {
    local what=$1 deadline=$((SECONDS + 120))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || fail "$what: not within two minutes"
        sleep 0.1
    done
}
property() { systemctl show -p "$2" --value "$1"; }
seconds() { awk -v us="$1" 'BEGIN { printf "%.2f s", us / 1000000 }'; }
now() { date +%s%6N; }

# --- accounts and messages --------------------------------------------------------------------------------------------------------------------

for account in relay-alice relay-bob relay-carol; do id "$account" >/dev/null 2>&1 || useradd --create-home "$account"; done
as() { local account=$1; shift; (cd / && exec runuser -u "relay-$account" -- "$@"); }
client() { local account=$1 verb=$2; shift 2; as "$account" chatctl client "$verb" --state "/home/relay-$account/phone" "$@"; }

sent=$work/sent
# So many lines, all different, from alice to bob; --wait and the like behind.
write() { local title=$1 count=$2; seq -f "$title %.0f" "$count" >"$work/lines"; chmod 644 "$work/lines"; cat "$work/lines" >>"$sent"; }
send() {
    local title=$1 count=$2
    write "$title" "$count"
    client alice send --to bob --file "$work/lines" --timeout 5m >/dev/null || fail "alice could not send"
}
all_there() {
    client bob listen --until-caught-up --timeout 300 >/dev/null 2>"$work/listen.errors" || fail "bob could not catch up: $(cat "$work/listen.errors")"
    client bob history --chat-with alice --raw >"$work/received"
    cmp -s "$sent" "$work/received" || { diff "$sent" "$work/received" | head -n 5 >&2; fail "$1: what bob has is not what alice sent"; }
    say "bob has all $(wc -l <"$sent") messages, once and in order"
}
enrol_both() {
    local name invite
    : >"$sent"
    for name in alice bob; do
        rm -rf "/home/relay-$name/phone"
        chatctl user show "$name" >/dev/null 2>&1 || chatctl user add "$name" --no-qr >/dev/null
        invite=$(chatctl invite create "$name" --json | sed -n 's/.*"link" *: *"\([^"]*\)".*/\1/p' | sed 's,\\/,/,g')
        client "$name" enrol "$invite" --device phone >/dev/null
    done
    chatctl contact add alice bob --reason "they asked" >/dev/null
}
packages() { apt-get -y -qq "$@" >"$work/apt" 2>&1 || { cat "$work/apt" >&2; fail "apt-get $*"; }; }
ready_again() {
    local pid=$1
    new_pid() { local new; new=$(property relayd MainPID); [ "$new" != 0 ] && [ "$new" != "$pid" ] && systemctl is-active -q relayd; }
    await "a new relayd" new_pid
}

# --- a fresh machine --------------------------------------------------------------------------------------------------------------------------

step "Install"
apt-get update -qq
packages install "${debs[@]}"
systemctl is-active -q relayd || fail "relayd does not run after its installation"
systemctl is-enabled -q relayd relayd.socket || fail "relayd would not run after a boot"
systemctl is-active -q relayd.socket || fail "relayd.socket is not there"
if [ -d /sys/kernel/security/apparmor ] && command -v apparmor_parser >/dev/null; then
    grep -qx 'relayd (enforce)' "/proc/$(property relayd MainPID)/attr/current" || fail "AppArmor is in force, and relayd is not in its profile"
    say "in its AppArmor profile"
fi
[ "$(stat -c '%a %U %G' /etc/relayd/relayd.toml)" = "640 root relayd" ] || fail "relayd.toml: $(stat -c '%a %U %G' /etc/relayd/relayd.toml)"
[ "$(stat -c '%a %U' /var/lib/relayd)" = "700 relayd" ] || fail "/var/lib/relayd: $(stat -c '%a %U' /var/lib/relayd)"
for page in relayd.8 chatctl.1 relay-protocol.7 relayd-architecture.7; do
    [ -n "$(find /usr/share/man -name "$page.gz")" ] || fail "the page $page is missing"
done

step "What the package says"
mapfile -t commands < <(tr -d '\r' <"$work/apt" | sed -n 's/^    \(chatctl .*\)$/\1/p')
[ ${#commands[@]} -eq 2 ] || { cat "$work/apt" >&2; fail "the installation did not name two commands"; }
for command in "${commands[@]}"; do
    say "# $command"
    $command >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "$command"; }
    sed 's/^/    /' "$work/output"
done

# An authority of this script's own, which the machine trusts from now on, as it trusts those of real certificates.
packages install ca-certificates openssl
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=relayd try" \
    -addext "keyUsage=critical,keyCertSign" -keyout "$work/ca.key" -out /usr/local/share/ca-certificates/relayd-try.crt 2>/dev/null
update-ca-certificates >/dev/null 2>&1
# A new certificate where relayd looks for it.
certify() {
    openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" -keyout "$work/new.key" -out "$work/new.csr" 2>/dev/null
    openssl x509 -req -in "$work/new.csr" -CA /usr/local/share/ca-certificates/relayd-try.crt -CAkey "$work/ca.key" -days 90 \
        -extfile <(printf 'subjectAltName=DNS:localhost\nextendedKeyUsage=serverAuth\n') -out "$work/new.pem" 2>/dev/null
    install -d -m 750 -g relayd /etc/relayd/tls
    install -m 640 -g relayd "$work/new.pem" "$work/new.key" /etc/relayd/tls
}
shown() { openssl s_client -connect localhost:8480 </dev/null 2>/dev/null | openssl x509 -noout -fingerprint; }
on_disk() { openssl x509 -in /etc/relayd/tls/new.pem -noout -fingerprint; }
# The configuration under which all that follows happens.
speak_tls() {
    certify
    sed -i -e 's,^#certificate = "",certificate = "/etc/relayd/tls/new.pem",' -e 's,^#key = "",key = "/etc/relayd/tls/new.key",' \
        -e 's,^#public_url = "",public_url = "https://localhost:8480",' /etc/relayd/relayd.toml
    relayd --check-config >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "relayd --check-config"; }
    systemctl restart relayd || fail "relayd does not start with a certificate"
    [ "$(shown)" = "$(on_disk)" ] || fail "relayd does not show its certificate"
}

step "TLS"
speak_tls
say "$(openssl s_client -brief -connect localhost:8480 </dev/null 2>&1 | sed -n 's/^Protocol version: //p'), $(on_disk | cut -c 1-30)…"

step "Two accounts"
enrol_both
send "fresh" 10
all_there "fresh"

step "Who may operate"
as carol chatctl status >/dev/null 2>"$work/refusal" && fail "carol, who is nobody, may operate"
grep -q relayd-admin "$work/refusal" || fail "the refusal does not say what to do: $(cat "$work/refusal")"
usermod -aG relayd-view relay-carol
as carol chatctl status >/dev/null || fail "a member of relayd-view may not look"
as carol chatctl user add dave >/dev/null 2>&1 && fail "a member of relayd-view may change something"
usermod -aG relayd-admin relay-carol
as carol chatctl invite create alice --no-qr >/dev/null || fail "a member of relayd-admin may not operate"
say "by their groups, also for a relayd that is shut in"

step "Reload"
client bob listen >/dev/null 2>&1 &
listens() { [ "$(chatctl status --json | sed -n 's/.*"connections" *: *\([0-9]*\).*/\1/p')" = 1 ]; }
await "bob listens" listens
pid=$(property relayd MainPID)
connections() { ls -l "/proc/$(property relayd MainPID)/fd" | grep -o 'socket:.*' | sort; }
connections >"$work/before"
sed -i 's/^#level = "info"/level = "debug"/' /etc/relayd/relayd.toml
systemctl reload relayd
await "the journal says so" sh -c 'journalctl -u relayd --output=cat | grep -q "reloaded.*log.level"'
[ "$(property relayd MainPID)" = "$pid" ] || fail "the reload started another relayd"
comm -23 "$work/before" <(connections) | grep -q . && fail "the reload closed connections"
sed -i 's/^level = "debug"/#level = "info"/' /etc/relayd/relayd.toml
systemctl reload relayd
send "while bob listens" 20
say "the same process, the same connections"

step "Restart"
systemctl restart relayd &
restarting=$!
# Nobody is refused meanwhile.
for _ in $(seq 50); do (exec 3<>/dev/tcp/127.0.0.1/8480) 2>/dev/null || fail "a connection was refused during the restart"; sleep 0.02; done
wait "$restarting"
await "bob is back" listens
send "after the restart" 20
hush_bob
all_there "restart"

step "The journal"
entry=$(journalctl -u relayd RELAYD_LOGGER=relayd PRIORITY=5 --output=json -n 1)
grep -q '"SYSLOG_IDENTIFIER":"relayd"' <<<"$entry" || fail "no entry with fields and a priority: $entry"
journalctl -u relayd -p err --output=cat | grep -q . && fail "there are errors: $(journalctl -u relayd -p err --output=cat)"
say "entries have fields and priorities, and no errors"

step "A renewed certificate"
client bob listen >/dev/null 2>&1 &
await "bob listens" listens
connections >"$work/before"
before=$(shown)
certify
systemctl reload relayd
renewed() { [ "$(shown)" = "$(on_disk)" ]; }
await "new connections get the new certificate" renewed
[ "$(shown)" != "$before" ] || fail "the certificate is the one before"
comm -23 "$work/before" <(connections) | grep -q . && fail "the renewal closed connections"
send "after the renewal" 10
cp /etc/relayd/tls/new.key "$work/good.key"
openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out /etc/relayd/tls/new.key 2>/dev/null
systemctl reload relayd
refused() { chatctl alert list --json | grep -q certificate_refused; }
await "an alert says that a certificate was refused" refused
renewed || fail "a wrong key took the certificate away"
chatctl check configuration >"$work/output" 2>&1 && fail "chatctl check finds nothing wrong with a wrong key"
grep -q 'not the key of' "$work/output" || { cat "$work/output" >&2; fail "chatctl check does not name the wrong key"; }
install -m 640 -g relayd "$work/good.key" /etc/relayd/tls/new.key
systemctl reload relayd
send "under the certificate before" 10
hush_bob
all_there "renewal"

step "kill -9"
write "through a kill" 500
client alice send --to bob --file "$work/lines" --timeout 5m >/dev/null &
sending=$!
pid=$(property relayd MainPID)
began=$(now)
kill -9 "$pid"
ready_again "$pid"
say "relayd is ready again after $(seconds $(($(now) - began)))"
wait "$sending" || fail "alice could not send"
all_there "kill -9"

step "Hangs"
pid=$(property relayd MainPID)
began=$(now)
kill -STOP "$pid"
ready_again "$pid"
journalctl -u relayd --output=cat | grep -q "Watchdog timeout" || fail "it was not the watchdog"
say "the watchdog ended it, and relayd is ready again after $(seconds $(($(now) - began)))"
send "after the watchdog" 10
all_there "the watchdog"

step "Stop under load"
write "under load" 2000
client alice send --to bob --file "$work/lines" --timeout 5m >/dev/null &
sending=$!
for _ in 1 2 3; do
    before=$(chatctl status --json | sed -n 's/.*"messagesAccepted" *: *\([0-9]*\).*/\1/p')
    more() { kill -0 "$sending" 2>/dev/null || return 0; [ "$(chatctl status --json | sed -n 's/.*"messagesAccepted" *: *\([0-9]*\).*/\1/p')" -gt "${before:-0}" ]; }
    await "messages come" more
    began=$(now)
    systemctl stop relayd
    say "stopped in $(seconds $(($(now) - began)))"
    systemctl is-active -q relayd && fail "clients have started it again"
    [ "$(property relayd Result)" = success ] || fail "the stop: $(property relayd Result)"
    systemctl start relayd
done
wait "$sending" || fail "alice could not send"
all_there "stop under load"

step "The control socket, held by systemd"
systemctl stop relayd
systemctl enable -q --now relayd-control.socket
chatctl status >/dev/null || fail "chatctl does not start relayd through its socket"
systemctl is-active -q relayd || fail "relayd was not started"
as carol chatctl invite create alice --no-qr >/dev/null || fail "a member of relayd-admin may not operate through systemd's socket"
# The file of the socket is root's.
status=0
chatctl check files >"$work/output" 2>&1 || status=$?
[ "$status" -lt 2 ] || { cat "$work/output" >&2; fail "chatctl check finds errors in systemd's socket"; }
chatctl privacy audit >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "chatctl privacy audit, with systemd's socket"; }
systemctl restart relayd &
restarting=$!
chatctl status >/dev/null || fail "chatctl was refused during the restart"
wait "$restarting"
systemctl disable -q --now relayd-control.socket 2>/dev/null
systemctl restart relayd
chatctl status >/dev/null || fail "relayd does not make its control socket again"
say "chatctl waits while relayd is restarted"

step "The port, opened by relayd itself"
systemctl stop relayd
systemctl mask -q --runtime relayd.socket
mkdir -p /run/systemd/system/relayd.service.d
printf '[Service]\nRestrictAddressFamilies=AF_INET AF_INET6\n' >/run/systemd/system/relayd.service.d/try.conf
systemctl daemon-reload
systemctl start relayd || fail "relayd does not start without relayd.socket"
send "without relayd.socket" 10
all_there "no relayd.socket"
systemctl stop relayd
rm -r /run/systemd/system/relayd.service.d
systemctl unmask -q --runtime relayd.socket
systemctl daemon-reload
systemctl start relayd
systemctl is-active -q relayd.socket || fail "relayd does not bring its socket along"

step "The command of alerts"
cat >/usr/local/bin/relayd-alert-try <<'EOF'
#!/bin/sh
printf '%s\n' "$RELAYD_ALERT" >/var/lib/relayd/alert-try
EOF
chmod 755 /usr/local/bin/relayd-alert-try
sed -i 's,^#command = "",command = "/usr/local/bin/relayd-alert-try",' /etc/relayd/relayd.toml
systemctl restart relayd
chatctl alert test >/dev/null || fail "chatctl alert test"
await "the command ran" test -s /var/lib/relayd/alert-try
rm /usr/local/bin/relayd-alert-try /var/lib/relayd/alert-try
sed -i 's,^command = .*,#command = "",' /etc/relayd/relayd.toml
systemctl restart relayd
say "it runs within the unit's walls"

step "Privacy"
chatctl privacy audit >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "chatctl privacy audit, as root"; }
sed 's/^/    /' "$work/output"
usermod -aG systemd-journal relayd
runuser -u relayd -- chatctl privacy audit >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "chatctl privacy audit, as relayd"; }
gpasswd -q -d relayd systemd-journal 2>/dev/null || gpasswd -d relayd systemd-journal >/dev/null

step "Checks"
status=0
chatctl check >"$work/output" 2>&1 || status=$?
sed 's/^/    /' "$work/output"
[ "$status" -lt 2 ] || fail "chatctl check finds errors"
chatctl health ready >/dev/null || fail "chatctl health ready"
chatctl audit verify >/dev/null || fail "chatctl audit verify"

step "Backup"
send "before the backup" 30
# Others are sent while it is made.
write "beside the backup" 500
client alice send --to bob --file "$work/lines" --timeout 5m >/dev/null &
sending=$!
chatctl backup create >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "chatctl backup create"; }
wait "$sending" || fail "alice could not send"
# This one has all of them, and bob has not received one.
chatctl backup create --json >"$work/output" || fail "chatctl backup create"
backup=$(sed -n 's/.*"name" *: *"\([^"]*\)".*/\1/p' "$work/output" | head -n 1)
chatctl backup verify "$backup" >/dev/null || fail "chatctl backup verify"
systemctl stop relayd
chatctl backup restore plan "$backup" >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "chatctl backup restore plan"; }
apply=$(sed -n 's/.*\(chatctl backup restore apply .*\)$/\1/p' "$work/output" | tail -n 1)
[ -n "$apply" ] || { cat "$work/output" >&2; fail "the plan does not say how to apply it"; }
say "# $apply"
$apply >"$work/output" 2>&1 || { cat "$work/output" >&2; fail "$apply"; }
systemctl start relayd
send "after the restore" 10
all_there "the restore"

step "Figures"
exposure=$(systemd-analyze security --no-pager relayd | sed -n 's/.*exposure level for relayd.service: \([0-9.]*\).*/\1/p')
awk -v found="$exposure" 'BEGIN { exit !(found != "" && found <= 1.0) }' || fail "systemd-analyze security: $exposure"
say "systemd-analyze security: $exposure"
systemctl restart relayd
say "start: $(seconds $(($(property relayd ActiveEnterTimestampMonotonic) - $(property relayd InactiveExitTimestampMonotonic))))"
say "idle memory: $(awk '/^VmRSS/ { printf "%.1f MB", $2 / 1024 }' "/proc/$(property relayd MainPID)/status")"
for deb in "${debs[@]}"; do say "$(basename "$deb"): $(awk -v b="$(stat -c %s "$deb")" 'BEGIN { printf "%.1f MB", b / 1e6 }')"; done
[ -z "$(systemctl --failed --no-legend)" ] || fail "units failed: $(systemctl --failed --no-legend)"

step "Remove and install again"
systemctl stop relayd
systemctl start relayd-control.socket relayd
packages remove relayd
systemctl is-active -q relayd-control.socket && fail "a call would start relayd, which was removed"
grep -q 'messages stay in /var/lib/relayd' "$work/apt" || fail "removing does not say that messages stay"
[ -e /var/lib/relayd/relay.db ] || fail "removing deleted messages"
packages install "${debs[0]}"
send "after the removal" 5
all_there "remove and install"

step "Purge"
# What the administrator put beside relayd's own files would stay.
rm -r /etc/relayd/tls
packages purge relayd chatctl
grep -q 'deleting all users and messages' "$work/apt" || fail "purging does not say that it deletes messages"
for path in /var/lib/relayd /etc/relayd /run/relayd /etc/apparmor.d/usr.sbin.relayd /etc/cron.d/chatctl /usr/sbin/relayd /usr/bin/chatctl; do
    [ ! -e "$path" ] || fail "purging left $path"
done
say "nothing is left"

# --- an upgrade -------------------------------------------------------------------------------------------------------------------------------

step "Upgrade"
if [ -z "$previous" ]; then
    previous=$work/previous
    mkdir "$previous"
    for deb in "${debs[@]}"; do
        tree=$work/tree
        rm -rf "$tree"
        dpkg-deb -R "$deb" "$tree"
        # ~ sorts before everything.
        sed -i -E 's/^(Version: .*)$/\1~before/; s/\(= ([^)]*)\)/(= \1~before)/' "$tree/DEBIAN/control"
        dpkg-deb -Znone --root-owner-group -b "$tree" "$previous/$(basename "$deb")" >/dev/null
    done
fi
packages install "$previous"/relayd_*.deb "$previous"/chatctl_*.deb
was=$(dpkg-query -W -f '${Version}' relayd)
# The first versions had no TLS.
if grep -q '^\[tls\]' /etc/relayd/relayd.toml; then speak_tls; fi
enrol_both
send "before the upgrade" 200
sed -i 's/^#purge_hours = 6/purge_hours = 7/' /etc/relayd/relayd.toml
# Whoever has the optional socket has it afterwards as well. The first versions had none.
held=
if systemctl cat relayd-control.socket >/dev/null 2>&1; then
    held=yes
    systemctl stop relayd
    systemctl start relayd-control.socket relayd
fi
write "during the upgrade" 500
client alice send --to bob --file "$work/lines" --timeout 5m >/dev/null &
sending=$!
pid=$(property relayd MainPID)
# As an administrator who keeps the own configuration when dpkg asks, which it does when the shipped one has changed, too.
packages -o Dpkg::Options::=--force-confold install "${debs[@]}"
ready_again "$pid"
wait "$sending" || fail "alice could not send"
[ -z "$held" ] || systemctl is-active -q relayd-control.socket || fail "the upgrade stopped relayd-control.socket"
chatctl status >/dev/null || fail "chatctl does not reach relayd through systemd's socket after the upgrade"
grep -q '^purge_hours = 7' /etc/relayd/relayd.toml || fail "the upgrade changed relayd.toml"
[ "$(stat -c '%a %U %G' /etc/relayd/relayd.toml)" = "640 root relayd" ] || fail "the upgrade changed relayd.toml's mode"
say "from $was to $(dpkg-query -W -f '${Version}' relayd)"
all_there "the upgrade"
packages purge relayd chatctl
for account in relay-alice relay-bob relay-carol; do userdel -r "$account" 2>/dev/null || true; done

printf '\neverything held\n'
