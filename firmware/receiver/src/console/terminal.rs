//! The terminal: lines in, lines out, and what is being typed stays whole when a line comes in between.

use core::fmt::{self, Write as _};

use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};
use heapless::{String, Vec};
use zeroize::Zeroize;

use super::text::Foreign;

/// Longest line that can be typed, in bytes.
const LINE: usize = 256;
/// Longest text that is written at once, in bytes; what goes beyond is cut off.
const TEXT: usize = 320;
/// Bytes of a foreign text that are written at once.
pub(super) const PIECE: usize = 48;
// Escaped, a byte of it takes six at most.
const _: () = assert!(6 * PIECE <= TEXT);

const CTRL_C: u8 = 0x03;
const CTRL_U: u8 = 0x15;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7F;
const ESCAPE: u8 = 0x1B;

/// A stream of bytes at whose other end a person sits.
pub(super) struct Terminal<I> {
    io: I,
    /// Whether what is typed must be shown by us: not where the other end collects lines and shows them itself.
    echo: bool,
    /// What is being written.
    line: String<TEXT>,
    typed: Vec<u8, LINE>,
    /// More was typed than a line holds.
    overlong: bool,
    /// The prompt that stands in the last line, before what is typed.
    prompt: Option<&'static str>,
    /// The last byte was a carriage return: a line feed behind it is none of its own.
    returned: bool,
    escape: Escape,
}

/// How far an escape sequence came: the arrow keys and their like mean nothing here.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    Inside,
}

/// A line that somebody typed. Wiped when dropped: it may hold a key.
pub(super) struct Line(Vec<u8, LINE>);

impl Line {
    /// Its text; what is none reads as something that nothing is called.
    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("\u{fffd}").trim()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.as_mut_slice().zeroize();
    }
}

impl<I: Read + Write> Terminal<I> {
    pub(super) fn new(io: I, echo: bool) -> Self {
        let (line, typed, escape) = (String::new(), Vec::new(), Escape::None);
        Self { io, echo, line, typed, overlong: false, prompt: None, returned: false, escape }
    }

    /// Waits for a byte. `None`: the line failed, or nobody is there; what comes later is none the worse for it.
    /// Cancel-safe.
    pub(super) async fn read(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.io.read(&mut byte).await {
            Ok(1) => Some(byte[0]),
            _ => None,
        }
    }

    /// Takes a byte; gives the line that it ends. Of a line that is too long nothing is taken.
    pub(super) async fn take(&mut self, byte: u8) -> Option<Line> {
        if !self.ends_line(byte).await {
            return None;
        }
        let line = Line(self.typed.clone());
        self.typed.as_mut_slice().zeroize();
        self.typed.clear();
        if core::mem::take(&mut self.overlong) {
            self.say(format_args!("That line is too long: more than {LINE} bytes.")).await;
            return None;
        }
        Some(line)
    }

    /// Writes a line, above what is being typed.
    pub(super) fn say(&mut self, text: impl fmt::Display) -> impl Future<Output = ()> {
        self.compose(format_args!("{text}"));
        self.put_line()
    }

    /// In a function of its own, so that who says something holds no more of it than its parts.
    #[inline(never)]
    fn compose(&mut self, text: fmt::Arguments<'_>) {
        self.line.clear();
        // What is too long is cut off.
        let _ = self.line.write_fmt(text);
    }

    async fn put_line(&mut self) {
        self.add().await;
        self.end().await;
    }

    /// Adds what was composed to the line, which stands above what is being typed.
    async fn add(&mut self) {
        self.clear().await;
        let _ = self.io.write_all(self.line.as_bytes()).await;
    }

    /// Writes a line of any length, from somebody else.
    pub(super) async fn say_foreign(&mut self, before: impl fmt::Display, text: &str) {
        self.compose(format_args!("{before}"));
        self.add().await;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(whole(rest));
            self.add_foreign(now).await;
            rest = later;
        }
        self.end().await;
    }

    /// Adds at most [`PIECE`] bytes from somebody else to a line: escaped.
    pub(super) async fn add_foreign(&mut self, text: &[u8]) {
        self.compose(format_args!("{}", Foreign(text)));
        self.add().await;
    }

    /// Shows the prompt, and what is typed behind it, where they do not stand already.
    pub(super) async fn prompt(&mut self, prompt: &'static str) {
        if self.echo && self.prompt != Some(prompt) {
            self.clear().await;
            self.put(prompt).await;
            let _ = self.io.write_all(&self.typed).await;
            self.prompt = Some(prompt);
        }
        let _ = self.io.flush().await;
    }

    /// Takes the prompt, and what is typed, off the last line.
    async fn clear(&mut self) {
        if self.prompt.take().is_some() {
            self.put("\r\x1b[K").await;
        }
    }

    /// Ends a line. Whoever writes many lets others run.
    pub(super) async fn end(&mut self) {
        self.put(if self.echo { "\r\n" } else { "\n" }).await;
        yield_now().await;
    }

    /// Nobody can be told that a console is gone.
    async fn put(&mut self, text: &str) {
        let _ = self.io.write_all(text.as_bytes()).await;
    }

    async fn ends_line(&mut self, byte: u8) -> bool {
        let after_return = core::mem::replace(&mut self.returned, byte == b'\r');
        if self.is_escape(byte) {
            return false;
        }
        match byte {
            b'\n' if after_return => return false,
            b'\r' | b'\n' => {
                if self.prompt.take().is_some() {
                    self.put("\r\n").await;
                }
                return true;
            }
            BACKSPACE | DELETE => self.rub_out().await,
            CTRL_C | CTRL_U => {
                self.typed.as_mut_slice().zeroize();
                self.typed.clear();
                self.overlong = false;
                self.clear().await;
            }
            b' '..=b'~' | 0x80.. if self.typed.push(byte).is_err() => self.overlong = true,
            b' '..=b'~' | 0x80.. if self.echo => {
                let _ = self.io.write_all(&[byte]).await;
            }
            _ => {}
        }
        false
    }

    /// Takes back the last character.
    async fn rub_out(&mut self) {
        let last = self.typed.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        let is_narrow = self.typed.get(last).is_some_and(u8::is_ascii);
        self.typed[last..].zeroize();
        self.typed.truncate(last);
        match is_narrow {
            true if self.echo => self.put("\x08 \x08").await,
            // How wide others are, only the terminal knows: the line is drawn anew.
            _ => self.clear().await,
        }
    }

    /// Whether a byte belongs to an escape sequence. A control character ends one, and means what it always does.
    fn is_escape(&mut self, byte: u8) -> bool {
        let before = self.escape;
        self.escape = match (before, byte) {
            (_, ESCAPE) => Escape::Begun,
            (_, ..b' ') => Escape::None,
            (Escape::Begun, b'[' | b'O') => Escape::Inside,
            (Escape::Inside, 0x20..=0x3F) => Escape::Inside,
            _ => Escape::None,
        };
        byte == ESCAPE || (before != Escape::None && byte >= b' ')
    }
}

/// How much of a text of bytes is written at once: up to [`PIECE`] bytes, and no part of a character.
pub(super) fn whole(text: &[u8]) -> usize {
    match text.get(..=PIECE) {
        None => text.len(),
        Some(more) => more.iter().rposition(|byte| byte & 0xC0 != 0x80).filter(|at| *at > 0).unwrap_or(PIECE),
    }
}
