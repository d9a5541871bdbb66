#!/bin/sh
# Instructions for each operation of the micro benchmarks, counted by callgrind: the same on every run and on a busy
# machine, which nanoseconds are not.
#
#   benches/micro-instructions.sh [PART OF A NAME]
#
# Every benchmark runs twice, the second time with twice as many operations; the difference is free of start-up.
set -eu

cd "$(dirname "$0")/.."
few=2000
many=4000
program=$(cargo bench --quiet --bench micro --no-run --message-format=json |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | grep '/micro-' | tail -1)
[ -n "$program" ] || { echo "$0: cargo built no micro benchmark" >&2; exit 1; }

# A benchmark that fails has counted its failure.
count() {
    said=$(valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" --repeat "$1" "$2" 2>&1) || {
        echo "$0: $2 fails: $said" >&2
        return 1
    }
    echo "$said" | sed -n 's/.*Collected *: *\([0-9]*\).*/\1/p'
}

"$program" --names | grep -e "${1-}" | while read -r name; do
    a=$(count "$name" "$few")
    b=$(count "$name" "$many")
    if [ -z "$a" ] || [ -z "$b" ]; then
        echo "$0: callgrind counted nothing for $name" >&2
        exit 1
    fi
    awk -v name="$name" -v a="$a" -v b="$b" -v n=$((many - few)) \
        'BEGIN { printf "%-18s %9.1f instructions\n", name, (b - a) / n }'
done
