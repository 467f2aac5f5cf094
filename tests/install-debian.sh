#!/bin/sh
# Installs what tests need beyond Python, by apt on a Debian machine where we are root; elsewhere
# it says what is missing, and the tests that need it are skipped.  Usage: install-debian.sh NAME...
set -eu

missing=
for package in "$@"; do
    dpkg-query --show --showformat='${db:Status-Status}\n' "$package" 2> /dev/null |
        grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get > /dev/null; then
    echo "No root or no apt-get to install$missing: THE TESTS THAT NEED THEM WILL BE SKIPPED" >&2
    exit 0
fi

# Package scripts must start no daemons: tests that need one start and end their own.
guard=/usr/sbin/policy-rc.d
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\nexit 101\n' > "$guard"
    chmod +x "$guard"
    trap 'rm -f "$guard" "$log"' EXIT
fi

start=$(date +%s)
# shellcheck disable=SC2086  # one word per package
if { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes \
    --no-install-recommends $missing; } > "$log" 2>&1; then
    echo "Installed$missing in $(($(date +%s) - start)) s"
else
    tail -n 5 "$log" >&2
    echo "Not to be installed here:$missing. THE TESTS THAT NEED THEM WILL BE SKIPPED" >&2
fi
