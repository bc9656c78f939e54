# Rust for a Cortex-M3: to be sourced by scripts, in the project's root.
#
#   find_rust NAME WAY    sets `cargo`, a command, and its arguments `std` and `std_alloc`; NAME is that of the script, in
#                         what it says. WAY: `rustup` for rustup's target, `debian` for Debian's Rust, which brings core's source,
#                         `any` for the first of them that can be had
#   need COMMAND PACKAGE  sees to it that the command is there
#   run, say              a command, and a line, shown
#
# What is missing is installed, as root with apt; without root it says what it is.

target=thumbv7m-none-eabi
export CARGO_TARGET_DIR=$PWD/target/no-std

say() { printf '%s\n' "$name: $*"; }

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

need() {
    command -v "$1" >/dev/null || install "$2"
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

find_rust() {
    name=$1
    case $2 in
        any) with_rustup || { say "rustup has no $target here; Debian's Rust instead"; with_debian; } ;;
        rustup) with_rustup ;;
        debian) with_debian ;;
        *) say "no such way: $2"; exit 2 ;;
    esac || { say "no Rust for $target"; exit 1; }
}
