//! The state of a receiver's session, and what all its steps use. PROTOCOL.md, section 6.

use core::pin::pin;

use crate::certificate::CertificateHash;
use crate::digest::Digest;
use crate::session::channel::{Channel, decode};
use crate::session::link::Clock;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::receiver::environment::{Environment, Receiver};
use crate::session::receiver::operator::Operator;
use crate::session::receiver::peers::RunId;
use crate::session::receiver::wait::{First, wait_for};
use crate::wire::message::{FromSender, Stage};

/// The state of a receiver's session.
pub(super) struct Session<'s, 'a, E: Environment> {
    pub(super) channel: Channel<'s, E::Link, E::Clock>,
    pub(super) peer: CertificateHash,
    pub(super) receiver: &'s mut Receiver<'a, E>,
    /// The sender's run, once the sender has proved the code. The receiver keeps state about this session under it.
    pub(super) run: Option<RunId>,
    /// Digest of the archive's manifest, once it has matched the offer's tag.
    pub(super) manifest: Option<Digest>,
    /// Whether the receipt was handed to the connection.
    pub(super) is_receipt_sent: bool,
}

impl<E: Environment> Session<'_, '_, E> {
    /// Receives the payload of the sender's next message. Fails with `expired` if none has come at `until`.
    pub(super) async fn receive_payload(&mut self, until: u64, expired: SessionError) -> Result<&[u8], SessionError> {
        let first = {
            let receiver = &mut *self.receiver;
            let end = pin!(receiver.clock.sleep_until(until));
            let (frame, interrupted) = (&mut *receiver.buffers.frame, pin!(receiver.operator.interrupted()));
            wait_for(&mut self.channel, Stage::Waiting, Some(frame), interrupted, end).await?
        };
        match first {
            First::Done => Err(expired),
            First::Message(length) => Ok(&self.receiver.buffers.frame[..length]),
        }
    }

    /// Fails unless the work that was waited for is done. Meanwhile the sender may send only keep-alives and `Cancel`.
    pub(super) fn expect_done(&self, first: First) -> Result<(), SessionError> {
        match first {
            First::Done => Ok(()),
            First::Message(length) => not_expected(decode(&self.receiver.buffers.frame[..length])?),
        }
    }
}

pub(super) fn check_field(is_valid: bool) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::PeerMisbehaved(Misbehaviour::Field)) }
}

/// The error for a message that is not the expected one. `Cancel` is allowed everywhere.
pub(super) fn not_expected<T>(message: FromSender<'_>) -> Result<T, SessionError> {
    Err(match message {
        FromSender::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
