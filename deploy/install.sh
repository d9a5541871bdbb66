#!/bin/sh
# Installs what building and testing pgsteer needs, by package name, and is quiet when all of it is there.
#
#   deploy/install.sh build     protoc (etcd-client's build script runs it) and cargo
#   deploy/install.sh parser    libclang (pg_query's build script reads PostgreSQL's headers with it), for tests/parser
#   deploy/install.sh cluster   PostgreSQL, etcd and a Patroni of a known version: what `make demo` and the e2e tests start
#   deploy/install.sh nextest   the test runner
#   deploy/install.sh deny      the licence and source check; it takes minutes to build
#   deploy/install.sh python    prints the Python that has Patroni and psycopg, and installs nothing
#
# Several may be given. Runs as root, or as a plain user who may use sudo.
set -eu
umask 022 # PostgreSQL refuses to run as root, so its user must be able to read what root installs here

PATRONI_VERSION=4.1.5

# A folder that only its owner may write to and that user postgres can read: not root's home, not /tmp.
if [ "$(id -u)" = 0 ]; then
    tools=/opt/pgsteer-tools
else
    tools=${XDG_CACHE_HOME:-$HOME/.cache}/pgsteer-tools
fi
venv=$tools/patroni-$PATRONI_VERSION

say() { echo "install: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# The distribution's own Python where there is one: a Python below root's home is closed to user postgres.
system_python() {
    if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else command -v python3 || true; fi
}

debian_packages() {
    [ $# -gt 0 ] || return 0
    have apt-get || fail "please install, with your system's package manager: $* (named as in Debian)"
    if [ "$(id -u)" = 0 ]; then
        as_root=
    elif have sudo; then
        as_root=sudo
    else
        fail "this needs root and there is no sudo; as root, run: apt-get install $*"
    fi
    say "installing $*"
    get="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0"
    # The lists of a fresh machine are absent or name versions that are gone: then refresh them and try again.
    $get install -y --no-install-recommends "$@" >/dev/null 2>&1 && return 0
    $get update >&2
    $get install -y --no-install-recommends "$@" >&2
}

postgresql_present() {
    [ -n "${PG_BIN:-}" ] && [ -x "$PG_BIN/postgres" ] && return 0
    for server in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$server" ] && return 0
    done
    return 1
}

# With the messages that every protoc knows: Debian has them in a package of their own, which nothing depends on.
protoc_present() {
    have protoc || return 1
    for include in ${PROTOC_INCLUDE:-} "$(dirname "$(command -v protoc)")/../include"; do
        [ -e "$include/google/protobuf/descriptor.proto" ] && return 0
    done
    return 1
}

install_build() {
    have cargo || fail "please install Rust first (rustup, or Debian's rustup package); Cargo.toml says which version"
    have cc || set -- "$@" gcc libc6-dev
    protoc_present || set -- "$@" protobuf-compiler libprotobuf-dev
    debian_packages "$@"
}

install_parser() {
    for library in "${LIBCLANG_PATH:-/usr/lib}"/libclang* /usr/lib/llvm-*/lib/libclang* /usr/lib/*/libclang* /usr/lib64/libclang*; do
        case ${library##*/} in
            libclang.so* | libclang-[0-9]*.so*) [ -e "$library" ] && return 0 ;;
        esac
    done
    debian_packages libclang-dev
}

install_cluster() {
    postgresql_present || set -- "$@" postgresql
    have etcd || set -- "$@" etcd-server
    have ipcrm || set -- "$@" util-linux
    python=$(system_python)
    if [ -z "$python" ]; then
        set -- "$@" python3 python3-venv
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        set -- "$@" python3-venv
    fi
    debian_packages "$@"

    [ -e "$venv/complete" ] && return 0
    say "installing Patroni $PATRONI_VERSION into $venv"
    rm -rf "$venv"
    mkdir -p "$tools"
    "$(system_python)" -m venv "$venv"
    "$venv/bin/pip" install --quiet wheel >&2 # some of what follows comes as source
    "$venv/bin/pip" install --quiet "patroni[etcd3]==$PATRONI_VERSION" 'psycopg[binary]' >&2
    : >"$venv/complete" # last, so that a broken attempt is made again
}

install_nextest() {
    cargo nextest --version >/dev/null 2>&1 || {
        say "building cargo-nextest"
        cargo install --quiet --locked cargo-nextest
    }
}

install_deny() {
    cargo deny --version >/dev/null 2>&1 || {
        say "building cargo-deny"
        cargo install --quiet --locked cargo-deny
    }
}

[ $# -gt 0 ] || fail "what? build, parser, cluster, nextest, deny or python"
for part in "$@"; do
    case $part in
        build) install_build ;;
        parser) install_parser ;;
        cluster) install_cluster ;;
        nextest) install_nextest ;;
        deny) install_deny ;;
        python) echo "$venv/bin/python" ;;
        *) fail "unknown part $part: build, parser, cluster, nextest, deny or python" ;;
    esac
done
