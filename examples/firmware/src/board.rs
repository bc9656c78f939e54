//! The board: a Stellaris LM3S6965 with a console at UART0. All that knows the chip is here, in `memory.x` and nowhere else.

use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::Peripherals;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m::peripheral::{NVIC, SCB};
use cortex_m_rt::exception;
use palm_proto::Instant;
use palm_proto::message::{NoRoom, Sink};

use crate::ring::Ring;

/// Of the core and the UART, in Hz: 200 MHz from the PLL by four.
const CLOCK: u32 = 50_000_000;
const PLL_DIVISOR: u32 = 4;
/// Bits a second on the line.
const BAUD: u32 = 115_200;
/// Time is counted in steps of so many microseconds.
const TICK: u32 = 10_000;

/// What comes while the worker is busy: as much as a master may send meanwhile, which is another task and a few small frames.
static RECEIVED: Ring<512> = Ring::new();
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Registers, by their addresses.
mod register {
    pub(super) const SYSTEM_INTERRUPTS: usize = 0x400f_e050;
    pub(super) const CLOCKS: usize = 0x400f_e060;
    pub(super) const GATES_1: usize = 0x400f_e104;
    pub(super) const GATES_2: usize = 0x400f_e108;

    pub(super) const PORT_A_ALTERNATE: usize = 0x4000_4420;
    pub(super) const PORT_A_DIGITAL: usize = 0x4000_451c;

    // A PL011.
    pub(super) const DATA: usize = 0x4000_c000;
    pub(super) const FLAGS: usize = 0x4000_c018;
    pub(super) const DIVISOR: usize = 0x4000_c024;
    pub(super) const DIVISOR_FRACTION: usize = 0x4000_c028;
    pub(super) const LINE_CONTROL: usize = 0x4000_c02c;
    pub(super) const CONTROL: usize = 0x4000_c030;
    pub(super) const INTERRUPTS: usize = 0x4000_c038;
}

fn read(register: usize) -> u32 {
    // SAFETY: all callers are in this file, and take the address from above: reading it has no effect on memory.
    unsafe { ptr::read_volatile(register as *const u32) }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { ptr::write_volatile(register as *mut u32, value) }
}

/// Starts clocks, line and interrupts. To be called once, by `main`.
pub(crate) fn start() -> (Clock, Port) {
    // SAFETY: nobody else uses the core's peripherals.
    let mut core = unsafe { Peripherals::steal() };
    start_pll();
    start_uart();

    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CLOCK / (1_000_000 / TICK) - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();
    // SAFETY: nothing relies on this interrupt being masked.
    unsafe { NVIC::unmask(Uart0) };
    (Clock { low: 0, high: 0 }, Port)
}

/// The PLL with the board's crystal of 8 MHz, in five steps.
fn start_pll() {
    const CRYSTAL_8_MHZ: u32 = 0xe << 6;
    const BYPASS: u32 = 1 << 11;
    const POWER_DOWN: u32 = 1 << 13;
    const USE_DIVISOR: u32 = 1 << 22;
    const PLL_LOCKED: u32 = 1 << 6;

    let slow = CRYSTAL_8_MHZ | BYPASS | (PLL_DIVISOR - 1) << 23;
    write(register::CLOCKS, slow | POWER_DOWN);
    write(register::CLOCKS, slow);
    write(register::CLOCKS, slow | USE_DIVISOR);
    while read(register::SYSTEM_INTERRUPTS) & PLL_LOCKED == 0 {}
    write(register::CLOCKS, (slow | USE_DIVISOR) & !BYPASS);
}

