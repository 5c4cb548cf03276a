//! The terminal that a user sits at, as the whole process shares it: which unfinished lines stand on it, and how they are
//! taken away and put back.
//!
//! Signals come on a thread of their own, at any moment, so this is one value of the process. The commands' thread draws;
//! the signals' thread only ends, or interrupts, what is drawn.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::Duration;

use indicatif::ProgressBar;
use zeroize::Zeroizing;

use crate::platform;
use crate::secret::secret;

/// Room for every line with a secret in it, in bytes.
const ROOM: usize = 1024;
/// How often, and at which intervals, the last words of the process try to get at what is being drawn: the drawing
/// thread may hang in a terminal that takes nothing more (Ctrl-S).
const LAST_TRIES: u32 = 20;
const LAST_PAUSE: Duration = Duration::from_millis(10);

static TERMINAL: LazyLock<Mutex<Terminal>> = LazyLock::new(Mutex::default);

/// Where questions are asked and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompts {
    /// On a terminal that understands escape sequences: a line is drawn while it is typed.
    Drawn,
    /// On a terminal that does not: the question is written once, and the terminal collects the line.
    Written,
    /// Standard input is a terminal, but questions cannot be shown on it.
    Nowhere,
    /// Standard input is no terminal: its lines answer.
    Piped,
}

/// What stands in the last line of the terminal.
#[derive(Default)]
pub(super) struct Terminal {
    /// The terminal itself, where standard error is something else.
    own: Option<File>,
    /// The question that is open, with what has been typed.
    question: Option<Zeroizing<String>>,
    bar: Option<ProgressBar>,
    /// The unfinished line of a simulated board's console, as the board wrote it.
    console: Zeroizing<Vec<u8>>,
    /// Whether lines can be drawn anew.
    drawn: bool,
}

/// Finds out where questions can be asked.
pub(super) fn find_prompts() -> Prompts {
    if !stdin().is_terminal() {
        return Prompts::Piped;
    }
    let mut terminal = lock();
    if !stderr().is_terminal() {
        match platform::open_terminal() {
            Ok(file) => terminal.own = Some(file),
            Err(_) => return Prompts::Nowhere,
        }
    }
    terminal.drawn = platform::understands_escapes();
    if terminal.drawn { Prompts::Drawn } else { Prompts::Written }
}

/// The columns of the terminal.
pub(super) fn width() -> usize {
    let columns = match &lock().own {
        Some(file) => platform::columns(file),
        None => platform::columns(stderr()),
    };
    columns.filter(|columns| *columns > 0).unwrap_or(80).into()
}

/// Draws the open question, in the place of what stands in its line. `hint` is written behind the cursor, and gone with
/// the next change.
pub(super) fn draw(question: Zeroizing<String>, hint: &str) {
    let mut terminal = lock();
    let _ = terminal.write(format_args!("\r\x1b[2K{}", *question));
    if !hint.is_empty() {
        let _ = terminal.write(format_args!("\x07\x1b[s  ({hint})\x1b[u"));
    }
    terminal.question = Some(question);
}

/// The columns that a hint takes.
pub(super) fn hint_width(hint: &str) -> usize {
    if hint.is_empty() { 0 } else { hint.len() + 4 }
}

/// Writes the question, behind which the terminal shows what is typed.
pub(super) fn ask(question: Zeroizing<String>) {
    let mut terminal = lock();
    let _ = terminal.write(format_args!("{}", *question));
    terminal.question = Some(question);
}

/// Ends the question's line.
pub(super) fn close_question() {
    let mut terminal = lock();
    if terminal.question.take().is_some() {
        let _ = terminal.write(format_args!("\n"));
    }
}

/// Takes away the `^C` that the terminal has shown at the beginning of a line.
pub(super) fn take_away_echo() {
    let mut terminal = lock();
    if terminal.drawn && terminal.question.is_none() && terminal.console.is_empty() {
        let _ = terminal.write(format_args!("\r\x1b[2K"));
    }
}

/// Tells the user something on the terminal itself, where standard error is something else.
pub(super) fn tell(text: impl fmt::Display) {
    let mut terminal = lock();
    if terminal.own.is_some() {
        terminal.end_line();
        let _ = terminal.write(format_args!("{text}\n"));
        terminal.write_question();
    }
}

/// Shows a bar; `None` takes it away.
pub(super) fn set_bar(bar: Option<ProgressBar>) {
    let before = std::mem::replace(&mut lock().bar, bar);
    if let Some(bar) = before {
        bar.finish_and_clear();
    }
}

/// Remembers the unfinished line of a simulated board's console.
pub(super) fn set_console(line: &[u8]) {
    lock().console = Zeroizing::new(line.to_vec());
}

/// Writes lines to standard error, around the bar and the question that may stand on the terminal.
pub(super) fn write_lines(put: impl Fn(&mut dyn Write) -> io::Result<()>) {
    let mut terminal = lock();
    // At once, so that no other process writes into a line; in a buffer that is wiped, since a key may stand in it.
    let put = || {
        let mut lines = Zeroizing::new(Vec::with_capacity(ROOM));
        let _ = put(&mut *lines).and_then(|()| stderr().lock().write_all(&lines));
    };
    // Where standard error is something else, nothing of the terminal is torn.
    let is_torn = terminal.own.is_none() && terminal.question.is_some();
    match &terminal.bar {
        Some(bar) => bar.suspend(put),
        None if is_torn => {
            let away = if terminal.drawn { "\r\x1b[2K" } else { "\n" };
            let _ = terminal.write(format_args!("{away}"));
            put();
            terminal.write_question();
        }
        None => put(),
    }
}

/// Before the process ends: ends what is drawn, and puts the terminal right.
pub(super) fn leave() {
    platform::restore_terminal();
    if let Some(mut terminal) = lock_soon() {
        terminal.end_line();
        (terminal.question, terminal.bar) = (None, None);
    }
}

/// Before the process is stopped: the same, but it will be drawn again.
pub(super) fn suspend() {
    platform::suspend_terminal();
    if let Some(mut terminal) = lock_soon() {
        terminal.end_line();
    }
}

/// When the process goes on: shows the open question again. The bar is drawn with the next progress.
pub(super) fn resume() {
    platform::resume_terminal();
    if let Some(mut terminal) = lock_soon() {
        terminal.write_question();
        let mut out = stdout().lock();
        let _ = out.write_all(&terminal.console).and_then(|()| out.flush());
    }
}

impl Terminal {
    fn write(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        let text = secret(text);
        match &mut self.own {
            Some(file) => file.write_all(text.as_bytes()),
            None => stderr().lock().write_all(text.as_bytes()),
        }
    }

    fn write_question(&mut self) {
        if let Some(question) = self.question.take() {
            let away = if self.drawn { "\r\x1b[2K" } else { "" };
            let _ = self.write(format_args!("{away}{}", *question));
            self.question = Some(question);
        }
    }

    /// Lets what comes next begin in a line of its own.
    fn end_line(&mut self) {
        if self.question.is_some() || self.bar.is_some() || !self.console.is_empty() {
            let _ = self.write(format_args!("\n"));
        }
    }
}

fn lock() -> MutexGuard<'static, Terminal> {
    TERMINAL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// For the signals' thread and a panic: the terminal, unless another thread draws for too long.
fn lock_soon() -> Option<MutexGuard<'static, Terminal>> {
    for _ in 0..LAST_TRIES {
        if let Ok(terminal) = TERMINAL.try_lock() {
            return Some(terminal);
        }
        sleep(LAST_PAUSE);
    }
    None
}
