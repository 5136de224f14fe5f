#!/usr/bin/env bash
# Installs the Debian packages that building (or showing) relayd needs and that are missing. Does nothing, and asks apt
# nothing, when all of them are there. Run by the Makefile: setup.sh build | demo | deb
set -euo pipefail

purpose=${1:-build}
case $purpose in build | demo | deb) ;; *) echo "usage: setup.sh build|demo|deb" >&2; exit 64 ;; esac

# package, why it is needed
needs=(
    "libsqlite3-dev|the store"
    "libsodium-dev|the clients' cryptography"
    "libssl-dev|TLS"
    "libsystemd-dev|readiness, watchdog and journal under systemd"
    "zlib1g-dev|compression before encryption"
    "libqrencode-dev|invites as QR codes"
    "pkg-config|tells the compiler where these libraries are"
    "curl|the control socket's examples, in the tests"
    "mandoc|checks the man pages, in the tests"
    "zsh|chatctl's completions for it, in the tests"
    "fish|chatctl's completions for it, in the tests"
)
if [ "$purpose" = demo ]; then needs+=("gdb|its gcore dumps the running relay's memory, to search it for plaintext"); fi

if [ "$purpose" = deb ]; then
    needs+=("debhelper|assembles the packages" "dpkg-dev|builds the packages" "dh-apparmor|installs the AppArmor profile")
fi

missing=()
reasons=()
for need in "${needs[@]}"; do
    package=${need%%|*}
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    # pkgconf provides pkg-config on newer releases.
    if [ "$package" = pkg-config ] && command -v pkg-config >/dev/null; then state=installed; fi
    if [ "$state" != installed ]; then
        missing+=("$package")
        reasons+=("  $package: ${need#*|}")
    fi
done

if ! command -v swift >/dev/null; then
    echo "error: there is no swift command" >&2
    echo "hint: install a Swift 6.2 or later toolchain for Linux (https://www.swift.org/install/linux) and put its usr/bin into PATH" >&2
    exit 69
fi

[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing Debian packages that are missing:"
printf '%s\n' "${reasons[@]}"

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null; then
        echo "error: installing packages needs root, and there is no sudo" >&2
        echo "hint: as root, run: apt-get update && apt-get install ${missing[*]}" >&2
        exit 77
    fi
    as_root=(sudo)
fi

"${as_root[@]}" apt-get -qq update
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq --no-install-recommends install -y "${missing[@]}" >/dev/null
echo "installed: ${missing[*]}"
