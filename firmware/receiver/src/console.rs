//! An operator on a serial line: shows notices to the user, and executes the commands that the user types.
//!
//! The lines on the screen come from the notices of the receiver and from commands. While an offer waits for its key,
//! the user types the key here. Unfinished input stays intact: a line that is printed meanwhile appears above it.

mod commands;
mod notices;
mod terminal;
mod text;
#[cfg(feature = "wifi")]
mod wifi;

use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use heapless::String;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::session::Clock;

use crate::board::{Board, StartupError};
use crate::identity::NAME_MAX;
use crate::operator::{AnswerError, Control, Operator};
use crate::settings::SettingsError;
use crate::slots::{Folder, MountError};
use commands::{Answer, Command};
use terminal::{Line, Terminal};

/// The pause after a failed read from the terminal, in milliseconds.
const FAILED_MS: u64 = 100;

/// A console on a serial line, or on another stream of bytes with a user at the other end. Reads have to be cancel-safe:
/// a cancelled read loses no byte.
pub struct Console<I> {
    terminal: Terminal<I>,
}

impl<I: Read + Write> Console<I> {
    /// A console that echoes the input, as on a serial line.
    pub fn new(io: I) -> Self {
        Self { terminal: Terminal::new(io, true) }
    }

    /// A console on a terminal that shows the input and edits lines itself.
    pub fn without_echo(io: I) -> Self {
        Self { terminal: Terminal::new(io, false) }
    }
}

impl<B: Board, I: Read + Write> Operator<B> for Console<I> {
    async fn run(&mut self, control: &Control<'_, B>) -> ! {
        let terminal = &mut self.terminal;
        Dialogue {
            terminal,
            control,
            peer: None,
            has_read_failed: false,
            held: None,
            #[cfg(feature = "wifi")]
            question: None,
        }
        .run()
        .await
    }
}

/// The dialogue with the user while the receiver runs.
struct Dialogue<'c, 'a, I, B: Board> {
    terminal: &'c mut Terminal<I>,
    control: &'c Control<'a, B>,
    /// The name of the sender of the running session.
    peer: Option<String<NAME_MAX>>,
    /// Whether the last read from the terminal failed.
    has_read_failed: bool,
    /// The folder that the user keeps with `hold`.
    held: Option<Folder<'a, B::Mutex, B::Flash>>,
    /// The question for the passphrase of a network: the next line is the answer.
    #[cfg(feature = "wifi")]
    question: Option<wifi::Question>,
}

/// What comes from the terminal.
enum Input {
    Byte(u8),
    /// The read failed.
    Failed,
    /// Nothing, and the time for the passphrase is over.
    #[cfg(feature = "wifi")]
    Late,
}

impl<I: Read + Write, B: Board> Dialogue<'_, '_, I, B> {
    /// Shows notices and executes commands, forever.
    async fn run(&mut self) -> ! {
        // What was typed before the receiver was run again, such as half a passphrase.
        self.terminal.reset();
        self.print_lines(&Self::banner_line).await;
        let mut line = Line::new();
        loop {
            #[cfg(feature = "wifi")]
            self.give_way_to_key().await;
            if !self.control.is_checking_key() {
                self.prompt().await;
            }
            match select(self.control.next(), self.next_input()).await {
                Either::First(notice) => self.show(notice).await,
                Either::Second(Input::Byte(byte)) => {
                    self.has_read_failed = false;
                    if self.terminal.take(byte, &mut line).await {
                        self.execute_line(&line).await;
                        line.wipe();
                    }
                    #[cfg(feature = "wifi")]
                    self.cancel_passphrase(byte).await;
                }
                Either::Second(Input::Failed) => {
                    self.has_read_failed = true;
                    #[cfg(feature = "wifi")]
                    self.end_question("The line failed, so the network stays as it is.").await;
                }
                #[cfg(feature = "wifi")]
                Either::Second(Input::Late) => {
                    self.end_question("No passphrase came in two minutes, so the network stays as it is.").await;
                }
            }
        }
    }

