//! Windows: questions are answered by whole lines, and checked after Enter.

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

/// What was typed before anybody asked stays.
pub(crate) fn forget_typed() {}
