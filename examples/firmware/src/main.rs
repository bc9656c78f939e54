//! A worker on a Cortex-M3 without an operating system and a heap, at the end of a serial line (`docs/spec.md`, section 9).
//!
//! [`board`] is all that knows the chip; [`functions`] is what the worker does. Whatever happens on the line, the worker begins
//! again with Hello; a panic, which would be a bug, resets the board.
#![no_std]
#![no_main]

mod board;
mod functions;
mod node;
mod ring;
mod stack;

use core::panic::PanicInfo;

use palm_proto::native::LINE_OVERHEAD;

use node::{MAX_FRAME, Node};

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut FRAME: [u8; MAX_FRAME + LINE_OVERHEAD] = [0; MAX_FRAME + LINE_OVERHEAD];
    static mut NAME: [u8; 14] = *b"board 00000000";

    let (clock, port) = board::start();
    let number = board::number();
    for (place, digit) in NAME.iter_mut().rev().zip((0..8).map(|digit| number >> (4 * digit) & 0xf)) {
        *place = if digit < 10 { b'0' } else { b'a' - 10 } + digit as u8;
    }
    Node::new(number, core::str::from_utf8(NAME).unwrap_or_default(), clock, port).run(FRAME)
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    board::reset()
}
