//! How deep the stack has been: what runs before `main` has painted all of it.

use core::ptr;

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    // From `memory.x`: only their addresses mean something.
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The most bytes of the stack that have been in use at once, and how many it has.
pub(crate) fn usage() -> [usize; 2] {
    let (end, start) = (&raw const _stack_end, &raw const _stack_start);
    let mut deepest = end;
    // SAFETY: memory between the two is the stack's, word by word, and nobody has a reference to what lies below the deepest
    // call.
    while deepest < start && unsafe { ptr::read_volatile(deepest) } == STACK_PAINT_VALUE {
        deepest = deepest.wrapping_add(1);
    }
    [start as usize - deepest as usize, start as usize - end as usize]
}
