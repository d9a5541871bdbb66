#!/bin/sh
# Unpacks the PgBouncer and HAProxy of Debian unstable into a folder, without installing anything, and writes
# small wrappers that run them there:
#
#   benches/fetch-peers.sh DIR
#   PGBOUNCER=DIR/pgbouncer HAPROXY=DIR/haproxy cargo bench --bench compare
#
# Debian bookworm's PgBouncer (1.18) knows no prepared statements in transaction mode, so it is no peer to
# compare with. Packages of unstable want a newer libc than the machine has: they are started through the loader
# and with the libraries they were built for. The mirror is the one this machine already uses.
set -eu

[ $# -eq 1 ] || { echo "usage: $0 DIR" >&2; exit 2; }
mkdir -p "$1"
dir=$(cd "$1" && pwd)
root=$dir/root
apt=$dir/apt
arch=$(dpkg --print-architecture)
mkdir -p "$root" "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/debs"
: > "$apt/status"

# The first of the machine's sources that says it is Debian itself (not its security updates, nor a third party).
uri=$(apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
    awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
if [ -z "$uri" ]; then
    echo "$0: apt knows no Debian mirror here (run apt-get update first?)" >&2
    exit 1
fi
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [arch=$arch signed-by=$keyring] $uri sid main" > "$apt/sources.list"

# A private apt: own sources, lists, cache and an empty status file, so that the machine's state is neither read
# nor touched.
private() {
    tool=$1
    shift
    "$tool" -q \
        -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::Etc::preferencesparts=/dev/null -o Dir::State::Lists="$apt/lists" \
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o APT::Get::List-Cleanup=0 -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none "$@"
}

echo "fetching the package list of unstable"
private apt-get update > "$apt/log" 2>&1 || { cat "$apt/log" >&2; exit 1; }

# The programs themselves and, of all they pull in, the libraries only.
packages=$(private apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
    --no-replaces --no-enhances pgbouncer haproxy |
    grep -E '^(pgbouncer|haproxy|lib[a-z0-9.+-]+)$' | grep -v -e '-perl$' | sort -u)

echo "fetching $(echo "$packages" | wc -l) packages"
# shellcheck disable=SC2086 # one word for each package
(cd "$apt/debs" && rm -f ./*.deb && private apt-get download $packages > "$apt/log" 2>&1) ||
    { cat "$apt/log" >&2; exit 1; }
for deb in "$apt"/debs/*.deb; do
    dpkg -x "$deb" "$root"
done

triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || basename "$(dirname "$(find "$root/usr/lib" -name 'libc.so.6' | head -1)")")
libraries=$root/usr/lib/$triplet
loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*.so.*' | head -1)
[ -n "$loader" ] || { echo "$0: found no loader under $libraries" >&2; exit 1; }

# `exec`, so that the process a benchmark starts is the one whose CPU time it reads.
for program in pgbouncer haproxy; do
    cat > "$dir/$program" <<WRAPPER
#!/bin/sh
exec "$loader" --library-path "$libraries" "$root/usr/sbin/$program" "\$@"
WRAPPER
    chmod 755 "$dir/$program"
done
rm -rf "$apt"

"$dir/pgbouncer" --version | head -1
"$dir/haproxy" -v | head -1
echo "PGBOUNCER=$dir/pgbouncer HAPROXY=$dir/haproxy"
