//! Questions to the user, and the answers from a terminal or a pipe.
//!
//! A question is a future that may be dropped at any await, for example when the peer disconnects or on Ctrl-C.
//! [`ByteByByte`] then restores the terminal, and the next input belongs to the next question. Standard input is read by a
//! thread of its own, the [`Reader`].

use std::io::{ErrorKind, IsTerminal, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use console::measure_text_width;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::cli::platform::{self, ByteByByte, SHOWS_SECRETS, forget_typed};
use crate::cli::ui::terminal::{self, Prompts};
use crate::cli::ui::text::from_utf8_lossy;
use crate::cli::ui::typing::{Line, Typed};
use crate::cli::ui::{AskError, Event, Question, Ui, prompt, secret};

/// Maximum length of a piped line. A longer line is split, and is an answer in a wrong format.
const LINE_MAX: usize = 4096;
/// How many answers in a wrong format are accepted before the question fails.
const FORMS_MAX: usize = 20;

/// The short question, for use after the full one was shown.
fn again(question: Question) -> &'static str {
    match question {
        Question::Code | Question::PairingCode => "Code:",
        Question::Key => "Key:",
        Question::Folder => "Folder:",
        Question::Receiver => "To:",
        Question::Machine => "Number:",
        Question::Name => "Name:",
        Question::Passphrase => "Passphrase:",
        Question::Renewal | Question::Confirmation => "yes or no:",
    }
}

impl Ui {
    /// A user interface whose questions are answered by these lines.
    #[cfg(test)]
    pub(crate) fn answered(lines: &str) -> Self {
        Self { prompts: Prompts::Piped, input: tests::piped(&[lines]).into(), ..Self::new(Default::default()) }
    }

    /// Asks for an input until the answer has the right format. The environment variable has priority over the user
    /// or the pipe. Cancel-safe.
    pub(crate) async fn ask<T>(
        &self,
        question: Question,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, AskError> {
        self.ask_about(None, question, text, parse).await
    }

    /// Asks for an input that concerns this receiver. Of several such questions, the next one is shown when the one
    /// before has its answer.
    pub(crate) async fn ask_about<T>(
        &self,
        peer: Option<&str>,
        question: Question,
        text: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, AskError> {
        if let Some(answer) = question.in_environment() {
            return parse(&answer).map_err(|why| AskError::Malformed(question, why));
        }
        let mut input = self.input.lock().await;
        if self.has_user() {
            input.forget();
        }
        let (mut last, mut text) = (None, text);
        for _ in 0..FORMS_MAX {
            self.event(&Event::Asked { what: question.name(), peer });
            let Some(answer) = self.answer(&mut input, question, text).await else {
                break;
            };
            match parse(&answer) {
                Ok(value) => return Ok(value),
                Err(why) => {
                    self.must(format!("  {why}"));
                    last = Some(why);
                }
            }
            // The full question may report an event, which must not be reported again.
            text = again(question);
        }
        Err(last.map_or(AskError::NoAnswer(question), |why| AskError::Malformed(question, why)))
    }

    async fn answer(&self, input: &mut Input, question: Question, text: &str) -> Option<Zeroizing<String>> {
        let is_drawn = match self.prompts {
            Prompts::Nowhere => return None,
            Prompts::Piped => {
                self.say_on_terminal(text);
                return input.line().await;
            }
            Prompts::Written => false,
            Prompts::Drawn => true,
        };
        let _open = OpenQuestion;
        // A terminal in line mode shows what the user types.
        let collects = !is_drawn && SHOWS_SECRETS && question != Question::Passphrase;
        let mode = if collects { None } else { ByteByByte::begin() };
        match is_drawn {
            true => terminal::draw(secret(prompt(text)), ""),
            false => terminal::ask(secret(prompt(text))),
        }
        match mode {
            Some(_mode) => typed(input, question, text, is_drawn).await,
            None => input.line().await,
        }
    }
}

/// Reads a line that is checked on every key, and redrawn if the terminal supports it.
async fn typed(input: &mut Input, question: Question, text: &str, is_drawn: bool) -> Option<Zeroizing<String>> {
    let mut line = Line::new(question);
    loop {
        let mut hint = "";
        match line.take(input.byte().await?) {
            Typed::Done(answer) => return Some(answer),
            Typed::Ended => return None,
            Typed::Open => {}
            Typed::Not(why) => hint = why,
        }
        if is_drawn {
            let room = terminal::width().saturating_sub(terminal::hint_width(hint));
            terminal::draw(row(question, text, &line.shown(SHOWS_SECRETS), room), hint);
        }
    }
}

/// The question and the input as one row, because a wrapped line could not be redrawn. If both do not fit, the short
/// question is used; of a long input only the end is shown.
fn row(question: Question, text: &str, line: &str, width: usize) -> Zeroizing<String> {
    // A space separates the question from the input, and the cursor takes one more column.
    let room = |text| width.saturating_sub(measure_text_width(text) + 2);
    let text = if measure_text_width(line) > room(text) { again(question) } else { text };
    let starts = line.char_indices().rev().map(|(start, _)| start);
    let start = starts.take_while(|start| measure_text_width(&line[*start..]) <= room(text)).last();
    secret(format_args!("{}{}", prompt(text), start.map_or("", |start| &line[start..])))
}

/// Ends the line of the question when it is dropped.
struct OpenQuestion;

impl Drop for OpenQuestion {
    fn drop(&mut self) {
        terminal::close_question();
    }
}

/// Standard input, opened with the first question. Its content is zeroized: `rest` never grows beyond its capacity,
/// and is replaced by a new buffer whenever bytes are taken from it.
#[derive(Default)]
pub(super) struct Input {
    reader: Option<Reader>,
    rest: Zeroizing<Vec<u8>>,
}

impl Input {
    /// The next line without its line break, which the last line may lack. `None` at the end of the input.
    async fn line(&mut self) -> Option<Zeroizing<String>> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line = self.take(end);
                self.take(1);
                return Some(text(&line));
            }
            if self.rest.len() > LINE_MAX {
                return Some(text(&self.take(LINE_MAX)));
            }
            if !self.more().await {
                return (!self.rest.is_empty()).then(|| text(&self.take(self.rest.len())));
            }
        }
    }

    async fn byte(&mut self) -> Option<u8> {
        while self.rest.is_empty() {
            if !self.more().await {
                return None;
            }
        }
        Some(self.take(1)[0])
    }

    /// Discards input that was typed before the question. This includes a Ctrl-D, which ended the reader; a new
    /// reader can read on from the terminal.
    fn forget(&mut self) {
        forget_typed();
        self.rest = Zeroizing::default();
        self.reader.take_if(|reader| !reader.forget());
    }

    async fn more(&mut self) -> bool {
        let Some(bytes) = self.reader.get_or_insert_with(Reader::start).next().await else { return false };
        if self.rest.is_empty() {
            self.rest = Zeroizing::new(Vec::with_capacity(LINE_MAX + READ));
        }
        self.rest.extend_from_slice(&bytes);
        true
    }

    fn take(&mut self, length: usize) -> Zeroizing<Vec<u8>> {
        let mut rest = Zeroizing::new(Vec::with_capacity(LINE_MAX + READ));
        rest.extend_from_slice(&self.rest[length..]);
        let mut taken = std::mem::replace(&mut self.rest, rest);
        taken.truncate(length);
        taken
    }
}

