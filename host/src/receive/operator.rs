//! The interface between a receiver and the program that embeds it, or the program's user: shows the code, asks for the
//! key, and reports events.

use std::net::IpAddr;

use tokio_util::sync::CancellationToken;
use waft_core::code::{AuthCode, TransferKey};
use waft_core::path::FolderName;
use waft_core::session::Offered;
use waft_core::session::receiver::{self as core, Event as SessionEvent};
use zeroize::Zeroizing;

pub use waft_core::session::receiver::KeyAnswer;

use super::digits;
use crate::error::Error;
use crate::preface::Rejected;
use crate::receive::Keys;
use crate::session::Phase;
use crate::trust::Peer;

/// The user of a [`Receiver`](super::Receiver), or a program in place of one.
pub trait Operator {
    /// Shows the code that a sender has to give now. Called when the code changes.
    fn code(&mut self, _code: &AuthCode) {}

    /// Decides whether the offered folder may be received. Called once for each connection that offers a folder, before
    /// the user is asked for the key.
    fn accepts(&mut self, _offer: &Offer<'_>) -> bool {
        true
    }

    /// Asks for the key that the sender shows, and writes it to `key`. `tries_left` is `None` at first, and after a
    /// wrong key the number of tries that are left. The future is dropped when the connection ends, the time for the
    /// key is over, or the receiver is cancelled.
    async fn key(&mut self, offer: &Offer<'_>, tries_left: Option<u8>, key: &mut TransferKey) -> KeyAnswer;

    /// Reports an event.
    fn event(&mut self, _event: Event<'_>) {}
}

/// A folder that a sender offers.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The sender.
    pub peer: &'a Peer,
    /// When the sender began its run, in seconds since 1970.
    pub created: u64,
    /// Number of files.
    pub files: u32,
    /// Length of the archive, in bytes.
    pub total: u64,
}

/// An event at a receiver.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A connection was closed that is not from a sender of this version of waft.
    NotASender {
        /// The address of the peer.
        address: IpAddr,
        /// Why it was closed.
        why: Rejected,
    },
    /// A peer was refused because it could not be authenticated.
    NotAuthenticated {
        /// The address of the peer.
        address: IpAddr,
        /// Why it was refused.
        error: &'a Error,
    },
    /// The session with a sender begins.
    Connected(&'a Peer),
    /// The sender gave a wrong code.
    CodeWrong {
        /// The sender.
        peer: &'a Peer,
        /// The number of tries until the sender is locked out.
        left: u8,
    },
    /// The sender gave the right code.
    CodeAccepted,
    /// The sender offers a folder.
    Offered(Offer<'a>),
    /// The sender has proven the key, and this is the name of its folder.
    Named {
        /// The sender.
        peer: &'a Peer,
        /// What its sender calls the folder.
        name: FolderName<'a>,
    },
    /// The receiver looks for a part of the folder that it already has, and reads it back.
    Hashing,
    /// This receiver waits because another process is receiving into the same target.
    Waiting,
    /// The key is right, and receiving begins.
    Started {
        /// The number of bytes of the archive that the receiver already has.
        offset: u64,
        /// Length of the archive.
        total: u64,
    },
    /// The number of bytes of the archive that were received so far, including those before `offset`.
    Progress(u64),
    /// The whole archive was received. The receiver now verifies it and puts the folder in place.
    Verifying,
    /// The folder is in place.
    Committed,
}

/// The operator of one session in core: passes the session's questions and events on to the host's [`Operator`], and
/// records how far the session came.
pub(super) struct SessionOperator<'a, O> {
    operator: &'a mut O,
    peer: &'a Peer,
    /// The last code that was shown to the user; `None` if senders are not asked for a code.
    shown_code: Option<&'a mut Option<Zeroizing<[u8; 4]>>>,
    keys: Keys,
    cancel: &'a CancellationToken,
    held: u64,
    phase: Phase,
    /// Whether this session committed a folder, rather than only repeat a receipt.
    has_committed: bool,
}

impl<'a, O: Operator> SessionOperator<'a, O> {
    pub(super) fn new(
        operator: &'a mut O,
        peer: &'a Peer,
        shown_code: Option<&'a mut Option<Zeroizing<[u8; 4]>>>,
        keys: Keys,
        cancel: &'a CancellationToken,
    ) -> Self {
        let (held, phase, has_committed) = (0, Phase::Opening, false);
        Self { operator, peer, shown_code, keys, cancel, held, phase, has_committed }
    }

    /// The number of archive bytes that were already held, the phase of the session, and whether it committed a folder.
    pub(super) fn end(self) -> (u64, Phase, bool) {
        (self.held, self.phase, self.has_committed)
    }

    fn offer(&self, offered: &Offered) -> Offer<'a> {
        let Offered { created, shape, .. } = offered;
        Offer { peer: self.peer, created: *created, files: shape.files, total: shape.total }
    }
}

impl<O: Operator> core::Operator for SessionOperator<'_, O> {
    fn code(&mut self, code: &AuthCode) {
        let Some(shown) = &mut self.shown_code else { return };
        let digits = digits(code);
        if shown.replace(digits.clone()).as_ref() != Some(&digits) {
            self.operator.code(code);
        }
    }

    fn accepts(&mut self, offered: &Offered) -> bool {
        self.operator.accepts(&self.offer(offered))
    }

    async fn key(&mut self, offered: &Offered, left: Option<u8>, key: &mut TransferKey) -> KeyAnswer {
        self.phase = Phase::Key;
        let offer = self.offer(offered);
        tokio::select! {
            answer = self.operator.key(&offer, left, key) => answer,
            () = self.cancel.cancelled() => KeyAnswer::Interrupted,
        }
    }

    fn folder_name(&mut self, name: FolderName<'_>) {
        self.operator.event(Event::Named { peer: self.peer, name });
    }

    fn event(&mut self, event: SessionEvent) {
        self.operator.event(match event {
            SessionEvent::Connected(_) => Event::Connected(self.peer),
            SessionEvent::CodeWrong { left } => Event::CodeWrong { peer: self.peer, left },
            SessionEvent::CodeAccepted => Event::CodeAccepted,
            SessionEvent::Offered(offered) => {
                // With `Keys::Either` the key is typed if the user is asked for it.
                self.phase = if self.keys == Keys::Typed { Phase::Key } else { Phase::SealedKey };
                Event::Offered(self.offer(&offered))
            }
            SessionEvent::Hashing => Event::Hashing,
            SessionEvent::Waiting => Event::Waiting,
            SessionEvent::Receiving { offset, total } => {
                self.held = offset;
                self.phase = Phase::Begun;
                Event::Started { offset, total }
            }
            SessionEvent::Taken(bytes) => {
                self.held += bytes;
                return;
            }
            SessionEvent::Received(bytes) => {
                self.phase = Phase::Content;
                Event::Progress(bytes)
            }
            SessionEvent::Verifying => Event::Verifying,
            SessionEvent::Committed(_) => {
                self.has_committed = true;
                Event::Committed
            }
            // `Locked` is reported by the error that ends the session.
            _ => return,
        });
    }

    async fn interrupted(&mut self) {
        self.cancel.cancelled().await;
    }
}
