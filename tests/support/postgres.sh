#!/bin/sh
# Runs a command with DATABASE_URL set to a PostgreSQL server: tests/support/postgres.sh .venv/bin/pytest
#
# TEST_DATABASE_URL names a server that is there already. Otherwise a private one is started from Debian's
# binaries, on a socket in a temporary directory (no port, no password), and is gone when the command ends.
# Where neither is possible it says why and succeeds: PostgreSQL is an option of the product.
set -eu

skip() {
    echo "SKIPPED on PostgreSQL: $1"
    exit 0
}

.venv/bin/python -c 'import psycopg' 2>/dev/null || skip "no driver (requirements-postgres.txt is not installed)."
if [ -n "${TEST_DATABASE_URL:-}" ]; then
    export DATABASE_URL="$TEST_DATABASE_URL"
    exec "$@"
fi

bin=
for found in /usr/lib/postgresql/*/bin; do
    if [ -x "$found/initdb" ]; then bin=$found; fi
done
[ -n "$bin" ] || skip "no server (apt-get install postgresql, or set TEST_DATABASE_URL)."

# PostgreSQL refuses to run as root.
owner=
if [ "$(id -u)" = 0 ]; then
    command -v setpriv >/dev/null || skip "it does not run as root, and setpriv is missing (apt-get install util-linux)."
    owner=nobody
    if id postgres >/dev/null 2>&1; then owner=postgres; fi
fi

as_owner() {
    if [ -n "$owner" ]; then
        setpriv --reuid="$owner" --regid="$(id -g "$owner")" --clear-groups -- "$@"
    else
        "$@"
    fi
}

home=$(mktemp -d "${TMPDIR:-/tmp}/byocgw-postgres.XXXXXX")

stop() {
    status=$?
    trap - EXIT
    (cd "$home" && as_owner "$bin/pg_ctl" -D "$home/data" -m immediate -s stop) >/dev/null 2>&1 || true
    rm -rf "$home"
    exit "$status"
}
trap stop EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$owner" ]; then chown "$owner" "$home"; fi
# Nothing here outlives the run, so nothing is forced to the disk.
options="-c listen_addresses='' -c unix_socket_directories='$home' -c max_connections=200"
options="$options -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
started=$(
    cd "$home" # the owner may not be allowed to read the directory this was called from
    as_owner "$bin/initdb" -D "$home/data" -U byocgw -A trust -E UTF8 --locale=C --no-sync 2>&1 >/dev/null &&
        as_owner "$bin/pg_ctl" -D "$home/data" -l "$home/log" -o "$options" -s -w -t 60 start 2>&1 </dev/null &&
        as_owner "$bin/createdb" -h "$home" -U byocgw byocgw 2>&1
) || {
    echo "PostgreSQL of $bin does not start: $started"
    cat "$home/log" 2>/dev/null || true
    exit 1
}

DATABASE_URL="postgres:///$home/byocgw?user=byocgw" "$@"