fn text(line: &[u8]) -> Zeroizing<String> {
    from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Maximum length of one read, in bytes.
pub(super) const READ: usize = 1024;

/// How long the reader waits after the end of a terminal's input: if the terminal was closed, the signal handler ends
/// the command first.
const HANG_UP: Duration = Duration::from_millis(500);

/// Reads standard input on a thread of its own, from its current position to its end. After the end of input a terminal
/// can deliver more, to a new reader.
///
/// The thread reads only while a question waits for input: what is typed at other times is not meant for this
/// command.
///
/// It does not use crossterm's events, for these reasons, which were tried with its release 0.29:
///
/// - crossterm never wipes what it has read, and its buffers are private. After 16 characters of a key were typed and
///   read, its event queue still held all of them, and its read buffer 15 after they were pasted.
/// - While the signal for a closed terminal is ignored, it takes the end of a terminal for "nothing to read yet" and
///   reads again without a pause.
/// - Its raw mode switches off the keys that raise signals. Ctrl-C, Ctrl-\ and Ctrl-Z would have to raise them here.
/// - It reads in the background as well, which stops the process.
///
/// A runtime's readiness events do not replace the thread either: they know neither files, nor terminals on macOS.
pub(crate) struct Reader {
    /// Whether a question waits for input. The thread is parked while none does.
    wanted: Arc<AtomicBool>,
    thread: Thread,
    bytes: mpsc::Receiver<Zeroizing<Vec<u8>>>,
}

impl Reader {
    /// Starts the thread. It ends with the process or at the end of input, which on a terminal is every Ctrl-D.
    pub(crate) fn start() -> Self {
        let (give, bytes) = mpsc::channel(4);
        let wanted = Arc::new(AtomicBool::new(false));
        let known = wanted.clone();
        let thread = thread::spawn(move || read_all(&known, &give)).thread().clone();
        Self { wanted, thread, bytes }
    }

    /// A reader of these bytes, followed by the end of input.
    #[cfg(test)]
    pub(super) fn of(bytes: mpsc::Receiver<Zeroizing<Vec<u8>>>) -> Self {
        Self { wanted: Arc::default(), thread: thread::current(), bytes }
    }

    /// The next bytes; `None` at the end of input. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let _waiting = Waiting::begin(&self.wanted, &self.thread);
        self.bytes.recv().await
    }

    /// Discards bytes that were already read. Returns `false` if the thread has reached the end of input and reads no
    /// more.
    pub(super) fn forget(&mut self) -> bool {
        while self.bytes.try_recv().is_ok() {}
        !self.bytes.is_closed()
    }
}

