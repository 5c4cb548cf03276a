//! A simulated board's console on this terminal; for a script each line of it is an event.

use std::io;

use embedded_io_async::{ErrorType, Read, Write};
use zeroize::{Zeroize, Zeroizing};

use super::flash::Durable;
use crate::ui::{Event, Reader, Ui};

/// Longest line that becomes one event, in bytes.
const LINE_MAX: usize = 4096;
/// What a board writes before it draws a line anew, on consoles that echo.
const REDRAW: &str = "\x1b[K";
/// The prompts of a board, behind which it echoes what is typed.
const PROMPTS: [&str; 2] = ["> ", "key> "];

/// What the board's console prints.
pub(super) struct Screen<'a> {
    ui: &'a Ui,
    line: Zeroizing<Vec<u8>>,
}

impl<'a> Screen<'a> {
    pub(super) fn new(ui: &'a Ui) -> Self {
        Self { ui, line: empty() }
    }

    /// Shows it as it is; to a script, line by line.
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
                // What was typed before may have been a key.
                self.line.zeroize();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::replace(&mut self.line, empty());
        if !self.ui.has_script() {
            return;
        }
        if let Some(text) = told(&String::from_utf8_lossy(&line)) {
            self.ui.event(&Event::Console { text });
        }
    }
}

/// A line that never grows beyond its buffer: a key may stand in it.
fn empty() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(LINE_MAX))
}

/// What a line says, as it was drawn last. The echo of what was typed is left out: it may be a key, typed at any moment.
fn told(line: &str) -> Option<&str> {
    let text = line.trim_matches('\r');
    (!PROMPTS.iter().any(|prompt| text.starts_with(prompt))).then_some(text)
}

/// The console of a board that runs in this process.
pub(crate) struct Console<'a> {
    screen: Screen<'a>,
    input: Reader,
    rest: Zeroizing<Vec<u8>>,
    /// Nothing is said before what it may rest on is durable.
    flash: Durable,
}

impl<'a> Console<'a> {
    /// The console on standard input and output.
    pub(crate) fn new(ui: &'a Ui, flash: Durable) -> Self {
        Self { screen: Screen::new(ui), input: Reader::start(), rest: Zeroizing::default(), flash }
    }
}

impl ErrorType for Console<'_> {
    type Error = io::Error;
}

impl Read for Console<'_> {
    /// Cancel-safe. Gives nothing once the input has ended.
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

    /// The lines that are told when a board has written that.
    fn lines(written: &str) -> Vec<String> {
        let ui = Ui::answered("");
        let mut screen = Screen::new(&ui);
        let mut lines = Vec::new();
        for part in written.split_inclusive('\n') {
            screen.take(part.trim_end_matches('\n').as_bytes());
            lines.extend(told(&String::from_utf8_lossy(&screen.line)).map(str::to_owned));
            screen.take(b"\n");
        }
        lines
    }

    #[test]
    fn a_line_is_told_as_it_was_drawn_last() {
        assert_eq!(lines("Listening at 127.0.0.1:12346.\r\n"), ["Listening at 127.0.0.1:12346."]);
        assert_eq!(lines("\r\x1b[K> \r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
        assert_eq!(lines("\n"), [""]);
    }

    #[test]
    fn what_is_typed_is_not_told() {
        for typed in ["key> 0123-4567-89AB-CDEF", "> 0123-4567-89AB-CDEF", "> 0123456789abcdef", "> list"] {
            assert_eq!(lines(&format!("\r\x1b[K{typed}\r\n")), [""; 0], "{typed}");
        }
        assert_eq!(lines("\r\x1b[K> 0123456789abcdef\r\x1b[KCode: 1 2 3 4\r\n"), ["Code: 1 2 3 4"]);
    }
}
