//! The state of the terminal, shared by the whole process: its unfinished lines, and how they are removed and
//! redrawn.
//!
//! Signals are handled on a thread of their own, at any moment; therefore this state is global. The command's thread
//! draws; the signal thread only ends or interrupts what is drawn.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal, Write, stderr, stdin, stdout};
use std::sync::{LazyLock, Mutex, MutexGuard};
use std::thread::sleep;
use std::time::Duration;

use indicatif::ProgressBar;
use zeroize::Zeroizing;

use crate::cli::platform;
use crate::cli::ui::secret;

/// Capacity, in bytes, for every line that contains a secret.
const ROOM: usize = 1024;
/// Number and interval of the attempts to lock the terminal before the process exits or is suspended. The drawing
/// thread may be blocked by a terminal that accepts no output (Ctrl-S).
const LAST_TRIES: u32 = 20;
const LAST_PAUSE: Duration = Duration::from_millis(10);

static TERMINAL: LazyLock<Mutex<Terminal>> = LazyLock::new(Mutex::default);

/// How questions are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Prompts {
    /// On a terminal that understands escape sequences: the line is redrawn on every key.
    Drawn,
    /// On a terminal without escape sequences: the question is written once, and the terminal collects the line.
    Written,
    /// Standard input is a terminal, but there is none to show questions on.
    Nowhere,
    /// Standard input is not a terminal: its lines are the answers.
    Piped,
}

/// The contents of the last line of the terminal.
#[derive(Default)]
pub(super) struct Terminal {
    /// The terminal itself, opened if standard error is redirected.
    own: Option<File>,
    /// The open question, with the input so far.
    question: Option<Zeroizing<String>>,
    bar: Option<ProgressBar>,
    /// The unfinished line of a simulated board's console, as the board wrote it.
    console: Zeroizing<Vec<u8>>,
    /// Whether the terminal understands escape sequences, so that lines can be redrawn.
    drawn: bool,
}

/// Determines how questions can be asked.
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

/// The width of the terminal in columns.
pub(super) fn width() -> usize {
    let columns = match &lock().own {
        Some(file) => platform::columns(file),
        None => platform::columns(stderr()),
    };
    columns.filter(|columns| *columns > 0).unwrap_or(80).into()
}

/// Draws the open question, replacing the current line. `hint` is written after the cursor and disappears with the
/// next change.
pub(super) fn draw(question: Zeroizing<String>, hint: &str) {
    let mut terminal = lock();
    let _ = terminal.write(format_args!("\r\x1b[2K{}", *question));
    if !hint.is_empty() {
        let _ = terminal.write(format_args!("\x07\x1b[s  ({hint})\x1b[u"));
    }
    terminal.question = Some(question);
}

/// The width of a hint in columns.
pub(super) fn hint_width(hint: &str) -> usize {
    if hint.is_empty() { 0 } else { hint.len() + 4 }
}

/// Writes a question once; the terminal then shows what the user types.
pub(super) fn ask(question: Zeroizing<String>) {
    let mut terminal = lock();
    let _ = terminal.write(format_args!("{}", *question));
    terminal.question = Some(question);
}

/// Ends the line of the open question.
pub(super) fn close_question() {
    let mut terminal = lock();
    if terminal.question.take().is_some() {
        let _ = terminal.write(format_args!("\n"));
    }
}

/// Removes the `^C` that the terminal shows at the beginning of a line.
pub(super) fn take_away_echo() {
    let mut terminal = lock();
    if terminal.drawn && terminal.question.is_none() && terminal.console.is_empty() {
        let _ = terminal.write(format_args!("\r\x1b[2K"));
    }
}

/// Writes a line to the terminal itself if standard error is redirected.
pub(super) fn show(text: impl fmt::Display) {
    let mut terminal = lock();
    if terminal.own.is_some() {
        terminal.end_line();
        let _ = terminal.write(format_args!("{text}\n"));
        terminal.write_question();
    }
}

/// Sets the progress bar; `None` removes it.
pub(super) fn set_bar(bar: Option<ProgressBar>) {
    let before = std::mem::replace(&mut lock().bar, bar);
    if let Some(bar) = before {
        bar.finish_and_clear();
    }
}

/// Writes output of a simulated board's console, and stores its unfinished line, to be redrawn later.
///
/// Both happen under the lock of the terminal, which is always taken before the lock of standard output. In the other
/// order this thread and the signal thread, which redraws the line, could wait for each other for ever.
pub(super) fn write_console(bytes: &[u8], unfinished: &[u8]) -> io::Result<()> {
    let mut terminal = lock();
    let mut out = stdout().lock();
    terminal.console = Zeroizing::new(unfinished.to_vec());
    out.write_all(bytes).and_then(|()| out.flush())
}

/// Writes lines to standard error without damaging the bar or the question on the terminal.
pub(super) fn write_lines(put: impl Fn(&mut dyn Write) -> io::Result<()>) {
    let mut terminal = lock();
    // Written in one call, so that no other process writes into a line; from a buffer that is zeroized, because the
    // text may contain a key.
    let put = || {
        let mut lines = Zeroizing::new(Vec::with_capacity(ROOM));
        let _ = put(&mut *lines).and_then(|()| stderr().lock().write_all(&lines));
    };
    // If standard error is redirected, the question on the terminal is not affected.
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

/// Before the process exits: ends unfinished lines and restores the terminal.
pub(super) fn leave() {
    platform::restore_terminal();
    if let Some(mut terminal) = lock_soon() {
        terminal.end_line();
        (terminal.question, terminal.bar) = (None, None);
    }
}

/// Before the process is suspended: ends unfinished lines and restores the terminal, but keeps the question to redraw
/// it.
pub(super) fn suspend() {
    platform::suspend_terminal();
    if let Some(mut terminal) = lock_soon() {
        terminal.end_line();
    }
}

/// After the process was resumed: redraws the open question and the console's unfinished line. The bar is redrawn
/// with the next progress.
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

    /// Makes the next text begin on a new line.
    fn end_line(&mut self) {
        if self.question.is_some() || self.bar.is_some() || !self.console.is_empty() {
            let _ = self.write(format_args!("\n"));
        }
    }
}

fn lock() -> MutexGuard<'static, Terminal> {
    TERMINAL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Locks the terminal for the signal thread or a panic. Fails if another thread holds the lock for too long.
fn lock_soon() -> Option<MutexGuard<'static, Terminal>> {
    for _ in 0..LAST_TRIES {
        if let Ok(terminal) = TERMINAL.try_lock() {
            return Some(terminal);
        }
        sleep(LAST_PAUSE);
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::spawn;

    use super::*;

    /// So many that each thread is between its two locks while the other one is, too.
    const TIMES: usize = 300_000;

    #[test]
    fn the_console_and_the_signal_thread_never_wait_for_each_other() {
        let (ended, has_ended) = channel();
        let writing = spawn(move || {
            (0..TIMES).for_each(|_| write_console(b"", b"").expect("nothing is written"));
            let _ = ended.send(());
        });
        spawn(move || {
            while !writing.is_finished() {
                resume();
            }
        });
        if has_ended.recv_timeout(Duration::from_secs(30)).is_err() {
            // A failing test needs standard output, which one of the two threads holds.
            std::process::abort();
        }
    }
}
