//! Windows: the console hands over key by key and echoes none; its mode stays as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, stderr, stdin, stdout};

use console::{Key, Term};

/// While this lives, somebody shows what is typed. The console itself never does, see [`read_standard_input`].
pub(crate) struct ByteByByte;

impl ByteByByte {
    /// `None` where standard input is no console from which keys can be read.
    pub(crate) fn begin() -> Option<Self> {
        console().map(|_| Self)
    }
}

/// Nothing was changed.
pub(crate) fn restore_terminal() {}

/// Nothing was changed.
pub(crate) fn suspend_terminal() {}

/// Nothing was changed.
pub(crate) fn resume_terminal() {}

/// What was typed before anybody asked stays.
pub(crate) fn forget_typed() {}

/// Whoever reads waits.
pub(crate) fn wait_for_input() {}

/// Reads from standard input. From a console it takes a key, which the console does not echo.
pub(crate) fn read_standard_input(buffer: &mut [u8]) -> io::Result<usize> {
    let Some(console) = console() else { return stdin().lock().read(buffer) };
    loop {
        let typed = match console.read_key()? {
            Key::Enter => '\n',
            Key::Tab => '\t',
            Key::Backspace | Key::Del => '\x08',
            Key::Char(typed) => typed,
            _ => continue,
        };
        return Ok(typed.encode_utf8(buffer).len());
    }
}

/// The console, where one is at standard input and at one of the outputs.
fn console() -> Option<Term> {
    let out = match (stderr().is_terminal(), stdout().is_terminal()) {
        (true, _) => Term::stderr(),
        (false, true) => Term::stdout(),
        (false, false) => return None,
    };
    stdin().is_terminal().then_some(out)
}

/// Opens the console for writing.
pub(crate) fn open_terminal() -> io::Result<File> {
    match console() {
        Some(_) => OpenOptions::new().write(true).open("CONOUT$"),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// The columns of the console, whichever handle of it is given.
pub(crate) fn columns<T>(_terminal: T) -> Option<u16> {
    console().and_then(|console| console.size_checked()).map(|(_, columns)| columns)
}

/// Whether the console understands escape sequences. Asking for colours makes it do so.
pub(crate) fn understands_escapes() -> bool {
    console().is_some_and(|console| console.features().colors_supported())
}

/// Whether codes and keys are shown while they are typed. PowerShell's transcripts would keep them.
pub(crate) const SHOWS_SECRETS: bool = false;
