# shellcheck shell=bash
# A Postgres server of a script's own, in a folder and on a port of its own. Sourced after lib.sh.

server_pid=
server_folder=
server_port=

# Prints the folder of the server's programs, the newest version's.
server_programs() {
    local folder
    for folder in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV) \
        "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb || echo /none/x)")"; do
        if [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ]; then
            echo "$folder"
            return
        fi
    done
    return 1
}

# Runs a command as one who may run the server, which refuses root; the process id stays.
as_server() {
    if [ "$(id -u)" -eq 0 ]; then
        exec setpriv --reuid "$server_user" --regid "$(id -g "$server_user")" --clear-groups "$@"
    fi
    exec "$@"
}

stop_server() {
    if [ -n "$server_pid" ]; then
        kill -INT "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=
    fi
}

# Ends the server and removes its folder.
remove_server() {
    stop_server
    [ -z "$server_folder" ] || rm -rf "$server_folder"
}

# Starts the server and waits until it answers; fails where it ends first.
start_server() {
    (cd "$server_folder" && as_server "$programs/postgres" -D "$server_folder/data" -p "$1" \
        -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c lc_messages=C \
        -c max_connections=200 -c fsync=off -c synchronous_commit=off -c full_page_writes=off) \
        >"$server_folder/log" 2>&1 &
    server_pid=$!
    local waited
    for waited in $(seq 300); do
        if grep -q "database system is ready to accept connections" "$server_folder/log"; then
            return 0
        fi
        kill -0 "$server_pid" 2>/dev/null || break
        sleep 0.1
    done
    say "the server did not start on port $1 (after $waited looks)"
    stop_server
    return 1
}

# Makes and starts a server, whose superuser is `postgres`, and leaves its port in `server_port`.
own_postgres() {
    programs=$(server_programs) || {
        install_packages "this script starts a server of its own" postgresql ||
            fail "there is no Postgres server to start: install it${1:+, or $1}"
        programs=$(server_programs) || fail "the package postgresql has no server programs"
    }
    local attempt
    if [ "$(id -u)" -eq 0 ]; then
        server_user=postgres
        id "$server_user" >/dev/null 2>&1 || server_user=nobody
        # The clone may lie where that user cannot go.
        server_folder=$(mktemp -d /var/tmp/daygrain-postgres.XXXXXX)
        chown "$server_user" "$server_folder"
    else
        mkdir -p .test
        server_folder=$(mktemp -d "$PWD/.test/postgres.XXXXXX")
    fi
    (cd "$server_folder" && as_server "$programs/initdb" -D "$server_folder/data" \
        --username=postgres --auth=trust --no-locale --encoding=UTF8 --no-sync) \
        >"$server_folder/log" 2>&1 || {
        cat "$server_folder/log" >&2
        fail "initdb failed"
    }
    for attempt in 1 2 3 4 5; do
        server_port=$((20000 + RANDOM % 10000))
        if start_server "$server_port"; then
            return 0
        fi
    done
    cat "$server_folder/log" >&2
    fail "the server did not start, tried $attempt times"
}
