#!/usr/bin/env bash
# Builds palm-proto for a Cortex-M3, where there is no std to fall back on, and runs examples/no-std-check under QEMU.
#
#   scripts/no-std.sh            with rustup's target; if it cannot be had, with Debian's Rust, which brings core's source
#   scripts/no-std.sh rustup     only that way
#   scripts/no-std.sh debian     only that way
#
# It installs what it needs, as root with apt; without root it says what is missing. Exit 0: built, and the program passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/thumbv7m.sh
find_rust no-std "${1:-any}"

run "${cargo[@]}" build -p palm-proto --no-default-features --target $target "${std[@]}"
run "${cargo[@]}" build -p palm-proto --no-default-features --features alloc --target $target "${std_alloc[@]}"

cd examples/no-std-check
run "${cargo[@]}" build --release --locked "${std[@]}"

program=$CARGO_TARGET_DIR/$target/release/no-std-check
command -v size >/dev/null && run size "$program"
need qemu-system-arm qemu-system-arm || exit 1
# 60 seconds is some thousand times what it takes: a program that hangs is ended.
run timeout 60 "${cargo[@]}" run --quiet --release --locked "${std[@]}" </dev/null
say "passed"
