//! The console of a simulated board on this terminal. For a script, each line of it is an event.

use std::io;

use embedded_io_async::{ErrorType, Read, Write};
use zeroize::{Zeroize, Zeroizing};

use crate::cli::ui::{Event, Reader, Ui};
use crate::simulation::flash::Durable;

/// Longest line that becomes one event, in bytes.
const LINE_MAX: usize = 4096;
/// The sequence that a board writes before it redraws a line, on consoles that echo.
const REDRAW: &str = "\x1b[K";
/// The prompts of a board. It echoes the input after them.
const PROMPTS: [&str; 2] = ["> ", "key> "];

/// The output of the board's console.
pub(super) struct Screen<'a> {
    ui: &'a Ui,
    line: Zeroizing<Vec<u8>>,
    /// Whether a line with a text has ended.
    has_begun: bool,
}

impl<'a> Screen<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self { ui, line: empty(), has_begun: false }
    }

    /// Prints the bytes unchanged; for a script, reports complete lines as events instead.
    pub(super) fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.take(bytes);
        if self.ui.has_script() { Ok(()) } else { self.ui.console(bytes, &self.line) }
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
        if !self.ui.has_script() {
            return;
        }
        if let Some(text) = self.event(&String::from_utf8_lossy(&line)) {
            self.ui.event(&Event::Console { text });
        }
    }

    /// The text of the event for a line. A board ends an unfinished line on its terminal before it introduces itself,
    /// so empty lines before the first text are not reported.
    fn event<'t>(&mut self, line: &'t str) -> Option<&'t str> {
        let text = told(line)?;
        self.has_begun |= !text.is_empty();
        self.has_begun.then_some(text)
    }
}

/// An empty line that never grows beyond its buffer, because it may hold a key.
fn empty() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LINE_MAX))
}

/// The text of a line as it was drawn last. `None` for a line with a prompt, whose echo may be a key.
fn told(line: &str) -> Option<&str> {
    let text = line.trim_matches('\r');
    (!PROMPTS.iter().any(|prompt| text.starts_with(prompt))).then_some(text)
}

/// The console of a board that runs in this process.
pub(super) struct Console<'a> {
    screen: Screen<'a>,
    input: Reader,
    rest: Zeroizing<Vec<u8>>,
    /// Written data is made durable before any output that may depend on it.
    flash: Durable,
}

impl<'a> Console<'a> {
    /// The console on standard input and output.
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
        self.flash.settle()?;
        self.screen.show(bytes).map(|()| bytes.len())
    }

    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines that are reported when a board has written that text.
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
    fn a_line_is_told_as_it_was_drawn_last() {
        assert_eq!(lines("Listening at 127.0.0.1:12346.\r\n"), ["Listening at 127.0.0.1:12346."]);
        assert_eq!(lines("\r\x1b[K> \r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }

    #[test]
    fn empty_lines_are_told_once_the_board_has_begun() {
        assert_eq!(lines("\r\n\n"), [""; 0]);
        assert_eq!(lines("\r\nattic\r\n\r\nlast\r\n"), ["attic", "", "last"]);
    }

    #[test]
    fn what_is_typed_is_not_told() {
        for typed in ["key> 0123-4567-89AB-CDEF", "> 0123-4567-89AB-CDEF", "> 0123456789abcdef", "> list"] {
            assert_eq!(lines(&format!("\r\x1b[K{typed}\r\n")), [""; 0], "{typed}");
        }
        assert_eq!(lines("\r\x1b[K> 0123456789abcdef\r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }
}
