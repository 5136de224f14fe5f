#!/usr/bin/env bash
# Builds the Debian packages into .build/deb: puts a source tree together there, in which debian/ is packaging/debian with the files that its links
# name and everything else is the checkout's own, and has dpkg-buildpackage do the rest. The programs are built in the checkout, whose build
# directory is used again.
set -euo pipefail
cd "$(dirname "$0")/.."
checkout=$PWD
packaging/setup.sh deb

version=$(dpkg-parsechangelog -l packaging/debian/changelog -S Version)
room=.build/deb
tree=$room/relayd-$version
rm -rf "$room"
mkdir -p "$tree"
cp -rL packaging/debian "$tree/debian"
# The same whatever the umask of whoever builds.
chmod -R u=rwX,go=rX "$tree/debian"
for part in man packaging LICENSE; do ln -s "$checkout/$part" "$tree/$part"; done
cd "$tree"
env CHECKOUT="$checkout" dpkg-buildpackage -b -us -uc --no-pre-clean >../build.log 2>&1 || {
    tail -n 30 ../build.log >&2
    echo "error: the packages could not be built; $checkout/$room/build.log has everything" >&2
    exit 1
}
cd "$checkout"
for package in "$room"/*.deb; do printf '%6.1f MB  %s\n' "$(($(stat -c %s "$package") / 100000))e-1" "$package"; done
