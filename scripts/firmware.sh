#!/usr/bin/env bash
# Builds examples/firmware, sees whether it is as small as it should be, and lets boards under QEMU work.
#
#   scripts/firmware.sh          with rustup's target; if it cannot be had, with Debian's Rust
#   scripts/firmware.sh rustup   only that way
#   scripts/firmware.sh debian   only that way
#
# It installs what it needs, as root with apt; without root it says what is missing. Exit 0: built, small, and all passed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
source scripts/thumbv7m.sh
find_rust firmware "${1:-any}"

# Bytes. RAM: a frame, what comes meanwhile, and 1 KiB for all else, the stack among it.
flash_budget=$((12 * 1024))
# The core that rustup has is built for speed.
[ ${#std[@]} -gt 0 ] || flash_budget=$((flash_budget + 512))
ram_budget=$((305 + 512 + 1024))

need nm binutils || exit 1
need qemu-system-arm qemu-system-arm || exit 1
(cd examples/firmware && run "${cargo[@]}" build --release --locked "${std[@]}")
image=$CARGO_TARGET_DIR/$target/release/firmware

# symbol NAME: its address.
symbol() { printf '%d' "0x$(nm "$image" | awk -v name="$1" '$3 == name { print $1 }')"; }

read -r text data bss _ < <(size "$image" | tail -n 1)
stack=$(($(symbol _stack_start) - $(symbol _stack_end)))
flash=$((text + data))
ram=$((data + bss + stack))
say "flash $flash of $flash_budget bytes, RAM $ram of $ram_budget, $stack of them the stack"
[ "$flash" -le "$flash_budget" ] && [ "$ram" -le "$ram_budget" ] || { say "too large"; exit 1; }
if nm -C "$image" | grep 'core::fmt'; then
    say "it formats text, which takes more room than all else"
    exit 1
fi

cd "$root"
unset CARGO_TARGET_DIR
run env PALM_FIRMWARE="$image" cargo test -p palm-tests --test firmware -- --ignored --nocapture
say "passed"
