//! The terminal's mode while a question is typed: byte by byte and without its own echo, and put right again afterwards.
//!
//! Where that cannot be had, a question is answered by whole lines, and checked after Enter.

#[cfg(unix)]
pub(super) use unix::{ByteByByte, forget_typed, restore};
#[cfg(not(unix))]
pub(super) use whole_lines::{ByteByByte, forget_typed, restore};

#[cfg(unix)]
mod unix {
    use std::io::stdin;
    use std::sync::Mutex;

    use rustix::termios::{
        LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcsetattr,
    };

    /// The mode to go back to, for as long as it is changed.
    static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

    /// While this lives, the terminal hands over every byte at once. Ctrl-C still interrupts.
    pub(crate) struct ByteByByte;

    impl ByteByByte {
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
            restore();
        }
    }

    /// Puts the terminal right, if it is not.
    pub(crate) fn restore() {
        if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
            let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
        }
    }

    /// Drops what was typed before anybody asked.
    pub(crate) fn forget_typed() {
        let _ = tcflush(stdin(), QueueSelector::IFlush);
    }
}

#[cfg(not(unix))]
mod whole_lines {
    pub(crate) struct ByteByByte;

    impl ByteByByte {
        pub(crate) fn begin() -> Option<Self> {
            None
        }
    }

    pub(crate) fn restore() {}

    pub(crate) fn forget_typed() {}
}
