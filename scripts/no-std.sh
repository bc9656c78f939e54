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

target=thumbv7m-none-eabi
way=${1:-any}
export CARGO_TARGET_DIR=$PWD/target/no-std

say() { printf '%s\n' "no-std: $*"; }

run() {
    printf '+ %s\n' "$*"
    "$@"
}

# install PACKAGE...: with apt, if this is root on a machine that has it.
install() {
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "missing: $* (as root: apt-get install $*)"
        return 1
    fi
    export DEBIAN_FRONTEND=noninteractive
    run apt-get -qq update
    run apt-get -qq install -y --no-install-recommends "$@" </dev/null >/dev/null
}

with_rustup() {
    command -v rustup >/dev/null || return 1
    rustup target list --installed | grep -qx $target || run timeout 120 rustup target add $target || return 1
    cargo=(cargo)
    std=()
    std_alloc=()
}

with_debian() {
    local linker
    [ -d /usr/lib/rustlib/src/rust/library/core ] && [ -x /usr/bin/cargo ] ||
        install rustc-web cargo-web rust-web-src || return 1
    linker=$(command -v rust-lld || find "$(rustc --print sysroot)" -name rust-lld -print -quit)
    [ -n "$linker" ] || { say "no rust-lld in $(rustc --print sysroot)"; return 1; }
    cargo=(env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 CARGO_TARGET_THUMBV7M_NONE_EABI_LINKER="$linker" /usr/bin/cargo)
    std=(-Zbuild-std=core)
    std_alloc=(-Zbuild-std=core,alloc)
}

case $way in
    any) with_rustup || { say "rustup has no $target here; Debian's Rust instead"; with_debian; } ;;
    rustup) with_rustup ;;
    debian) with_debian ;;
    *) say "no such way: $way"; exit 2 ;;
esac || { say "no Rust for $target"; exit 1; }

run "${cargo[@]}" build -p palm-proto --no-default-features --target $target "${std[@]}"
run "${cargo[@]}" build -p palm-proto --no-default-features --features alloc --target $target "${std_alloc[@]}"

cd examples/no-std-check
run "${cargo[@]}" build --release --locked "${std[@]}"

program=$CARGO_TARGET_DIR/$target/release/no-std-check
command -v size >/dev/null && run size "$program"
command -v qemu-system-arm >/dev/null || install qemu-system-arm || exit 1
# 60 seconds is some thousand times what it takes: a program that hangs is ended.
run timeout 60 "${cargo[@]}" run --quiet --release --locked "${std[@]}" </dev/null
say "passed"