    /// Waits for input, or for the end of the time to answer a question. Cancel-safe.
    async fn next_input(&mut self) -> Input {
        #[cfg(feature = "wifi")]
        if let Some(until) = self.question.as_ref().map(|question| question.until) {
            let late = self.control.clock().sleep_until(until);
            return match select(self.next_byte(), late).await {
                Either::First(input) => input,
                Either::Second(()) => Input::Late,
            };
        }
        self.next_byte().await
    }

    /// Reads the next byte that the user types. While a key is checked, input stays unread, because it may be the next
    /// key. Cancel-safe.
    async fn next_byte(&mut self) -> Input {
        if self.has_read_failed {
            // A single error passes with the next byte. If all reads fail, the pause leaves the processor to other
            // tasks.
            let clock = self.control.clock();
            clock.sleep_until(clock.now() + FAILED_MS).await;
        }
        self.control.key_checked().await;
        self.terminal.read().await.map_or(Input::Failed, Input::Byte)
    }

    /// Composes a line of the banner: the board's name and fingerprint, and whether it receives.
    fn banner_line(&mut self, index: usize) -> Option<bool> {
        let note = match index {
            0 => Some(""),
            1 => {
                match self.control.identity() {
                    Ok(identity) => {
                        let fingerprint = identity.certificate_hash();
                        self.compose(format_args!("{}, fingerprint {fingerprint}", identity.name))
                    }
                    Err(error) => self.compose_startup_error(error),
                };
                return Some(true);
            }
            2 => self.control.slots().journal_error().map(text::journal_error),
            3 => self.settings_note(),
            4 => {
                self.compose(format_args!("Started: {}.", text::start(self.control.start())));
                return Some(true);
            }
            5 => Some("Type `help` for what can be typed."),
            _ => return None,
        };
        let Some(note) = note else { return Some(false) };
        self.compose(note);
        Some(true)
    }

    /// What the banner of a board that can receive says about the settings.
    fn settings_note(&self) -> Option<&'static str> {
        let identity = self.control.identity().ok()?;
        match self.control.settings_error() {
            Some(error) => Some(text::settings_error(error)),
            None if self.control.was_reset() => Some("The factory reset is complete."),
            None => identity.senders.is_empty().then_some("It trusts nobody: type `pair` to add a computer."),
        }
    }

    /// Composes why the board cannot receive.
    fn compose_startup_error(&mut self, error: StartupError) -> Answer {
        let reason = match error {
            StartupError::Identity(error) => text::identity(error),
            StartupError::Entropy(_) => "it has no random numbers: neither the chip's generator nor the seed is good",
            StartupError::Settings(SettingsError::Lost) => {
                "its settings, with its identity, are lost. `factory-reset yes` makes another"
            }
            StartupError::Settings(SettingsError::OtherVersion) => {
                "another firmware wrote its settings, with its identity. Flash that firmware again"
            }
            StartupError::Settings(_) => "its settings, with its identity, cannot be read or written. Restart it",
            StartupError::Flash(MountError::Reset) => "a factory reset is not complete. Restart it",
            StartupError::Flash(_) => "its flash fails",
        };
        self.compose(format_args!("This board cannot receive: {reason}."))
    }

    async fn prompt(&mut self) {
        let prompt = match self.control.key_request() {
            #[cfg(feature = "wifi")]
            _ if self.question.is_some() => "passphrase> ",
            Some(_) => "key> ",
            None => "> ",
        };
        self.terminal.prompt(prompt).await;
    }

    /// Handles a line of input. A command is always recognized; while a key is requested, any other line is taken for
    /// the key.
    async fn execute_line(&mut self, line: &Line) {
        #[cfg(feature = "wifi")]
        if self.question.is_some() {
            return self.take_passphrase(line).await;
        }
        let typed = line.text();
        if let Some(command) = Command::parse(typed) {
            return self.execute(command).await;
        }
        if typed.is_empty() {
            return;
        }
        let answer = match self.control.answer_key(typed) {
            Ok(()) => return,
            Err(AnswerError::NotRequested) if TransferKey::parse(typed).is_ok() => text::Typed::LateKey,
            _ if AuthCode::parse(typed).is_ok() => text::Typed::Code,
            Err(AnswerError::NotAKey(error)) => text::Typed::NoKey(error),
            Err(AnswerError::NotRequested) => text::Typed::Nothing,
        };
        self.terminal.print(answer).await;
    }
}
