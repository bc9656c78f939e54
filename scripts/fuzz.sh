#!/usr/bin/env bash
# Builds the fuzz targets and runs each for some seconds, from the corpus in fuzz/corpus.
#
#   scripts/fuzz.sh [SECONDS [TARGET...]]     10 seconds, all targets, unless told
#
# What libFuzzer finds on the way is kept in fuzz/target/corpus; an input that breaks a target goes to fuzz/artifacts/TARGET
# and its name is printed: `fuzz/target/*/release/TARGET FILE` runs it again. It needs neither nightly Rust nor cargo-fuzz:
# there is no unsafe code for the address sanitizer to watch. It does need a C++ compiler, for libFuzzer.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${1:-10}
[ $# -gt 0 ] && shift

# What a target wants beside the usual: those that have a whole master come far with long inputs only.
options() {
    case $1 in
        endpoint | native_master) echo -len_control=0 -max_len=1024 ;;
    esac
}

run() {
    printf '+ %s\n' "$*"
    "$@"
}

if ! command -v c++ >/dev/null; then
    echo "fuzz: missing: a C++ compiler (as root: apt-get install g++)"
    exit 1
fi

host=$(rustc -vV | sed -n 's/^host: //p')
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage+=" -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table"
coverage+=" -Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions=yes -Coverflow-checks=yes -Ccodegen-units=1 $coverage"
# Naming the target keeps these flags from build scripts.
run cargo build --release --locked --bins --target "$host"

if [ $# -eq 0 ]; then
    set -- fuzz_targets/*.rs
    set -- "${@##*/}"
    set -- "${@%.rs}"
fi
for target in "$@"; do
    mkdir -p "target/corpus/$target" "artifacts/$target" "corpus/$target"
    printf '+ %s, %s seconds\n' "$target" "$seconds"
    read -ra options < <(options "$target"; echo)
    if ! "target/$host/release/$target" -max_total_time="$seconds" -timeout=60 -print_funcs=0 -print_final_stats=1 \
        "${options[@]}" \
        -artifact_prefix="artifacts/$target/" "target/corpus/$target" "corpus/$target" \
        </dev/null >"target/$target.log" 2>&1; then
        tail -n 60 "target/$target.log"
        echo "fuzz: FAILED: $target"
        exit 1
    fi
    grep -E '^stat::(number_of_executed_units|average_exec_per_sec):' "target/$target.log"
done
echo "fuzz: passed: $*"
