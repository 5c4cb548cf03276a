//! The serial console: shows events to the user, and executes the commands that the user types.
//!
//! The lines on the screen come from notices on the [`panel`](crate::panel) and from commands. While an offer waits for
//! its key, the user types the key here. Unfinished input stays intact: a line that is printed meanwhile appears above
//! it.

mod commands;
mod notices;
mod terminal;
mod text;

use core::cell::Cell;
use core::future::poll_fn;
use core::task::Poll;

use embassy_futures::select::{Either, select};
use waft_core::code::{AuthCode, TransferKey};
use waft_core::session::Clock;

use crate::board::{Board, Socket, StartReason, StartupError};
use crate::entropy::Sources;
use crate::identity::{Identity, TrustedSender};
use crate::panel::Panel;
use crate::session::SharedStore;
use crate::slots::{Folder, Slots};
use commands::Command;
use terminal::{Line, Terminal};
use text::Code;

/// The pause after a failed read from the terminal, in milliseconds.
const FAILED_MS: u64 = 100;

/// The identity and the entropy sources of a receiver that can work.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) sources: Sources,
}

/// What a console shows and controls.
pub(crate) struct Around<'a, B: Board> {
    pub(crate) panel: &'a Panel,
    /// The address at which senders reach the board.
    pub(crate) address: &'a Cell<Option<<B::Socket as Socket>::Address>>,
    pub(crate) slots: &'a Slots<'a, B::Mutex, B::Flash>,
    pub(crate) store: Option<&'a SharedStore<'a, B>>,
    pub(crate) clock: &'a B::Clock,
    pub(crate) ready: Result<Ready<'a>, StartupError>,
    pub(crate) start: StartReason,
}

/// The console of a board.
pub(crate) struct Console<'a, B: Board> {
    terminal: Terminal<B::Console>,
    around: Around<'a, B>,
    /// The sender of the running session.
    peer: Option<&'a TrustedSender>,
    /// Whether the last read from the terminal failed.
    failed: bool,
    /// The folder that the user keeps with `hold`.
    held: Option<Folder<'a, B::Mutex, B::Flash>>,
}

impl<'a, B: Board> Console<'a, B> {
    pub(crate) fn new(io: B::Console, echo: bool, around: Around<'a, B>) -> Self {
        Self { terminal: Terminal::new(io, echo), around, peer: None, failed: false, held: None }
    }

    /// Shows notices and executes commands, forever.
    pub(crate) async fn serve(&mut self) -> ! {
        self.introduce().await;
        let mut line = Line::new();
        loop {
            if !self.around.panel.checks_key.get() {
                self.prompt().await;
            }
            match select(self.around.panel.next(self.around.clock), self.next_byte()).await {
                Either::First(notice) => self.show(notice).await,
                Either::Second(Some(byte)) => {
                    self.failed = false;
                    if self.terminal.take(byte, &mut line).await {
                        self.obey(&line).await;
                        line.wipe();
                    }
                }
                Either::Second(None) => self.failed = true,
            }
        }
    }

    /// Reads the next byte that the user types, or returns `None` if the read failed. While a key is checked, input
    /// stays unread, because it may be the next key. Cancel-safe.
    async fn next_byte(&mut self) -> Option<u8> {
        if self.failed {
            // A single error passes with the next byte. If all reads fail, the pause leaves the processor to other
            // tasks.
            self.around.clock.sleep_until(self.around.clock.now() + FAILED_MS).await;
        }
        let panel = self.around.panel;
        // Needs no waker: it is polled whenever the session that checks the key is polled.
        poll_fn(|_| if panel.checks_key.get() { Poll::Pending } else { Poll::Ready(()) }).await;
        self.terminal.read().await
    }

    /// Prints the board's name and fingerprint, and whether it receives.
    async fn introduce(&mut self) {
        self.terminal.say("").await;
        match self.around.ready {
            Ok(Ready { identity, .. }) => {
                let fingerprint = identity.certificate_hash();
                self.terminal.say(format_args!("{}, fingerprint {fingerprint}", identity.name)).await;
            }
            Err(error) => self.explain(error).await,
        }
        if let Some(trouble) = self.around.slots.trouble() {
            self.terminal.say(text::trouble(trouble)).await;
        }
        self.terminal.say(format_args!("Started: {}.", text::start(self.around.start))).await;
        self.terminal.say("Type `help` for what can be typed.").await;
    }

    async fn explain(&mut self, error: StartupError) {
        let reason = match error {
            StartupError::Identity(error) => text::identity(error),
            StartupError::Entropy(_) => "it has no random numbers: neither the chip's generator nor the seed is good",
            StartupError::Flash(_) => "its flash fails",
        };
        self.terminal.say(format_args!("This board receives nothing: {reason}.")).await;
    }

    async fn show_code(&mut self) {
        self.terminal.say(Code(self.around.panel.code.get())).await;
    }

    async fn prompt(&mut self) {
        let prompt = if self.around.panel.question.get().is_some() { "key> " } else { "> " };
        self.terminal.prompt(prompt).await;
    }

    /// Handles a line of input. A command is always recognized; while a key is requested, any other line is taken for
    /// the key.
    async fn obey(&mut self, line: &Line) {
        let typed = line.text();
        if let Some(command) = Command::parse(typed) {
            return self.execute(command).await;
        }
        let is_asked = self.around.panel.question.get().is_some();
        let says =
            match if is_asked { self.around.panel.answer_key(typed) } else { TransferKey::parse(typed).map(drop) } {
                _ if typed.is_empty() => return,
                Ok(()) if is_asked => return,
                Ok(()) => text::Typed::LateKey,
                _ if AuthCode::parse(typed).is_ok() => text::Typed::Code,
                Err(error) if is_asked => text::Typed::NoKey(error),
                Err(_) => text::Typed::Nothing,
            };
        self.terminal.say(says).await;
    }
}