fn start_uart() {
    const PINS: u32 = 0b11;
    const EIGHT_BITS: u32 = 0b11 << 5;
    const FIFO: u32 = 1 << 4;
    const ENABLE: u32 = 1 | TRANSMIT | RECEIVE;
    const TRANSMIT: u32 = 1 << 8;
    const RECEIVE: u32 = 1 << 9;
    const RECEIVED: u32 = 1 << 4;
    const RECEIVED_LONG_AGO: u32 = 1 << 6;
    /// In 64ths.
    const DIVISOR: u32 = (CLOCK * 4 + BAUD / 2) / BAUD;

    write(register::GATES_1, read(register::GATES_1) | 1);
    write(register::GATES_2, read(register::GATES_2) | 1);
    // A read before the first use gives a gate the time that it needs.
    read(register::GATES_2);
    write(register::PORT_A_ALTERNATE, read(register::PORT_A_ALTERNATE) | PINS);
    write(register::PORT_A_DIGITAL, read(register::PORT_A_DIGITAL) | PINS);

    write(register::DIVISOR, DIVISOR / 64);
    write(register::DIVISOR_FRACTION, DIVISOR % 64);
    write(register::LINE_CONTROL, EIGHT_BITS | FIFO);
    write(register::INTERRUPTS, RECEIVED | RECEIVED_LONG_AGO);
    write(register::CONTROL, ENABLE);
}

/// Which board this is.
pub(crate) fn number() -> u32 {
    unsafe extern "C" {
        static _board: u32;
    }
    // SAFETY: `memory.x` sets this word of the flash aside. It is no part of the image, hence the volatile access.
    unsafe { ptr::read_volatile(&raw const _board) }
}

/// Starts the board anew.
pub(crate) fn reset() -> ! {
    SCB::sys_reset()
}

/// Tells the time since the start.
pub(crate) struct Clock {
    /// Ticks when it was read last, and how often they have begun anew.
    low: u32,
    high: u32,
}

impl Clock {
    /// To be called at least once in a year.
    pub(crate) fn now(&mut self) -> Instant {
        let ticks = TICKS.load(Ordering::Relaxed);
        self.high += u32::from(ticks < self.low);
        self.low = ticks;
        Instant::from_micros((u64::from(self.high) << 32 | u64::from(ticks)) * u64::from(TICK))
    }
}

/// The line.
pub(crate) struct Port;

impl Port {
    /// The next byte that has come.
    pub(crate) fn receive(&mut self) -> Option<u8> {
        RECEIVED.take()
    }

    /// Sleeps until something comes, or a tick has passed.
    pub(crate) fn wait(&mut self) {
        // What comes between the look and the sleep ends it all the same, since it waits with interrupts held back.
        cortex_m::interrupt::free(|_| {
            if RECEIVED.is_empty() {
                cortex_m::asm::wfi();
            }
        });
    }
}

/// Sends, as fast as the line takes it.
impl Sink for Port {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        const TRANSMIT_FULL: u32 = 1 << 5;
        for &byte in bytes {
            while read(register::FLAGS) & TRANSMIT_FULL != 0 {}
            write(register::DATA, byte.into());
        }
        Ok(())
    }

    fn position(&self) -> usize {
        0
    }
}

/// Takes all that the UART has. A byte that came with an error is kept: the checksum of its frame tells.
extern "C" fn uart0() {
    const RECEIVE_EMPTY: u32 = 1 << 4;
    while read(register::FLAGS) & RECEIVE_EMPTY == 0 {
        RECEIVED.put(read(register::DATA) as u8);
    }
}

#[exception]
fn SysTick() {
    TICKS.store(TICKS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

#[exception]
unsafe fn HardFault(_: &cortex_m_rt::ExceptionFrame) -> ! {
    reset()
}

#[derive(Clone, Copy)]
struct Uart0;

// SAFETY: it is the UART's number, and its place in the table below.
unsafe impl InterruptNumber for Uart0 {
    fn number(self) -> u16 {
        5
    }
}

type Handler = Option<extern "C" fn()>;

/// As far as the last that is used.
// SAFETY: start-up code's linker script puts it behind the exceptions, where the core looks for it.
#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Handler; 6] = [None, None, None, None, None, Some(uart0)];
