//! How deep the stack went, as the paint tells that the start-up code put on it.

use cortex_m_rt::STACK_PAINT_VALUE;
use waft_receiver::board::Stack;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The stack so far.
pub(crate) fn depth() -> Stack {
    let (end, start) = (&raw const _stack_end as usize, &raw const _stack_start as usize);
    let untouched = (end..start).step_by(4).take_while(|address| {
        // SAFETY: this is the stack, in whole words; at worst a frame that somebody writes is read.
        unsafe { (*address as *const u32).read_volatile() == STACK_PAINT_VALUE }
    });
    let size = start - end;
    Stack { peak: size - 4 * untouched.count(), size }
}
