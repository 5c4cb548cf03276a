//! The stack of a board: its peak usage, and wiping what a session leaves in memory.
//!
//! ```text
//! end                      the stack pointer                    _stack_start
//!     | paint, never used | paint again, after a wipe | in use |
//! ```
//!
//! The start-up code paints the whole stack, or calls [`paint`]. A wipe paints the unused part again, and saves the peak
//! usage before it.

use core::pin::Pin;
use core::sync::atomic::{AtomicUsize, Ordering};

use waft_receiver::board::Stack;

use crate::arch::{PAINT, stack_end, stack_pointer};

/// The bytes below the stack pointer that a wipe does not touch.
const OWN: usize = 128;

/// The peak usage at the last wipe, in bytes.
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe extern "C" {
    static _stack_start: u32;
}

/// The stack usage so far.
pub fn usage() -> Stack {
    Stack { peak: peak(), size: size() }
}

/// The lowest address of the stack.
pub fn end() -> usize {
    stack_end()
}

/// The size of the stack, in bytes.
pub fn size() -> usize {
    &raw const _stack_start as usize - end()
}

/// The largest number of bytes in use at once since the start.
pub fn peak() -> usize {
    let untouched = (0..size()).step_by(4).take_while(|offset| {
        // SAFETY: the address is within the stack, and reading a word of any stack frame does no harm.
        let word = unsafe { ((end() + offset) as *const u32).read_volatile() };
        word == PAINT
    });
    let now = size() - 4 * untouched.count();
    // In two steps, because some cores have no operation for both. Only thread mode runs this.
    let peak = PEAK.load(Ordering::Relaxed).max(now);
    PEAK.store(peak, Ordering::Relaxed);
    peak
}

/// Drops the value in `slot`, and wipes the slot itself and the unused part of the stack.
#[inline(never)]
pub fn wipe<T>(mut slot: Pin<&mut Option<T>>) {
    slot.set(None);
    // SAFETY: the pinned value was dropped, so its bytes may be overwritten. `None` is written before the slot is used.
    unsafe {
        let place: *mut Option<T> = slot.get_unchecked_mut();
        zeroize::zeroize_flat_type(place);
        place.write(None);
    }
    wipe_unused();
}

/// Wipes the part of the stack that is not in use.
#[inline(never)]
pub fn wipe_unused() {
    peak();
    paint();
}

/// Paints the part of the stack that is not in use. For start-up code that does not do it: call it before anything that
/// needs much stack.
#[inline(always)]
pub fn paint() {
    let used = stack_pointer() - OWN;
    for address in (end()..used).step_by(4) {
        // SAFETY: nothing below the stack pointer is in use. An interrupt handler ends before the loop continues.
        unsafe { (address as *mut u32).write_volatile(PAINT) };
    }
}
