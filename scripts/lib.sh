# shellcheck shell=bash
# What the scripts share. Sourced by each of them; it moves to the root of the clone.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() {
    if [ -t 2 ]; then
        printf '\033[1m%s\033[0m\n' "$*" >&2
    else
        printf '%s\n' "$*" >&2
    fi
}

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

# Runs a command as root: directly, or with sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        return 1
    fi
}

# Installs Debian packages, for a reason; fails where that is not possible.
install_packages() {
    local reason=$1
    shift
    command -v apt-get >/dev/null || return 1
    say "installing $* ($reason)"
    as_root apt-get update -qq || return 1
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >&2
}

# Makes sure that Rust and a linker are there.
need_rust() {
    command -v cargo >/dev/null || fail "cargo is missing: install Rust (https://rustup.rs), then try again"
    command -v cc >/dev/null || install_packages "a linker, for Rust" gcc libc6-dev ||
        fail "there is no C compiler (cc), which Rust links with: install gcc or clang"
}

# What cargo must be told beside the command's own arguments.
features=()

# Fetches the DuckDB library, or decides for the one that cargo compiles.
# shellcheck disable=SC2034 # the scripts that source this read `features`
need_duckdb() {
    local status=0
    scripts/setup || status=$?
    case $status in
        0) ;;
        3) features=(--features bundled) ;;
        *) exit "$status" ;;
    esac
}
