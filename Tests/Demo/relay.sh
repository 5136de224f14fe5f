# Sourced by demo.sh and bench.sh: a relay on a temporary store. Needs $programs, gives $work, $log, $port, $relay.

work=$(mktemp -d "${TMPDIR:-/tmp}/relayd-demo.XXXXXX")
log=$work/relayd.log
relay=
export CHATCTL_SOCKET=$work/control.sock

chatctl() { "$programs/chatctl" "$@"; }

# A port that nobody listens on.
port=$((18000 + RANDOM % 2000))
while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done

# configure LOG-LEVEL
configure() {
    cat >"$work/relayd.toml" <<TOML
[listen]
address = "127.0.0.1:$port"
public_url = "http://127.0.0.1:$port"

[control]
socket = "$work/control.sock"

[store]
path = "$work/relay.db"

[log]
level = "$1"
destination = "stderr"
TOML
    touch "$log"
}

# Starts relayd and waits until it answers; fails otherwise.
start_relay() {
    "$programs/relayd" --config "$work/relayd.toml" >>"$log" 2>&1 &
    relay=$!
    # Without the shell's own message: a kill -9 is part of the show.
    disown "$relay"
    for _ in $(seq 300); do
        chatctl status >/dev/null 2>&1 && return
        kill -0 "$relay" 2>/dev/null || return 1
        sleep 0.1
    done
    return 1
}

# Ends relayd and waits for its end; SIGKILL when it takes more than ten seconds.
stop_relay() {
    [ -n "$relay" ] || return 0
    kill "${1:--TERM}" "$relay" 2>/dev/null || return 0
    for _ in $(seq 200); do
        kill -0 "$relay" 2>/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$relay" 2>/dev/null || true
}

# The value of a field in a JSON reply of chatctl.
field() { sed -n 's/^.*"'"$1"'" *: *"\{0,1\}\([^",]*\).*$/\1/p' | head -n 1; }
