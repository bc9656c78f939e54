#!/usr/bin/env bash
# Which lines and regions of palm-proto the fuzz targets reach with what is in fuzz/corpus and fuzz/target/corpus, by file.
#
#   scripts/coverage.sh [TARGET...]     all targets together, unless told
#
# With one target, it tells what that one reaches alone. The lines themselves: fuzz/target/coverage/lines.txt.
# It needs llvm-profdata and llvm-cov of the version of rustc's LLVM, or a later one; as root, it installs them with apt-get.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

run() {
    printf '+ %s\n' "$*" >&2
    "$@"
}

llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
host=$(rustc -vV | sed -n 's/^host: //p')

# The folder and the suffix of the tools: those of a rustup component, or a system's.
find_tools() {
    local folder suffix
    folder="$(rustc --print sysroot)/lib/rustlib/$host/bin"
    for suffix in "" "-$llvm"; do
        if [ -z "$suffix" ] && [ -x "$folder/llvm-cov" ]; then
            profdata=$folder/llvm-profdata cov=$folder/llvm-cov
            return 0
        elif [ -n "$suffix" ] && command -v "llvm-cov$suffix" >/dev/null; then
            profdata=llvm-profdata$suffix cov=llvm-cov$suffix
            return 0
        fi
    done
    return 1
}

if ! find_tools; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "coverage: missing: LLVM $llvm (as root: apt-get install llvm-$llvm; or: rustup component add llvm-tools)"
        exit 1
    fi
    run apt-get -qq update
    run apt-get -qq install -y --no-install-recommends "llvm-$llvm" </dev/null >/dev/null
    find_tools
fi

if [ $# -eq 0 ]; then
    set -- fuzz_targets/*.rs
    set -- "${@##*/}"
    set -- "${@%.rs}"
fi

out=target/coverage
mkdir -p "$out"
export RUSTFLAGS="--cfg fuzzing -Cinstrument-coverage -Ccodegen-units=1"
export LLVM_PROFILE_FILE=/dev/null
run cargo build --release --locked --bins --target "$host" --target-dir "$out/build"

objects=()
profiles=()
for target in "$@"; do
    program="$out/build/$host/release/$target"
    profile="$out/$target.profraw"
    folders=()
    for folder in "corpus/$target" "target/corpus/$target"; do
        [ -d "$folder" ] && folders+=("$folder")
    done
    # Each input once: the program is not built for a fuzzer that looks for more.
    LLVM_PROFILE_FILE=$profile run "$program" -runs=0 "${folders[@]}" </dev/null >"$out/$target.log" 2>&1 ||
        { tail -n 20 "$out/$target.log"; echo "coverage: FAILED: $target"; exit 1; }
    profiles+=("$profile")
    objects+=(-object "$program")
done
run "$profdata" merge -sparse "${profiles[@]}" -o "$out/all.profdata"
of=("${objects[@]}" -instr-profile="$out/all.profdata" -sources "$(cd ../palm-proto/src && pwd)")
"$cov" show "${of[@]}" >"$out/lines.txt" 2>/dev/null
run "$cov" report -show-branch-summary=false -show-functions=false "${of[@]}"
