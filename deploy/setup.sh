# shellcheck shell=bash
# What building and running Stopover needs of the machine; sourced by the scripts beside it.
# Looks before it installs, and installs only from the distribution's own packages.

# One line and the end: what is missing, and how to get it.
give_up() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The package lists are fetched once, and only when something is to be installed.
install_packages() {
    command -v apt-get >/dev/null || give_up "please install $* (there is no apt-get here to do it)"
    [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || give_up "please install $* (as root: apt-get install $*)"
    printf 'Installing %s from the distribution\n' "$*"
    if [ -z "${package_lists_are_fresh:-}" ]; then
        as_root apt-get update -qq || give_up "apt-get update failed; its words are above"
        package_lists_are_fresh=yes
    fi
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
        give_up "apt-get could not install $*; its words are above"
}

need_rust() {
    if ! command -v cargo >/dev/null && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    command -v cargo >/dev/null || give_up "cargo is missing; get Rust from https://rustup.rs and open a new shell"
    local wanted found
    wanted=$(sed -n 's/^rust-version = "1\.\([0-9]*\).*/\1/p' Cargo.toml)
    found=$(rustc --version | sed -n 's/^rustc 1\.\([0-9]*\).*/\1/p')
    [ "${found:-0}" -ge "$wanted" ] ||
        give_up "Rust 1.$wanted or newer is needed, and $(rustc --version) was found; run: rustup update stable"
}

need_rust_components() {
    local component
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 ||
            give_up "cargo $component is missing; run: rustup component add rustfmt clippy"
    done
}

# The bundled SQLite and the cryptography hold some C.
need_c_compiler() {
    command -v cc >/dev/null || install_packages gcc libc6-dev
}

# The identity provider of the tests runs on it.
need_node() {
    command -v node >/dev/null || install_packages nodejs
    command -v npm >/dev/null || install_packages npm
    local found
    found=$(node --version | sed -n 's/^v\([0-9]*\).*/\1/p')
    [ "${found:-0}" -ge 18 ] || give_up "Node.js 18 or newer is needed, and $(node --version) was found; please install it"
}

# Server and client programs lie together; Debian keeps each version in a directory of its own, off PATH.
postgresql_is_there() {
    local initdb
    for initdb in "$(command -v initdb)" /usr/lib/postgresql/*/bin/initdb "$(pg_config --bindir 2>/dev/null)/initdb"; do
        initdb=$(readlink -f "$initdb")
        if [ -x "$initdb" ] && [ -x "${initdb%/*}/postgres" ] && [ -x "${initdb%/*}/pg_dump" ]; then return 0; fi
    done
    return 1
}

# The package starts a cluster of its own, unless it is told for this one installation that nobody needs it.
install_postgresql() {
    local overrides=/etc/postgresql-common/createcluster.d
    trap 'as_root rm -f /etc/postgresql-common/createcluster.d/stopover-setup.conf' EXIT
    as_root mkdir -p "$overrides"
    echo "create_main_cluster = false" | as_root tee "$overrides/stopover-setup.conf" >/dev/null
    install_packages postgresql postgresql-client
}

need_postgresql() {
    postgresql_is_there && return
    if command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }; then
        (install_postgresql) || exit 1
    else
        give_up "please install PostgreSQL's server and client (Debian, Ubuntu: apt-get install postgresql)"
    fi
    postgresql_is_there || give_up "PostgreSQL is installed, but initdb, postgres and pg_dump are not found together"
}
