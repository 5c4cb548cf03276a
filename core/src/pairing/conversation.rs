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

/// A part of the buffer.
#[derive(Clone, Copy)]
enum Part {
    Incoming,
    Outgoing,
}

/// A connection that carries the messages of an attempt.
pub(super) struct Conversation<'a, 'b, L, C> {
    channel: Channel<'a, L, C>,
    buffer: &'b mut Buffer,
    /// When the whole attempt has to be over.
    deadline: u64,
    /// The length of the payload that was received last, in either part of the buffer.
    received: usize,
    /// Whether the peer has sent `Failed`. No further message is sent to it then.
    has_peer_failed: bool,
}

impl<'a, 'b, L: Link, C: Clock> Conversation<'a, 'b, L, C> {
    pub(super) fn new(link: &'a mut L, buffer: &'b mut Buffer, clock: &'a C) -> Self {
        let channel = Channel::new(link, clock);
        let deadline = channel.after(PAIRING_MS);
        Self { channel, buffer, deadline, received: 0, has_peer_failed: false }
    }

    /// Moves the deadline of the attempt to at most this many milliseconds from now. Returns the deadline before, for
    /// [`set_deadline`](Self::set_deadline).
    pub(super) fn shorten_deadline(&mut self, milliseconds: u64) -> u64 {
        let deadline = self.deadline;
        self.deadline = deadline.min(self.channel.after(milliseconds));
        deadline
    }

    /// Sets when the attempt has to be over.
    pub(super) fn set_deadline(&mut self, deadline: u64) {
        self.deadline = deadline;
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
    pub(super) async fn receive_first(&mut self) -> Result<PairingMessage, PairingError> {
        let start = self.receive_start().await?;
        if let [b'W', b'A', b'F', b'T'] = start {
            let mut refusal = [b'W', b'A', b'F', b'T', 0, 0, 0, 0];
            let (_, rest) = refusal.split_at_mut(LEN - FRAME_HEADER);
            self.channel.fill(rest, self.deadline, pin!(pending())).await?;
            let refusal = ClearRefusal::from_bytes(&refusal).map_err(|_| PairingError::NotWaft)?;
            self.has_peer_failed = true;
            return Err(PairingError::Refused(refusal));
        }
        if Header::decode(start, 0).is_err() {
            self.has_peer_failed = true;
            return Err(PairingError::NotWaft);
        }
        self.receive_rest(start, 0, Part::Incoming).await?;
        self.message()
    }

    /// Receives the next message. [`payload`](Self::payload) has it as it crossed.
    pub(super) async fn receive(&mut self) -> Result<PairingMessage, PairingError> {
        self.receive_frame(0, Part::Incoming).await?;
        self.message()
    }

    /// The payload that [`receive`](Self::receive) received last. Not after [`receive_last`](Self::receive_last).
    pub(super) fn payload(&self) -> &[u8] {
        &self.buffer.incoming[..self.received]
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
        if self.receive_frame((SEALED_MAX - CHUNK_OVERHEAD) as u32, Part::Incoming).await? == Kind::Message {
            self.message()?;
            return Err(PairingError::PeerMisbehaved(Misbehaviour::Unexpected));
        }
        let sealed = &mut self.buffer.incoming[..self.received];
        let length = key.open(sealed)?;
        let introduction = Introduction::decode(&sealed[..length]).map_err(PairingError::Introduction)?;
        let is_own = introduction.certificate() == me.certificate();
        if is_own { Err(PairingError::SameCertificate) } else { Ok(length) }
    }

    /// Receives the dialer's last message. The buffer still holds the dialer's introduction after it.
    pub(super) async fn receive_last(&mut self) -> Result<PairingMessage, PairingError> {
        self.receive_frame(0, Part::Outgoing).await?;
        Ok(decode(&self.buffer.outgoing[..self.received])?)
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

    /// Receives a frame, whose payload is at the front of this part of the buffer then. `chunk` is the largest chunk that may
    /// come, or 0 for none.
    async fn receive_frame(&mut self, chunk: u32, part: Part) -> Result<Kind, PairingError> {
        let start = self.receive_start().await?;
        self.receive_rest(start, chunk, part).await
    }

    async fn receive_start(&mut self) -> Result<[u8; FRAME_HEADER], PairingError> {
        let mut start = [0; FRAME_HEADER];
        self.channel.fill(&mut start, self.deadline, pin!(pending())).await?;
        Ok(start)
    }

    async fn receive_rest(&mut self, start: [u8; FRAME_HEADER], chunk: u32, part: Part) -> Result<Kind, PairingError> {
        let header = Header::decode(start, chunk).map_err(|_| PairingError::PeerMisbehaved(Misbehaviour::Frame))?;
        let buffer = match part {
            Part::Incoming => &mut self.buffer.incoming[..],
            Part::Outgoing => &mut self.buffer.outgoing[..],
        };
        self.received = header.length;
        self.channel.fill(&mut buffer[..header.length], self.deadline, pin!(pending())).await?;
        Ok(header.kind)
    }

    /// Decodes the message that was received. A peer that gives up is an error.
    fn message(&mut self) -> Result<PairingMessage, PairingError> {
        let may_grow =
            |message: &PairingMessage| matches!(message, PairingMessage::Hello(_) | PairingMessage::Greeting(_));
        let message = decode_first(self.payload(), may_grow)?;
        if let PairingMessage::Failed(failure) = message {
            self.has_peer_failed = true;
            return Err(match failure {
                // `Failed` is not authenticated, so every other failure is reported as a statement of the peer.
                Failure::Version => PairingError::Version,
                Failure::WrongCode => PairingError::WrongCode,
                _ => PairingError::PeerFailed(failure),
            });
        }
        Ok(message)
    }
}

// The buffer has room for every message and for a sealed introduction.
const _: () = assert!(SEALED_MAX >= MESSAGE_MAX && SEALED_MAX > CHUNK_OVERHEAD);
