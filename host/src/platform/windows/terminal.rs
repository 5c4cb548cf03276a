//! Windows: questions are answered by whole lines, and checked after Enter.

use std::io::{self, Read, stdin};

/// Never begins, so the terminal's mode stays as it is.
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// Always `None`.
    pub(crate) fn begin() -> Option<Self> {
        None
    }
}

/// Nothing was changed.
pub(crate) fn restore_terminal() {}

/// Reads from standard input.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    stdin().lock().read(buffer)
}

/// What was typed before anybody asked stays.
pub(crate) fn forget_typed() {}
