//! Unix: the terminal at standard input, byte by byte while a question is typed, and in its own mode otherwise.

use std::fs::File;
use std::io::{self, IsTerminal, stdin};
use std::sync::Mutex;
use std::thread::sleep;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::AsFd;
use rustix::fs::{Mode, OFlags};
use rustix::process::getpgrp;
use rustix::termios::{
    LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios, tcflush, tcgetattr, tcgetpgrp, tcgetwinsize,
    tcsetattr, ttyname,
};

/// Between two looks whether a process in the background has come to the foreground.
const BACKGROUND: Duration = Duration::from_millis(100);

/// The mode to go back to, for as long as it is changed.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, the terminal hands over every byte at once and echoes none. Ctrl-C and its like still raise signals.
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// `None` where standard input is no terminal that does so.
    pub(crate) fn begin() -> Option<Self> {
        let mut before = BEFORE.lock().ok()?;
        *before = Some(enter()?);
        Some(Self)
    }
}

impl Drop for ByteByByte {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Changes the mode; gives the one before.
fn enter() -> Option<Termios> {
    let before = tcgetattr(stdin()).ok()?;
    let mut typing = before.clone();
    typing.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
    typing.special_codes[SpecialCodeIndex::VMIN] = 1;
    typing.special_codes[SpecialCodeIndex::VTIME] = 0;
    tcsetattr(stdin(), OptionalActions::Now, &typing).ok()?;
    Some(before)
}

/// Puts the terminal right for good, if it is not.
pub(crate) fn restore_terminal() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        let _ = tcsetattr(stdin(), OptionalActions::Now, &before);
    }
}

/// Puts the terminal right while this process is stopped.
pub(crate) fn suspend_terminal() {
    if let Ok(before) = BEFORE.lock()
        && let Some(before) = &*before
    {
        let _ = tcsetattr(stdin(), OptionalActions::Now, before);
    }
}

/// Changes the mode again where a question is open. In the background this stops the process until it is brought to the
/// foreground: the question cannot be answered before.
pub(crate) fn resume_terminal() {
    if let Ok(mut before) = BEFORE.lock()
        && before.is_some()
        && let Some(now) = enter()
    {
        *before = Some(now);
    }
}

/// Drops what was typed before anybody asked.
pub(crate) fn forget_typed() {
    let _ = tcflush(stdin(), QueueSelector::IFlush);
}

/// Waits until standard input has something to read. Of a terminal only in the foreground: what is typed there is meant
/// for another process otherwise, and to read it would stop this one.
pub(crate) fn wait_for_input() {
    // Where terminals cannot be polled, whoever reads waits.
    if cfg!(target_vendor = "apple") {
        return;
    }
    loop {
        let stdin = stdin();
        let mut input = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut input, None) {
            Err(rustix::io::Errno::INTR) => continue,
            _ if !stdin.is_terminal() => return,
            _ => {}
        }
        match tcgetpgrp(&stdin) {
            Ok(foreground) if foreground != getpgrp() => sleep(BACKGROUND),
            _ => return,
        }
    }
}

/// Reads from standard input past the buffer of the standard library, which nothing wipes.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(stdin(), buffer)?)
}

/// Opens the terminal at standard input for writing.
pub(crate) fn open_terminal() -> io::Result<File> {
    let name = ttyname(stdin(), Vec::new())?;
    Ok(rustix::fs::open(name, OFlags::WRONLY | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?.into())
}

/// The columns of a terminal.
pub(crate) fn columns(terminal: impl AsFd) -> Option<u16> {
    tcgetwinsize(terminal).ok().map(|size| size.ws_col)
}

/// Whether the terminal understands escape sequences.
pub(crate) fn understands_escapes() -> bool {
    std::env::var_os("TERM").is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// Whether codes and keys are shown while they are typed.
pub(crate) const SHOWS_SECRETS: bool = true;
