//! A line-based terminal: edits input lines, and prints output lines above unfinished input.

use core::fmt::{self, Write as _};

use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};
use heapless::{String, Vec};
use zeroize::Zeroize;

use super::text::Untrusted;

/// The longest input line, in bytes.
const LINE: usize = 256;
/// The longest text that is composed at once, in bytes. The rest is cut off.
const TEXT: usize = 320;
/// The most bytes of untrusted text that are written at once.
pub(super) const PIECE: usize = 48;
// A byte becomes at most six bytes when it is escaped.
const _: () = assert!(6 * PIECE <= TEXT);

pub(super) const CTRL_C: u8 = 0x03;
const CTRL_U: u8 = 0x15;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7F;
const ESCAPE: u8 = 0x1B;

/// A byte stream with a user at the other end.
pub(super) struct Terminal<I> {
    io: I,
    /// Whether we echo input. We do not if the other end edits whole lines and shows them itself.
    has_echo: bool,
    /// The text that is being written.
    line: String<TEXT>,
    typed: Vec<u8, LINE>,
    /// Whether the input exceeds the longest line.
    is_overlong: bool,
    /// The prompt in the last line of the screen, if it is shown.
    prompt: Option<&'static str>,
    /// Whether the last byte was a carriage return. A line feed after it does not end another line.
    is_after_return: bool,
    escape: Escape,
    /// Whether the input is a secret that is not shown.
    #[cfg(feature = "wifi")]
    is_secret: bool,
}

/// The state in an escape sequence. Escape sequences, such as those of arrow keys, are ignored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    Begun,
    Inside,
}

/// A typed line. It may contain a key, so it is not moved, and is wiped after use.
pub(super) struct Line(Vec<u8, LINE>);

impl Line {
    /// An empty line.
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Copies the typed bytes into this line, and wipes `typed`.
    fn fill(&mut self, typed: &mut Vec<u8, LINE>) {
        self.wipe();
        let _ = self.0.extend_from_slice(typed);
        wipe(typed);
    }

    /// Wipes and empties the line.
    pub(super) fn wipe(&mut self) {
        wipe(&mut self.0);
    }

    /// The bytes of the line. Unlike in the text, spaces at both ends count.
    #[cfg(feature = "wifi")]
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text of the line. Invalid UTF-8 becomes a character that no command and no key contains.
    pub(super) fn text(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or("\u{fffd}").trim_ascii()
    }
}

fn wipe(typed: &mut Vec<u8, LINE>) {
    typed.as_mut_slice().zeroize();
    typed.clear();
}

impl<I: Read + Write> Terminal<I> {
    pub(super) fn new(io: I, has_echo: bool) -> Self {
        Self {
            io,
            has_echo,
            line: String::new(),
            typed: Vec::new(),
            is_overlong: false,
            prompt: None,
            is_after_return: false,
            escape: Escape::None,
            #[cfg(feature = "wifi")]
            is_secret: false,
        }
    }

    /// Discards the unfinished line, and shows input from now on.
    pub(super) fn reset(&mut self) {
        wipe(&mut self.typed);
        (self.is_overlong, self.escape) = (false, Escape::None);
        #[cfg(feature = "wifi")]
        {
            self.is_secret = false;
        }
    }

    /// Stops showing input, until [`reset`](Self::reset). Returns `false` if the terminal edits lines itself, and shows
    /// it all the same.
    #[cfg(feature = "wifi")]
    pub(super) fn hide_input(&mut self) -> bool {
        self.is_secret = true;
        self.has_echo
    }

    /// Whether we show typed characters.
    fn shows_input(&self) -> bool {
        #[cfg(feature = "wifi")]
        if self.is_secret {
            return false;
        }
        self.has_echo
    }

    /// Reads a byte, or returns `None` if the read failed or nothing is connected. Later reads are not affected.
    /// Cancel-safe.
    pub(super) async fn read(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.io.read(&mut byte).await {
            Ok(1) => Some(byte[0]),
            _ => None,
        }
    }

    /// Processes a byte of input. Returns `true` if the byte ends a line, which is in `line` then. A line that is too
    /// long is discarded.
    pub(super) async fn take(&mut self, byte: u8, line: &mut Line) -> bool {
        if !self.ends_line(byte).await {
            return false;
        }
        if core::mem::take(&mut self.is_overlong) {
            wipe(&mut self.typed);
            self.print(format_args!("That line is too long: more than {LINE} bytes.")).await;
            return false;
        }
        line.fill(&mut self.typed);
        true
    }

