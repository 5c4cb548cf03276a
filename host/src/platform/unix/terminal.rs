//! Unix: the terminal byte by byte while a question is typed, and put right again afterwards.

use std::io::{self, stdin};
use std::sync::Mutex;

use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
};

/// The mode to go back to, for as long as it is changed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, the terminal hands over every byte at once and echoes none. Ctrl-C still interrupts.
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// `None` where standard input is no terminal that does so.
    pub(crate) fn begin() -> Option<Self> {
        let before = tcgetattr(stdin()).ok()?;
        let mut typing = before.clone();
        typing.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        typing.special_codes[SpecialCodeIndex::VMIN] = 1;
        typing.special_codes[SpecialCodeIndex::VTIME] = 0;
        *BEFORE.lock().ok()? = Some(before);
        tcsetattr(stdin(), OptionalActions::Now, &typing).ok()?;
        Some(Self)
    }
}

impl Drop for ByteByByte {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Puts the terminal right, if it is not.
pub(crate) fn restore_terminal() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Reads from standard input past the buffer of the standard library, which nothing wipes.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(stdin(), buffer)?)
}

/// Drops what was typed before anybody asked.
pub(crate) fn forget_typed() {
    let _ = tcflush(stdin(), QueueSelector::IFlush);
}
