//! The console of a simulated board, shown in this terminal. With `--json`, each line of the console is an event
//! instead.
//!
//! ```text
//! standard input -> Reader -> Console::read -> board     a board that runs in this process
//! board -> Console::write -> Screen -> Ui                its output: bytes for the terminal, or events
//! QEMU -> Screen -> Ui                                   the output of a board in QEMU (see `qemu`)
//! ```

use std::io;

use embedded_io_async::{ErrorType, Read, Write};
use zeroize::{Zeroize, Zeroizing};

use crate::cli::ui::{Event, Reader, Ui};
use crate::simulation::flash::Durable;

/// Longest line that is kept, in bytes. An event does not contain the rest of a longer line.
const LINE_MAX: usize = 4096;
/// The escape sequence with which a board that echoes input erases the current line, before it writes the line anew.
const REDRAW: &str = "\x1b[K";
/// The prompts of a board. A board that echoes input writes it after the prompt, in the same line.
const PROMPTS: [&str; 2] = ["> ", "key> "];

/// Shows the output of a board's console.
pub(super) struct Screen<'a> {
    ui: &'a Ui,
    /// The current line of the output so far, without text that the board has erased.
    line: Zeroizing<Vec<u8>>,
    /// Whether the board has written a line that is not empty.
    has_begun: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self { ui, line: empty(), has_begun: false }
    }

    /// Prints the bytes unchanged, or with `--json` reports complete lines as events instead.
    pub(super) fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes);
        if self.ui.is_json() { Ok(()) } else { self.ui.console(bytes, &self.line) }
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() == LINE_MAX => {}
                byte => self.line.push(*byte),
            }
            if self.line.ends_with(REDRAW.as_bytes()) {
                // The erased text may have been a key that the user typed.
                self.line.zeroize();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.line, empty());
        if !self.ui.is_json() {
            return;
        }
        if let Some(text) = self.event(&String::from_utf8_lossy(&line)) {
            self.ui.event(&Event::Console { text });
        }
    }

    /// The text of the event for a complete line. `None` for a line that is not reported: one with a prompt, or an
    /// empty line before the first text. A board starts with a line break, in case its terminal shows an unfinished
    /// line.
    fn event<'t>(&mut self, line: &'t str) -> Option<&'t str> {
        let text = event_text(line)?;
        self.has_begun |= !text.is_empty();
        self.has_begun.then_some(text)
    }
}

/// An empty line with room for [`LINE_MAX`] bytes. Because it never grows, no copy of a key stays in memory.
fn empty() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LINE_MAX))
}

/// The text of a complete line, without carriage returns. `None` for a line that begins with a prompt, because the
/// user's input after the prompt may be a key.
fn event_text(line: &str) -> Option<&str> {
    let text = line.trim_matches('\r');
    (!PROMPTS.iter().any(|prompt| text.starts_with(prompt))).then_some(text)
}

/// The terminal, as the console of a board that runs in this process.
pub(super) struct Console<'a> {
    screen: Screen<'a>,
    input: Reader,
    /// Input that came from the terminal, and that the board has not read yet.
    rest: Zeroizing<Vec<u8>>,
    /// Makes data in the flash durable before output is shown, because the output may say that the data is stored.
    flash: Durable,
}

impl<'a> Console<'a> {
    /// Creates the console on standard input and output.
    pub(super) fn new(ui: &'a Ui, flash: Durable) -> Self {
        Self { screen: Screen::new(ui), input: Reader::start(), rest: Zeroizing::default(), flash }
    }
}

impl ErrorType for Console<'_> {
    type Error = io::Error;
}

impl Read for Console<'_> {
    /// Cancel-safe. Returns 0 once the input has ended.
    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.input.next().await {
                Some(more) => self.rest = more,
                None => return Ok(0),
            }
        }
        let count = bytes.len().min(self.rest.len());
        for (to, from) in bytes.iter_mut().zip(self.rest.drain(..count)) {
            *to = from;
        }
        Ok(count)
    }
}

impl Write for Console<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flash.sync()?;
        self.screen.show(bytes).map(|()| bytes.len())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The texts of the events that are reported for `written`, the output of a board.
    fn lines(written: &str) -> Vec<String> {
        let ui = Ui::answered("");
        let mut screen = Screen::new(&ui);
        let mut lines = Vec::new();
        for part in written.split_inclusive('\n') {
            screen.take(part.trim_end_matches('\n').as_bytes());
            let line = String::from_utf8_lossy(&screen.line).into_owned();
            lines.extend(screen.event(&line).map(str::to_owned));
            screen.take(b"\n");
        }
        lines
    }

    #[test]
    fn a_redrawn_line_is_reported_with_its_last_text() {
        assert_eq!(lines("Listening at 127.0.0.1:12346.\r\n"), ["Listening at 127.0.0.1:12346."]);
        assert_eq!(lines("\r\x1b[K> \r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }

    #[test]
    fn empty_lines_are_reported_only_after_the_first_text() {
        assert_eq!(lines("\r\n\n"), [""; 0]);
        assert_eq!(lines("\r\nattic\r\n\r\nlast\r\n"), ["attic", "", "last"]);
    }

    #[test]
    fn typed_input_is_not_reported() {
        for typed in ["key> 0123-4567-89AB-CDEF", "> 0123-4567-89AB-CDEF", "> 0123456789abcdef", "> list"] {
            assert_eq!(lines(&format!("\r\x1b[K{typed}\r\n")), [""; 0], "{typed}");
        }
        assert_eq!(lines("\r\x1b[K> 0123456789abcdef\r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }
}