    /// Prints a line above the unfinished input.
    pub(super) fn print(&mut self, text: impl fmt::Display) -> impl Future<Output = ()> {
        self.compose(format_args!("{text}"));
        self.put_line()
    }

    /// Composes the text of a line, which [`put_line`](Self::put_line) prints. Never inlined, so that callers hold only the
    /// arguments on their stack.
    #[inline(never)]
    pub(super) fn compose(&mut self, text: fmt::Arguments<'_>) {
        self.line.clear();
        // Text beyond the capacity is cut off.
        let _ = self.line.write_fmt(text);
    }

    /// Prints the composed line above the unfinished input.
    pub(super) async fn put_line(&mut self) {
        self.add().await;
        self.end().await;
    }

    /// Appends the composed text to the current output line, which replaces the prompt.
    async fn add(&mut self) {
        self.clear().await;
        let _ = self.io.write_all(self.line.as_bytes()).await;
    }

    /// Prints a line of any length: the composed text, and untrusted text after it.
    pub(super) async fn put_untrusted(&mut self, text: &str) {
        self.add().await;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(whole(rest));
            self.add_untrusted(now).await;
            rest = later;
        }
        self.end().await;
    }

    /// Appends at most [`PIECE`] bytes of untrusted text to the current output line, escaped.
    pub(super) async fn add_untrusted(&mut self, text: &[u8]) {
        self.compose(format_args!("{}", Untrusted(text)));
        self.add().await;
    }

    /// Shows the prompt and the unfinished input, unless they are on the screen already.
    pub(super) async fn prompt(&mut self, prompt: &'static str) {
        if self.has_echo && self.prompt != Some(prompt) {
            self.clear().await;
            self.put(prompt).await;
            if self.shows_input() {
                let _ = self.io.write_all(&self.typed).await;
            }
            self.prompt = Some(prompt);
        }
        self.flush().await;
    }

    /// Waits until all output is on the screen.
    pub(super) async fn flush(&mut self) {
        let _ = self.io.flush().await;
    }

    /// Erases the prompt and the unfinished input from the screen.
    async fn clear(&mut self) {
        if self.prompt.take().is_some() {
            self.put("\r\x1b[K").await;
        }
    }

    /// Ends a line, and yields, so that long output does not block other tasks.
    pub(super) async fn end(&mut self) {
        self.put(if self.has_echo { "\r\n" } else { "\n" }).await;
        yield_now().await;
    }

    /// Ignores errors: a lost console cannot be reported.
    async fn put(&mut self, text: &str) {
        let _ = self.io.write_all(text.as_bytes()).await;
    }

    async fn ends_line(&mut self, byte: u8) -> bool {
        let follows_return = core::mem::replace(&mut self.is_after_return, byte == b'\r');
        if self.is_escape(byte) {
            return false;
        }
        match byte {
            b'\n' if follows_return => return false,
            b'\r' | b'\n' => {
                if self.prompt.take().is_some() {
                    self.put("\r\n").await;
                }
                return true;
            }
            BACKSPACE | DELETE => self.delete_last().await,
            CTRL_C | CTRL_U => {
                wipe(&mut self.typed);
                self.is_overlong = false;
                self.clear().await;
            }
            b' '..=b'~' | 0x80.. if self.typed.push(byte).is_err() => self.is_overlong = true,
            b' '..=b'~' | 0x80.. if self.shows_input() => {
                let _ = self.io.write_all(&[byte]).await;
            }
            _ => {}
        }
        false
    }

    /// Deletes the last character.
    async fn delete_last(&mut self) {
        let last = self.typed.iter().rposition(|byte| byte & 0xC0 != 0x80).unwrap_or(0);
        let is_narrow = self.typed.get(last).is_some_and(u8::is_ascii);
        self.typed[last..].zeroize();
        self.typed.truncate(last);
        match is_narrow {
            true if self.shows_input() => self.put("\x08 \x08").await,
            // Only the terminal knows the width of other characters, so the whole line is drawn again.
            _ => self.clear().await,
        }
    }

    /// Whether a byte belongs to an escape sequence. A control character ends the sequence and keeps its usual meaning.
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

/// The number of bytes to write at once: at most [`PIECE`], and no partial character if possible.
pub(super) fn whole(text: &[u8]) -> usize {
    match text.get(..=PIECE) {
        None => text.len(),
        Some(more) => more.iter().rposition(|byte| byte & 0xC0 != 0x80).filter(|at| *at > 0).unwrap_or(PIECE),
    }
}
