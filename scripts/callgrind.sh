#!/usr/bin/env bash
# Counts the instructions that the core spends on a message, with valgrind's callgrind.
#
#   scripts/callgrind.sh [MESSAGES]     how many to send through; 10000 unless told
#
# Prints a table, an operation a line, and leaves target/callgrind/out for `callgrind_annotate` or kcachegrind, which say
# where the instructions go. Instructions do not depend on the machine's load; they do on the compiler's version.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

messages=${1:-10000}
out=target/callgrind/out

run() {
    printf '+ %s\n' "$*"
    "$@"
}

if ! command -v valgrind >/dev/null; then
    echo "callgrind: missing: valgrind (as root: apt-get install valgrind)"
    exit 1
fi
run cargo build --release -p palm-tests --bin instructions
mkdir -p "$(dirname "$out")"
run valgrind --quiet --tool=callgrind --callgrind-out-file="$out" --collect-atstart=no \
    --toggle-collect='instructions::counted::*' target/release/instructions "$messages"

rustc --version
# Inclusive costs: what an operation calls is its own. Code that was inlined into it has lines of its own in the output;
# the line with the largest number is that of the whole.
callgrind_annotate --inclusive=yes --threshold=100 --show-percs=no "$out" | awk -v messages="$messages" '
    BEGIN {
        master = "submit dispatch complete publish"
        parts = "write_message parse_message make_uuid hash_topic cache_set cache_get"
    }
    match($0, /instructions::counted::[a-z_0-9]+/) {
        name = substr($0, RSTART + 23, RLENGTH - 23)
        count = $1
        gsub(",", "", count)
        if (count + 0 > cost[name]) cost[name] = count + 0
    }
    function line(name, count) { printf "%-16s %10.1f\n", name, count / messages }
    END {
        print "instructions a message"
        many = split(master, names, " ")
        for (i = 1; i <= many; i++) { line(names[i], cost[names[i]]); sum += cost[names[i]] }
        line("master, total", sum)
        print "of which, or beside it"
        many = split(parts, names, " ")
        for (i = 1; i <= many; i++) line(names[i], cost[names[i]])
    }'
