//! What both sides of a pairing do with the connection: messages, sealed introductions, deadlines and the last words.
//! PROTOCOL.md, sections 13.2 and 13.5.

use core::future::pending;
use core::pin::pin;

use crate::limits::{CHUNK_OVERHEAD, FRAME_HEADER, MESSAGE_MAX, PAIRING_MS};
use crate::pairing::error::PairingError;
use crate::pairing::introduction::{self, Introduction};
use crate::pairing::keys::IntroductionKey;
use crate::pairing::message::{Failure, PairingMessage, SENT_MAX};
use crate::sealed::cipher::TAG;
use crate::session::channel::{Channel, decode, decode_first, frame_message, frame_payload};
use crate::session::{Clock, Link, Misbehaviour};
use crate::wire::frame::{Header, Kind};
use crate::wire::preface::{ClearRefusal, LEN, Purpose};

/// Longest sealed introduction, in bytes.
const SEALED_MAX: usize = introduction::ENCODED_MAX + TAG;

/// What both sides lend to an attempt: about 1.7 KiB. The peer's introduction is in it afterwards.
pub struct Buffer {
    incoming: [u8; SEALED_MAX],
    outgoing: [u8; FRAME_HEADER + SEALED_MAX],
}

impl Buffer {
    /// An empty buffer.
    pub const fn new() -> Self {
        Self { incoming: [0; SEALED_MAX], outgoing: [0; FRAME_HEADER + SEALED_MAX] }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection that carries the messages of an attempt.
pub(super) struct Conversation<'a, 'b, L, C> {
    channel: Channel<'a, L, C>,
    buffer: &'b mut Buffer,
    /// When the whole attempt has to be over.
    deadline: u64,
    /// Whether the peer has sent `Failed`. No further message is sent to it then.
    has_peer_failed: bool,
}

impl<'a, 'b, L: Link, C: Clock> Conversation<'a, 'b, L, C> {
    pub(super) fn new(link: &'a mut L, buffer: &'b mut Buffer, clock: &'a C) -> Self {
        let channel = Channel::new(link, clock);
        let deadline = channel.after(PAIRING_MS);
        Self { channel, buffer, deadline, has_peer_failed: false }
    }

    /// Receives the next message, which has to be complete within this time.
    pub(super) async fn receive_within(&mut self, milliseconds: u64) -> Result<PairingMessage, PairingError> {
        let deadline = self.deadline;
        self.deadline = deadline.min(self.channel.after(milliseconds));
        let received = self.receive().await;
        self.deadline = deadline;
        received
    }

    /// The time now.
    pub(super) fn now(&self) -> u64 {
        self.channel.clock().now()
    }

    /// Sends the dialer's preface.
    pub(super) async fn send_preface(&mut self) -> Result<(), PairingError> {
        Ok(self.channel.send_frame(&Purpose::Pairing.preface()).await?)
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &PairingMessage) -> Result<(), PairingError> {
        let mut frame = [0; FRAME_HEADER + SENT_MAX];
        let length = frame_message(message, &mut frame);
        Ok(self.channel.send_frame(&frame[..length]).await?)
    }

    /// Receives the answer to the dialer's preface: a message, or a refusal in the clear.
    pub(super) async fn receive_first(&mut self) -> Result<(PairingMessage, &[u8]), PairingError> {
        let start = self.receive_start().await?;
        if let [b'W', b'A', b'F', b'T'] = start {
            let mut refusal = [b'W', b'A', b'F', b'T', 0, 0, 0, 0];
            let (_, rest) = refusal.split_at_mut(LEN - FRAME_HEADER);
            self.channel.fill(rest, self.deadline, pin!(pending())).await?;
            let refusal = ClearRefusal::from_bytes(&refusal).map_err(|_| PairingError::NotWaft)?;
            self.has_peer_failed = true;
            return Err(PairingError::Refused(refusal));
        }
        let Ok(header) = Header::decode(start, 0) else {
            self.has_peer_failed = true;
            return Err(PairingError::NotWaft);
        };
        self.receive_payload(header).await
    }

    /// Receives the next message, with its payload as it crossed.
    pub(super) async fn receive_with_payload(&mut self) -> Result<(PairingMessage, &[u8]), PairingError> {
        let start = self.receive_start().await?;
        let header = Header::decode(start, 0).map_err(|_| PairingError::PeerMisbehaved(Misbehaviour::Frame))?;
        self.receive_payload(header).await
    }

    /// Receives the next message.
    pub(super) async fn receive(&mut self) -> Result<PairingMessage, PairingError> {
        self.receive_with_payload().await.map(|(message, _)| message)
    }

    /// Seals this side's introduction, and sends it.
    pub(super) async fn send_introduction(
        &mut self,
        me: &Introduction<'_>,
        key: IntroductionKey,
    ) -> Result<(), PairingError> {
        let (_, payload) = self.buffer.outgoing.split_at_mut(FRAME_HEADER);
        let length = me.encode(payload.first_chunk_mut().expect("a sealed introduction is longer than a plain one"));
        let length = FRAME_HEADER + key.seal(payload, length);
        let frame = &mut self.buffer.outgoing[..length];
        frame_payload(Kind::Chunk, frame);
        Ok(self.channel.send_frame(frame).await?)
    }

    /// Receives the peer's introduction, opens and checks it. Returns its length; it is at the front of the buffer.
    pub(super) async fn receive_introduction(
        &mut self,
        me: &Introduction<'_>,
        key: IntroductionKey,
    ) -> Result<usize, PairingError> {
        let start = self.receive_start().await?;
        let header = Header::decode(start, (SEALED_MAX - CHUNK_OVERHEAD) as u32)
            .map_err(|_| PairingError::PeerMisbehaved(Misbehaviour::Frame))?;
        if header.kind == Kind::Message {
            self.receive_payload(header).await?;
            return Err(PairingError::PeerMisbehaved(Misbehaviour::Unexpected));
        }
        let sealed = &mut self.buffer.incoming[..header.length];
        self.channel.fill(sealed, self.deadline, pin!(pending())).await?;
        let length = key.open(sealed)?;
        let introduction = Introduction::decode(&sealed[..length]).map_err(PairingError::Introduction)?;
        let is_own = introduction.certificate() == me.certificate();
        if is_own { Err(PairingError::SameCertificate) } else { Ok(length) }
    }

    /// Receives the dialer's last message. The buffer still holds the dialer's introduction after it.
    pub(super) async fn receive_last(&mut self) -> Result<PairingMessage, PairingError> {
        let start = self.receive_start().await?;
        let header = Header::decode(start, 0).map_err(|_| PairingError::PeerMisbehaved(Misbehaviour::Frame))?;
        let payload = &mut self.buffer.outgoing[..header.length];
        self.channel.fill(payload, self.deadline, pin!(pending())).await?;
        Ok(decode(payload)?)
    }

    /// Tells the peer why this side gives up, unless the peer gave up first, and waits until it has closed.
    pub(super) async fn report(&mut self, error: PairingError) {
        if let Some(failure) = error.failure()
            && !self.has_peer_failed
            && self.send(&PairingMessage::Failed(failure)).await.is_ok()
        {
            self.linger().await;
        }
    }

    /// Waits until the peer has closed, after this side's last message.
    pub(super) async fn linger(&mut self) {
        self.channel.linger().await;
    }

    /// The buffer, which holds the peer's introduction in its first `length` bytes.
    pub(super) fn into_introduction(self, length: usize) -> Result<Introduction<'b>, PairingError> {
        let incoming = &self.buffer.incoming;
        Introduction::decode(&incoming[..length]).map_err(PairingError::Introduction)
    }

    async fn receive_start(&mut self) -> Result<[u8; FRAME_HEADER], PairingError> {
        let mut start = [0; FRAME_HEADER];
        self.channel.fill(&mut start, self.deadline, pin!(pending())).await?;
        Ok(start)
    }

    /// Receives the payload of a message, and decodes it. A peer that gives up is an error.
    async fn receive_payload(&mut self, header: Header) -> Result<(PairingMessage, &[u8]), PairingError> {
        let payload = &mut self.buffer.incoming[..header.length];
        self.channel.fill(payload, self.deadline, pin!(pending())).await?;
        let message =
            decode_first(payload, |message| matches!(message, PairingMessage::Hello(_) | PairingMessage::Greeting(_)))?;
        if let PairingMessage::Failed(failure) = message {
            self.has_peer_failed = true;
            return Err(match failure {
                // `Failed` is not authenticated, so every other failure is reported as a statement of the peer.
                Failure::Version => PairingError::Version,
                Failure::WrongCode => PairingError::WrongCode,
                _ => PairingError::PeerFailed(failure),
            });
        }
        Ok((message, payload))
    }
}

// The buffer has room for every message and for a sealed introduction.
const _: () = assert!(SEALED_MAX >= MESSAGE_MAX && SEALED_MAX > CHUNK_OVERHEAD);
