//! The one voice of the command: what it says to people, to scripts, and what it asks them.
//!
//! People read standard error; results that somebody asked for (a certificate, a list) go to standard output. With
//! `--json` standard output has one event a line instead. Nothing that came from a peer or a file system reaches either
//! without [`escape`](waft_core::path::escape).

mod event;
mod input;
mod progress;
mod reader;
mod terminal;
mod typing;
mod wrap;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IsTerminal, Write, stderr, stdout};

use console::{Style, style};
pub(crate) use event::Event;
pub(crate) use progress::Progress;
pub(crate) use reader::Reader;

use crate::cli::Voice;
use crate::error::{Class, Error, Told};
use crate::secret::secret;
use terminal::Prompts;
use wrap::Escaped;

/// Speaks and asks. Shared by all parts of a command.
pub(crate) struct Ui {
    voice: Voice,
    /// Where questions are asked.
    prompts: Prompts,
    input: tokio::sync::Mutex<input::Input>,
    /// Why standard output did not take a result or an event.
    lost: RefCell<Option<io::Error>>,
}

impl Ui {
    /// A voice as the command line asks for.
    pub(crate) fn new(voice: Voice) -> Self {
        let (input, lost) = Default::default();
        Self { voice, prompts: terminal::find_prompts(), input, lost }
    }

    /// Tells what a person likes to know; silent under `--quiet`.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        if !self.voice.quiet {
            self.line(text.as_ref(), Style::new());
        }
    }

    /// Tells what a person must know: a code, a key, what an answer lacks.
    pub(crate) fn must(&self, text: impl AsRef<str>) {
        self.line(text.as_ref(), Style::new().bold());
        terminal::tell(Escaped::new(text.as_ref()));
    }

    /// Tells what only the user of a terminal has to know; silent under `--quiet`.
    fn say_on_terminal(&self, text: &str) {
        if stderr().is_terminal() {
            self.say(text);
        }
    }

    /// Tells what only `--verbose` asks for.
    pub(crate) fn detail(&self, text: impl AsRef<str>) {
        if self.voice.verbose {
            self.line(text.as_ref(), Style::new().dim());
        }
    }

    /// Warns; silent under `--quiet`.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        self.event(&Event::Warning { message: escape_lines(text.as_ref()) });
        if !self.voice.quiet {
            self.line(&format!("warning: {}", text.as_ref()), Style::new().yellow());
        }
    }

    /// Tells that something went well.
    pub(crate) fn done(&self, text: impl AsRef<str>) {
        if !self.voice.quiet {
            self.line(text.as_ref(), Style::new().green().bold());
        }
    }

    /// Prints a result to standard output, unless events go there.
    pub(crate) fn print(&self, text: impl AsRef<str>) {
        if !self.voice.json {
            // A whole line at once is not kept in the buffer of standard output, and this one is wiped.
            self.write(secret(format_args!("{}\n", Escaped::new(text.as_ref()))).as_bytes());
        }
    }

    /// Prints a command for a shell. On a terminal it is continued on the next line where it does not fit.
    pub(crate) fn print_command(&self, command: &str) {
        // The shell of Windows knows no such lines, and within quotes they would mean something else.
        match stdout().is_terminal() && cfg!(unix) && !command.contains('\'') {
            true => self.print(wrap::continued(command, terminal::width())),
            false => self.print(format!("  {command}")),
        }
    }

    /// Writes bytes of our own making to standard output as they are, for another program.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let mut out = stdout().lock();
        self.wrote(out.write_all(bytes).and_then(|()| out.flush()));
    }

    /// Tells a script what happened.
    pub(crate) fn event(&self, event: &Event<'_>) {
        if self.voice.json {
            let mut out = stdout().lock();
            // A whole line at once is not kept in the buffer of standard output.
            self.wrote(out.write_all(&event.line()).and_then(|()| out.flush()));
        }
    }

    /// An error if standard output did not take all results and events. A reader that has had enough is none.
    pub(crate) fn check_output(&self) -> Result<(), Error> {
        self.lost.take().map_or(Ok(()), |cause| Err(Error::File("standard output".into(), cause)))
    }

    fn wrote(&self, written: io::Result<()>) {
        if let Err(cause) = written
            && cause.kind() != ErrorKind::BrokenPipe
        {
            self.lost.borrow_mut().get_or_insert(cause);
        }
    }

    /// Tells what made the command fail, and what to do next.
    pub(crate) fn error(&self, error: &Error) {
        let told = error.told();
        let exit = told.class.exit();
        self.failure(&told, Some(exit));
    }

    /// Tells what failed in a command that goes on, and what to do next.
    pub(crate) fn error_and_go_on(&self, error: &Error) {
        self.failure(&error.told(), None);
    }

    fn failure(&self, told: &Told, exit: Option<u8>) {
        terminal::set_bar(None);
        if told.class == Class::Interrupted {
            terminal::take_away_echo();
        }
        self.event(&Event::Error {
            class: told.class.name(),
            exit,
            message: escape_lines(&told.what),
            advice: escape_lines(&told.next),
        });
        self.line(&format!("error: {}", told.what), Style::new().red().bold());
        if !told.next.is_empty() {
            self.line(&format!("  {}", told.next), Style::new());
        }
    }

    /// Writes what a simulated board's console says, of which `unfinished` is its last line so far.
    pub(crate) fn console(&self, bytes: &[u8], unfinished: &[u8]) -> io::Result<()> {
        let mut out = stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush())?;
        terminal::set_console(unfinished);
        Ok(())
    }

    /// Puts the terminal right before the process ends without ceremony.
    pub(crate) fn leave() {
        terminal::leave();
    }

    /// Puts the terminal right while the process is stopped.
    pub(crate) fn suspend() {
        terminal::suspend();
    }

    /// Shows again what stood on the terminal before the process was stopped.
    pub(crate) fn resume() {
        terminal::resume();
    }

    /// Whether a user sits at standard input, who can be asked.
    pub(crate) fn has_person(&self) -> bool {
        matches!(self.prompts, Prompts::Drawn | Prompts::Written)
    }

    /// Whether standard input is a terminal, be it one on which questions cannot be shown.
    pub(crate) fn is_at_terminal(&self) -> bool {
        self.prompts != Prompts::Piped
    }

    /// Whether standard output has events, and no text.
    pub(crate) fn has_script(&self) -> bool {
        self.voice.json
    }

    /// Whether more than usual is to be told.
    pub(crate) fn is_verbose(&self) -> bool {
        self.voice.verbose
    }

    /// One line to standard error, around what may stand on the terminal.
    fn line(&self, text: &str, look: Style) {
        let text = Escaped { text, width: stderr().is_terminal().then(terminal::width) };
        terminal::write_lines(|out| writeln!(out, "{}", look.clone().for_stderr().apply_to(&text)));
    }
}

/// [`Escaped`], for texts without secrets.
fn escape_lines(text: &str) -> String {
    Escaped::new(text).to_string()
}

/// The prompt's first words, in bold on a terminal.
fn prompt(text: &str) -> String {
    format!("{} ", style(text).for_stderr().bold())
}
