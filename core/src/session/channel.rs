//! Frames over a [`Link`], each with its deadline: the part of a session that both sides share.
//!
//! Waiting happens on `readable`, beside the clock and the operator, and loses nothing when it is given up. A read
//! begins only when something is there, but may then wait for the rest of a record of TLS: it has its deadline too, and
//! once one was given up, nothing is read anymore. PROTOCOL.md, sections 4 and 6 (deadlines).

use core::future::{Future, pending};
use core::pin::{Pin, pin};

use embassy_futures::poll_once;
use embassy_futures::select::{Either, Either3, select, select3};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::limits::{FRAME_HEADER, FRAME_MS, LINGER_MS, MESSAGE_MAX, STEP_MS};
use crate::session::{Clock, Link, Misbehaviour, SessionError};
use crate::wire::frame::{Header, Kind};
use crate::wire::message::Cancel;

/// Longest frame that carries a message.
const MESSAGE_FRAME: usize = FRAME_HEADER + MESSAGE_MAX;

/// That the person stops. Of one type, so that a board has what waits for it but once.
type Interrupted<'i> = Pin<&'i mut dyn Future<Output = ()>>;

/// A received frame, in the buffer that the caller lent for it.
pub(super) enum Frame<'b> {
    Message(&'b [u8]),
    Chunk(&'b mut [u8]),
}

impl<'b> Frame<'b> {
    /// The payload of a message; a chunk has no place here.
    pub(super) fn message(self) -> Result<&'b [u8], SessionError> {
        match self {
            Self::Message(payload) => Ok(payload),
            Self::Chunk(_) => Err(SessionError::PeerMisbehaved(Misbehaviour::Unexpected)),
        }
    }
}

/// A link that carries frames.
pub(super) struct Channel<'a, L, K> {
    link: &'a mut L,
    clock: &'a K,
    /// Whether a read was given up: where the next one would go on is not known.
    torn: bool,
}

impl<'a, L: Link, K: Clock> Channel<'a, L, K> {
    pub(super) fn new(link: &'a mut L, clock: &'a K) -> Self {
        Self { link, clock, torn: false }
    }

    /// The moment `ms` from now.
    pub(super) fn after(&self, ms: u64) -> u64 {
        self.clock.now().saturating_add(ms)
    }

    pub(super) fn clock(&self) -> &'a K {
        self.clock
    }

    /// Completes when something is there to receive.
    pub(super) async fn readable(&mut self) -> Result<(), SessionError> {
        self.link.readable().await.map_err(|_| SessionError::Disconnected)
    }

    /// Whether something is there to receive already.
    pub(super) fn is_readable(&mut self) -> bool {
        poll_once(self.link.readable()).is_ready()
    }

    /// Receives a frame that begins before `until` and does not dawdle, unless `interrupted` comes first, be it in the
    /// frame's middle. `chunk`: largest chunk that may come, 0 for none.
    pub(super) async fn receive<'b>(
        &mut self,
        buffer: &'b mut [u8],
        chunk: u32,
        until: u64,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Frame<'b>, SessionError> {
        let mut interrupted: Interrupted<'_> = pin!(interrupted);
        self.wait(until, interrupted.as_mut()).await?;
        let whole = self.after(FRAME_MS);
        let mut header = [0; FRAME_HEADER];
        self.fill(&mut header, whole, interrupted.as_mut()).await?;
        let header = Header::decode(header, chunk).map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Frame))?;
        let payload = buffer.get_mut(..header.length).ok_or(SessionError::Buffers)?;
        self.fill(payload, whole, interrupted).await?;
        Ok(match header.kind {
            Kind::Message => Frame::Message(payload),
            Kind::Chunk => Frame::Chunk(payload),
        })
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), SessionError> {
        let mut frame = [0; MESSAGE_FRAME];
        let length = encode(message, &mut frame[FRAME_HEADER..]).len();
        self.send_framed(Kind::Message, &mut frame[..FRAME_HEADER + length]).await
    }

    /// Sends a frame whose payload stands at `FRAME_HEADER` already.
    pub(super) async fn send_framed(&mut self, kind: Kind, frame: &mut [u8]) -> Result<(), SessionError> {
        let header = Header::encode(kind, frame.len() - FRAME_HEADER);
        frame[..FRAME_HEADER].copy_from_slice(&header);
        let until = self.after(STEP_MS);
        let write = async {
            self.link.write_all(frame).await?;
            self.link.flush().await
        };
        match select(write, self.clock.sleep_until(until)).await {
            Either::First(written) => written.map_err(|_| SessionError::Disconnected),
            Either::Second(()) => Err(SessionError::TimedOut),
        }
    }

    /// Reads on, discarding, until the peer closes or the time to linger is over: closing with unread bytes would reset
    /// the connection, and the reset could overtake the last message.
    pub(super) async fn linger(&mut self) {
        let until = self.after(LINGER_MS);
        let mut sink = [0; 256];
        while let Ok(1..) = self.read(&mut sink, until, pin!(pending())).await {}
    }

    async fn fill(
        &mut self,
        mut buffer: &mut [u8],
        whole: u64,
        mut interrupted: Interrupted<'_>,
    ) -> Result<(), SessionError> {
        while !buffer.is_empty() {
            let until = self.after(STEP_MS).min(whole);
            match self.read(buffer, until, interrupted.as_mut()).await? {
                0 => return Err(SessionError::Disconnected),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Reads what comes next; 0: nothing does anymore.
    async fn read(
        &mut self,
        buffer: &mut [u8],
        until: u64,
        mut interrupted: Interrupted<'_>,
    ) -> Result<usize, SessionError> {
        self.wait(until, interrupted.as_mut()).await?;
        self.torn = true;
        let read = self.link.read(buffer);
        let count = soon(interrupted, read, self.clock.sleep_until(until)).await?;
        self.torn = false;
        Ok(count)
    }

    /// Waits until something can be read.
    async fn wait(&mut self, until: u64, interrupted: Interrupted<'_>) -> Result<(), SessionError> {
        if self.torn {
            return Err(SessionError::Disconnected);
        }
        soon(interrupted, self.link.readable(), self.clock.sleep_until(until)).await
    }
}

/// What the link gives, unless the person stops or the time is over before.
async fn soon<T, E>(
    interrupted: Interrupted<'_>,
    link: impl Future<Output = Result<T, E>>,
    over: impl Future<Output = ()>,
) -> Result<T, SessionError> {
    // In this order: a peer that always has something to say must not keep the person from stopping.
    match select3(interrupted, link, over).await {
        Either3::First(()) => Err(SessionError::Cancelled(Cancel::Interrupted)),
        Either3::Second(given) => given.map_err(|_| SessionError::Disconnected),
        Either3::Third(()) => Err(SessionError::TimedOut),
    }
}

/// Encodes a message. The bounds of every message are below [`MESSAGE_MAX`], so that a buffer of that size always does.
pub(super) fn encode<'b>(message: &impl Serialize, buffer: &'b mut [u8]) -> &'b [u8] {
    postcard::to_slice(message, buffer).expect("every message fits MESSAGE_MAX")
}

/// Decodes a message that must end with its last field.
pub(super) fn decode<M: DeserializeOwned>(payload: &[u8]) -> Result<M, SessionError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(SessionError::PeerMisbehaved(Misbehaviour::Message)),
    }
}

/// Decodes a `Hello` or `Greeting`: later versions may have fields behind those of this one.
pub(super) fn decode_first<M: DeserializeOwned>(payload: &[u8]) -> Result<M, SessionError> {
    postcard::take_from_bytes(payload)
        .map(|(message, _)| message)
        .map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Message))
}
