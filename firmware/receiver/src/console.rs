//! The console: what a person at a serial terminal sees and types.
//!
//! Lines come from notices on the [`panel`](crate::panel) and from commands; the key is typed here while an offer waits
//! for it. What is being typed stays whole: a line that comes in between is written above it.

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

/// After a read from the terminal that failed, the next one waits so long, in milliseconds.
const FAILED_MS: u64 = 100;

/// A receiver that works.
#[derive(Clone, Copy)]
pub(crate) struct Ready<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) sources: Sources,
}

/// What a console shows and works on.
pub(crate) struct Around<'a, B: Board> {
    pub(crate) panel: &'a Panel,
    /// Where senders reach the board.
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
    /// Who the running session is with.
    peer: Option<&'a TrustedSender>,
    /// Whether the last read from the terminal failed.
    failed: bool,
    /// What the person holds on to.
    held: Option<Folder<'a, B::Mutex, B::Flash>>,
}

impl<'a, B: Board> Console<'a, B> {
    pub(crate) fn new(io: B::Console, echo: bool, around: Around<'a, B>) -> Self {
        Self { terminal: Terminal::new(io, echo), around, peer: None, failed: false, held: None }
    }

    /// Shows what happens, and does what is typed.
    pub(crate) async fn serve(&mut self) -> ! {
        self.introduce().await;
        loop {
            if !self.around.panel.checks_key.get() {
                self.prompt().await;
            }
            match select(self.around.panel.next(self.around.clock), self.next_byte()).await {
                Either::First(notice) => self.show(notice).await,
                Either::Second(Some(byte)) => {
                    self.failed = false;
                    if let Some(line) = self.terminal.take(byte).await {
                        self.obey(&line).await;
                    }
                }
                Either::Second(None) => self.failed = true,
            }
        }
    }

    /// What is typed next; `None`: the line failed. While a key is checked what is typed waits: it may be the next key.
    /// Cancel-safe.
    async fn next_byte(&mut self) -> Option<u8> {
        if self.failed {
            // One error is over with the next byte; where all reads fail, the others have the processor.
            self.around.clock.sleep_until(self.around.clock.now() + FAILED_MS).await;
        }
        let panel = self.around.panel;
        // Polled whenever the session that checks it was.
        poll_fn(|_| if panel.checks_key.get() { Poll::Pending } else { Poll::Ready(()) }).await;
        self.terminal.read().await
    }

    /// Says who the board is, and whether it receives.
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

    /// A command always is one; while a key is asked for, everything else is taken for the key.
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