fn read_all(wanted: &AtomicBool, give: &mpsc::Sender<Zeroizing<Vec<u8>>>) {
    let is_terminal = stdin().is_terminal();
    loop {
        while !wanted.load(Ordering::Relaxed) {
            thread::park();
        }
        platform::wait_for_input();
        if !wanted.load(Ordering::Relaxed) {
            // The question was dropped meanwhile: leave the input for the next one.
            continue;
        }
        let mut buffer = Zeroizing::new(vec![0; READ]);
        match platform::read_standard_input(&mut buffer) {
            Ok(count @ 1..) => buffer.truncate(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // End of input. If the terminal was closed, the signal for that should end the command, unless it is
            // ignored.
            Ok(_) | Err(_) => {
                if is_terminal {
                    thread::sleep(HANG_UP);
                }
                return;
            }
        }
        if give.blocking_send(buffer).is_err() {
            return;
        }
    }
}

/// Marks that a question waits for input until this guard is dropped.
struct Waiting<'a>(&'a AtomicBool);

impl<'a> Waiting<'a> {
    fn begin(wanted: &'a AtomicBool, thread: &Thread) -> Self {
        wanted.store(true, Ordering::Relaxed);
        thread.unpark();
        Self(wanted)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    pub(super) fn piped(parts: &[&str]) -> Input {
        let (give, take) = mpsc::channel(16);
        for part in parts {
            give.try_send(Zeroizing::new(part.as_bytes().to_vec())).expect("there is room");
        }
        Input { reader: Some(Reader::of(take)), rest: Zeroizing::default() }
    }

    fn lines(mut input: Input) -> Vec<String> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut lines = Vec::new();
            while let Some(line) = input.line().await {
                lines.push(line.to_string());
            }
            lines
        })
    }

    #[test]
    fn each_line_answers_one_question() {
        assert_eq!(lines(piped(&["12", "34\r\nABCD\n", "last"])), ["1234", "ABCD", "last"]);
        assert_eq!(lines(piped(&[])), [""; 0]);
        assert_eq!(lines(piped(&["\n"])), [""]);
    }

    #[test]
    fn what_is_typed_stays_in_its_row() {
        let question = "Key that anna shows, for 32 files (247.26 KiB):";
        let key = "FENH-X428-JYAX-NVMS";
        let path = format!("/home/anna/{}日本", "long/".repeat(20));
        for (question, text, line, width, shown) in [
            (Question::Key, question, key, 80, format!("{question} {key}")),
            (Question::Key, question, key, 68, format!("{question} {key}")),
            (Question::Key, question, key, 67, format!("Key: {key}")),
            (Question::Folder, "Folder [./SEND_FOLDER]:", &path, 19, "Folder: /long/日本".to_owned()),
            (Question::Folder, "Folder [./SEND_FOLDER]:", &path, 12, "Folder: 本".to_owned()),
            (Question::Key, question, "", 0, format!("{question} ")),
        ] {
            let row = row(question, text, line, width);
            assert_eq!(console::strip_ansi_codes(&row), shown, "{width}");
        }
    }

    #[test]
    fn an_early_end_is_forgotten() {
        let (give, take) = mpsc::channel(16);
        let mut input = Input { reader: Some(Reader::of(take)), rest: Zeroizing::default() };
        give.try_send(Zeroizing::new(b"early\n".to_vec())).expect("there is room");
        input.forget();
        assert!(input.reader.is_some(), "the reader is still there");
        drop(give);
        input.forget();
        assert!(input.reader.is_none(), "the next question starts another");
    }

    #[test]
    fn an_endless_line_is_cut() {
        let long = "x".repeat(LINE_MAX + 1);
        assert_eq!(lines(piped(&[&long])), [&long[..LINE_MAX], "x"]);
    }
}
