//! A simulated board's console on this terminal; for a script each line of it is an event.

use std::io::{self, Write as _, stdout};

use embedded_io_async::{ErrorType, Read, Write};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::flash::Durable;
use crate::ui::{Event, Ui, read_input};

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
        Self { ui, line: Zeroizing::default() }
    }

    /// Shows it as it is; to a script, line by line.
    pub(super) fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.ui.has_script() {
            let mut out = stdout().lock();
            return out.write_all(bytes).and_then(|()| out.flush());
        }
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                _ if self.line.len() == LINE_MAX => {}
                byte => self.line.push(*byte),
            }
        }
        Ok(())
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(text) = told(&String::from_utf8_lossy(&line)) {
            self.ui.event(&Event::Console { text });
        }
    }
}

/// What a line says, without what only a terminal understands. The echo of what was typed is left out: it may be a key,
/// typed at any moment.
fn told(line: &str) -> Option<&str> {
    let drawn = line.rsplit(REDRAW).next().unwrap_or(line);
    let text = drawn.trim_matches('\r');
    (!PROMPTS.iter().any(|prompt| text.starts_with(prompt))).then_some(text)
}

/// The console of a board that runs in this process.
pub(crate) struct Console<'a> {
    screen: Screen<'a>,
    input: mpsc::Receiver<Zeroizing<Vec<u8>>>,
    rest: Zeroizing<Vec<u8>>,
    /// Nothing is said before what it may rest on is durable.
    flash: Durable,
}

impl<'a> Console<'a> {
    /// The console on standard input and output.
    pub(crate) fn new(ui: &'a Ui, flash: Durable) -> Self {
        Self { screen: Screen::new(ui), input: read_input(), rest: Zeroizing::default(), flash }
    }
}

impl ErrorType for Console<'_> {
    type Error = io::Error;
}

impl Read for Console<'_> {
    /// Cancel-safe. Gives nothing once the input has ended.
    async fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.input.recv().await {
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

    #[test]
    fn a_line_is_told_as_it_was_drawn_last() {
        assert_eq!(told("Listening at 127.0.0.1:12346."), Some("Listening at 127.0.0.1:12346."));
        assert_eq!(told("\r\x1b[K> \r\x1b[KCode: 1 2 3 4\r"), Some("Code: 1 2 3 4"));
        assert_eq!(told(""), Some(""));
    }

    #[test]
    fn what_is_typed_is_not_told() {
        for typed in ["key> 0123-4567-89AB-CDEF", "> 0123-4567-89AB-CDEF", "> 0123456789abcdef", "> list"] {
            assert_eq!(told(&format!("\r\x1b[K{typed}\r")), None, "{typed}");
        }
        assert_eq!(told("\r\x1b[K> 0123456789abcdef\r\x1b[KCode: 1 2 3 4\r"), Some("Code: 1 2 3 4"));
    }
}
