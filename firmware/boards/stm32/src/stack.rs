//! The stack usage, found by the paint that the start-up code writes to the whole stack.

use cortex_m_rt::STACK_PAINT_VALUE;
use waft_receiver::board::Stack;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The peak usage and the size of the stack.
pub(crate) fn usage() -> Stack {
    let (end, start) = (&raw const _stack_end as usize, &raw const _stack_start as usize);
    let untouched = (end..start).step_by(4).take_while(|address| {
        // SAFETY: the address is an aligned word of the stack, and reading a word of any stack frame does no harm.
        unsafe { (*address as *const u32).read_volatile() == STACK_PAINT_VALUE }
    });
    let size = start - end;
    Stack { peak: size - 4 * untouched.count(), size }
}
