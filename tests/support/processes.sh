# Every process the tests start works in its own folder of the sandbox, and so do its descendants, PostgreSQL's
# included (they change to the data directory). So "the processes of node2" are those whose working directory lies
# below .../node2: exact, whatever daemonized or was orphaned, and nothing is ever killed by name.
#
#   signal FOLDER SIGNAL   to all of them, until it has taken hold of every one; says "now" before the first round
#   sweep FOLDER           waits until standard input ends, which it does however its starter dies; then kills
#                          all of them and removes the folder
#
# Runs as the user that owns the processes: nobody else may read their working directory in a container.
set -u

pids() {
    find /proc/[0-9]*/cwd -maxdepth 0 \( -lname "$1" -o -lname "$1/*" -o -lname "$1 (deleted)" \) 2>/dev/null |
        sed 's,/proc/\([0-9]*\)/cwd,\1,'
}

# Those among the pids given that run or could run again.
alive() { for pid; do grep -q '^State:[[:space:]]*[^[:space:]ZX]' "/proc/$pid/status" 2>/dev/null && echo "$pid"; done; }
running() { for pid; do grep -q '^State:[[:space:]]*[^[:space:]ZXTt]' "/proc/$pid/status" 2>/dev/null && echo "$pid"; done; }

signal() {
    for round in $(seq 100); do
        found=$(pids "$1")
        case $2 in
            KILL) found=$(alive $found) ;;
            STOP) found=$(running $found) ;;
        esac
        [ -n "$found" ] || return 0
        [ "$round" -gt 1 ] || echo now
        kill -"$2" $found 2>/dev/null
        case $2 in KILL | STOP) ;; *) return 0 ;; esac
    done
    echo "signal $2 did not take hold of $found below $1" >&2
    return 1
}

# A killed postmaster leaves its System V segment behind; its number is in the last but one line of its pid file.
remove_shared_memory() {
    for file in "$1"/*/data/postmaster.pid; do
        [ -e "$file" ] && sed -n 7p "$file" | while read -r _ id; do ipcrm -m "$id" 2>/dev/null; done
    done
}

case $1 in
    signal) signal "$2" "$3" ;;
    sweep)
        cat >/dev/null
        signal "$2" KILL
        remove_shared_memory "$2"
        cd / && rm -rf "$2"
        ;;
esac
