//! The interface between a sender and the program that embeds it, or the program's user: asks for the code, and reports
//! events.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::session::sender::{self as core, Event as SessionEvent};
use waft_core::wire::message::Stage;

use crate::address::Address;
use crate::error::Error;
use crate::name::Name;
use crate::send::RetryLimit;
use crate::session::Phase;

/// The user of a [`Sender`](super::Sender), or a program in place of one.
pub trait Operator {
    /// Asks for the code that the receiver shows. `tries_left` is `None` at first, and after a wrong code the number of
    /// tries that are left. If this returns `None`, the transfer is cancelled. The future is dropped when the
    /// connection ends or the sender is cancelled.
    async fn code(&mut self, receiver: &Name, tries_left: Option<u8>) -> Option<AuthCode>;

    /// Reports an event.
    fn event(&mut self, _event: Event<'_>) {}
}

/// An event at a sender.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The receiver's address has not answered yet.
    StillDialing {
        /// The address.
        address: &'a Address,
        /// How long a connection may take in all.
        limit: Duration,
    },
    /// Connecting to the address where the receiver was last reached failed. The sender tries the configured address.
    OtherAddress {
        /// The address that failed.
        failed: &'a Address,
        /// The address that is tried.
        next: &'a Address,
    },
    /// The receiver is not at a known address. It is looked for on this network.
    Searching,
    /// The receiver cannot be looked for: multicast DNS is not available.
    SearchUnavailable(&'a Error),
    /// The receiver is announced at this address, which accepted a connection. Whether it is the receiver is not known yet.
    Announced {
        /// The address.
        address: &'a Address,
    },
    /// Both sides have authenticated each other.
    Connected,
    /// The receiver's address cannot be stored for the next run.
    AddressNotSaved(&'a Error),
    /// The receiver has this many bytes free.
    FreeSpace(u64),
    /// A user will have to type this key at the receiver. Reported once, before the code is asked for.
    Key(&'a TransferKey),
    /// The receiver accepted the code.
    CodeAccepted,
    /// The folder was offered.
    Offered {
        /// The key that the receiver's user is asked for now; `None` if the key was sealed to the receiver, which
        /// needs no user. Reported again with each connection.
        key: Option<&'a TransferKey>,
    },
    /// The receiver is busy with this stage. Reported when the stage changes.
    Waiting(Stage),
    /// Sending begins.
    Started {
        /// The number of bytes of the archive that the receiver already has.
        offset: u64,
        /// Length of the archive.
        total: u64,
    },
    /// So many bytes of the archive need not be sent, because the receiver has the same files. Reported once for each
    /// range of such bytes.
    LeftOut(u64),
    /// The number of bytes of the archive that were sent so far, including those before `offset`.
    Progress(u64),
    /// The attempt failed; there will be another one.
    Retry {
        /// The error.
        error: &'a Error,
        /// A hint at a possible cause, if the peer stopped responding.
        hint: Option<&'static str>,
        /// The pause before the next attempt.
        wait: Duration,
        /// What ends the attempts.
        limit: RetryLimit,
        /// The time since the first attempt.
        elapsed: Duration,
    },
}

/// The operator of one session in core: passes the session's questions and events on to the host's [`Operator`], and
/// records how far the session came.
pub(super) struct SessionOperator<'a, O> {
    operator: &'a mut O,
    receiver: &'a Name,
    key: &'a TransferKey,
    total: u64,
    is_key_shown: &'a mut bool,
    cancel: &'a CancellationToken,
    stage: Option<Stage>,
    /// The positions in the archive where sending began and where it is now.
    sent: Option<(u64, u64)>,
    /// Bytes of the archive that were left out.
    left_out: u64,
    phase: Phase,
}

impl<'a, O: Operator> SessionOperator<'a, O> {
    pub(super) fn new(
        operator: &'a mut O,
        receiver: &'a Name,
        key: &'a TransferKey,
        total: u64,
        is_key_shown: &'a mut bool,
        cancel: &'a CancellationToken,
    ) -> Self {
        let (stage, sent, left_out, phase) = (None, None, 0, Phase::Opening);
        Self { operator, receiver, key, total, is_key_shown, cancel, stage, sent, left_out, phase }
    }

    /// Whether everything was sent, so that the receiver may have the whole folder.
    pub(super) fn has_sent_all(&self) -> bool {
        self.sent.is_some_and(|(_, position)| position == self.total)
    }

    /// The number of archive bytes that were sent, and the phase of the session.
    pub(super) fn end(self) -> (u64, Phase) {
        (self.sent.map_or(0, |(from, to)| (to - from).saturating_sub(self.left_out)), self.phase)
    }
}

impl<O: Operator> core::Operator for SessionOperator<'_, O> {
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode> {
        self.phase = Phase::Code;
        tokio::select! {
            code = self.operator.code(self.receiver, left) => code,
            () = self.cancel.cancelled() => None,
        }
    }

    fn event(&mut self, event: SessionEvent) {
        let event = match event {
            SessionEvent::Greeted { free, sealed } => {
                self.operator.event(Event::FreeSpace(free));
                if sealed || std::mem::replace(self.is_key_shown, true) {
                    return;
                }
                Event::Key(self.key)
            }
            SessionEvent::CodeAccepted => {
                self.phase = Phase::Opening;
                Event::CodeAccepted
            }
            SessionEvent::Offered { sealed } => {
                self.phase = if sealed { Phase::SealedKey } else { Phase::Key };
                Event::Offered { key: (!sealed).then_some(self.key) }
            }
            SessionEvent::Working(stage) if self.stage.replace(stage) == Some(stage) => return,
            SessionEvent::Working(stage) => Event::Waiting(stage),
            SessionEvent::Accepted { offset } => {
                self.phase = Phase::Begun;
                self.sent = Some((offset, offset));
                Event::Started { offset, total: self.total }
            }
            SessionEvent::LeftOut(bytes) => {
                self.left_out += bytes;
                Event::LeftOut(bytes)
            }
            SessionEvent::Sent(position) => {
                if let Some((_, sent)) = &mut self.sent {
                    *sent = position;
                }
                Event::Progress(position)
            }
            SessionEvent::Durable(_) => {
                self.phase = Phase::Content;
                return;
            }
            _ => return,
        };
        self.operator.event(event);
    }

    async fn interrupted(&mut self) {
        self.cancel.cancelled().await;
    }
}
