//! Frames over a [`Link`], each with its deadline: the part of a session that both sides share. Pairing uses it as well.
//!
//! The channel waits on `readable`, alongside the clock and the operator, which loses nothing when it is dropped. It
//! begins a read only when data is pending; the read may still have to wait for the rest of a TLS record, so it has a
//! deadline as well. A read or write that is dropped midway leaves the stream at an unknown position, so nothing is
//! read, or written, after it. PROTOCOL.md, sections 4 and 6 ("Deadlines").

use core::future::{Future, pending, poll_fn};
use core::mem;
use core::pin::{Pin, pin};
use core::task::Poll;

use serde::{Deserialize, Serialize};

use crate::limits::{FRAME_HEADER, FRAME_MS, IDLE_MS, LINGER_MS, MESSAGE_MAX, WORKING_MS};
use crate::session::link::{Clock, DuplexLink, Link, Written};
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::wire::frame::{Header, Kind};
use crate::wire::message::Cancel;

/// Longest frame that carries a message.
const MESSAGE_FRAME: usize = FRAME_HEADER + MESSAGE_MAX;

/// Completes when the user interrupts. Type-erased, so that what awaits it is compiled once.
pub(crate) type Interrupted<'i> = Pin<&'i mut dyn Future<Output = ()>>;

/// A link that carries frames.
pub(crate) struct Channel<'a, L, C> {
    link: &'a mut L,
    clock: &'a C,
    /// Whether a read was dropped midway. Nothing is read after it.
    is_read_cut: bool,
    /// Whether a write failed or was dropped midway. Nothing is written after it, since that would land inside the
    /// unfinished frame.
    is_write_cut: bool,
    /// When this side began to send its last frame.
    sent_at: u64,
}

impl<'a, L: Link, C: Clock> Channel<'a, L, C> {
    pub(crate) fn new(link: &'a mut L, clock: &'a C) -> Self {
        Self { link, clock, is_read_cut: false, is_write_cut: false, sent_at: clock.now() }
    }

    /// The time in `ms` milliseconds from now. Not inlined: it is called in many places.
    #[inline(never)]
    pub(crate) fn after(&self, ms: u64) -> u64 {
        self.clock.now().saturating_add(ms)
    }

    /// When this side has to send its next keep-alive, unless it sends another frame before.
    pub(super) fn next_keep_alive(&self) -> u64 {
        self.sent_at.saturating_add(WORKING_MS)
    }

    pub(crate) fn clock(&self) -> &'a C {
        self.clock
    }

    /// Completes when there is something to receive. Cancel-safe.
    pub(super) async fn readable(&mut self) -> Result<(), SessionError> {
        if self.is_read_cut {
            return Err(SessionError::Disconnected);
        }
        self.link.readable().await.map_err(|_| SessionError::Disconnected)
    }

    /// Receives a frame that begins before `until`, unless `interrupted` completes first, even in the middle of the
    /// frame. Returns the frame's header, and its payload at the front of `buffer`. `chunk` is the largest chunk that
    /// may come, or 0 for none.
    pub(super) async fn receive(
        &mut self,
        buffer: &mut [u8],
        chunk: u32,
        until: u64,
        mut interrupted: Interrupted<'_>,
    ) -> Result<Header, SessionError> {
        self.wait_readable(until, interrupted.as_mut()).await?;
        let frame_until = self.after(FRAME_MS);
        let mut header = [0; FRAME_HEADER];
        self.fill(&mut header, frame_until, interrupted.as_mut()).await?;
        let header = Header::decode(header, chunk).map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Frame))?;
        let payload = buffer.get_mut(..header.length).ok_or(SessionError::Buffers)?;
        self.fill(payload, frame_until, interrupted).await?;
        Ok(header)
    }

    /// Receives the payload of a message, as [`receive`](Self::receive) does.
    pub(super) async fn receive_message<'b>(
        &mut self,
        buffer: &'b mut [u8],
        until: u64,
        interrupted: Interrupted<'_>,
    ) -> Result<&'b [u8], SessionError> {
        let header = self.receive(buffer, 0, until, interrupted).await?;
        Ok(&buffer[..header.length])
    }

    /// Sends a message within [`IDLE_MS`].
    pub(super) async fn send(&mut self, message: &impl Serialize) -> Result<(), SessionError> {
        let mut frame = [0; MESSAGE_FRAME];
        let length = frame_message(message, &mut frame);
        self.send_frame(&frame[..length]).await
    }

    /// Sends a `Working` message as a keep-alive. It does what [`send`](Self::send) does, but with a short buffer,
    /// since that is part of the future in which this side waits for something else.
    pub(super) async fn send_working(&mut self, working: &impl Serialize) -> Result<(), SessionError> {
        let mut frame = [0; FRAME_HEADER + 4];
        let length = frame_message(working, &mut frame);
        self.send_frame(&frame[..length]).await
    }

    /// Sends bytes that are a whole frame within [`IDLE_MS`].
    pub(crate) async fn send_frame(&mut self, frame: &[u8]) -> Result<(), SessionError> {
        self.begin_frame()?;
        let until = self.after(IDLE_MS);
        {
            let write = pin!(async {
                self.link.write_all(frame).await?;
                self.link.flush().await
            });
            with_deadline(pin!(pending()), write, pin!(self.clock.sleep_until(until))).await?;
        }
        self.end_frame();
        Ok(())
    }

    /// Begins a frame. Fails if an earlier frame was not finished, because its write failed or was dropped.
    pub(super) fn begin_frame(&mut self) -> Result<(), SessionError> {
        self.sent_at = self.clock.now();
        if mem::replace(&mut self.is_write_cut, true) { Err(SessionError::Disconnected) } else { Ok(()) }
    }

    /// Records that the frame was sent completely.
    pub(super) fn end_frame(&mut self) {
        self.is_write_cut = false;
    }

    /// Reads and discards data until the peer closes, for at most [`LINGER_MS`]. Closing a socket with unread bytes
    /// would reset the connection, and the reset could overtake the last message.
    ///
    /// Returns whether the peer closed in good order without sending anything before.
    pub(crate) async fn linger(&mut self) -> bool {
        let until = self.after(LINGER_MS);
        let mut sink = [0; 256];
        let mut is_silent = true;
        loop {
            match self.read(&mut sink, until, pin!(pending())).await {
                Ok(0) => return is_silent,
                Ok(_) => is_silent = false,
                Err(_) => return false,
            }
        }
    }

    /// Fills `buffer` with bytes of a frame that has to be complete at `frame_until`.
    pub(crate) async fn fill(
        &mut self,
        mut buffer: &mut [u8],
        frame_until: u64,
        mut interrupted: Interrupted<'_>,
    ) -> Result<(), SessionError> {
        while !buffer.is_empty() {
            let until = self.after(IDLE_MS).min(frame_until);
            match self.read(buffer, until, interrupted.as_mut()).await? {
                0 => return Err(SessionError::Disconnected),
                count => buffer = &mut buffer[count..],
            }
        }
        Ok(())
    }

    /// Reads the next bytes, and returns their number; 0 if the peer has closed the connection.
    async fn read(
        &mut self,
        buffer: &mut [u8],
        until: u64,
        mut interrupted: Interrupted<'_>,
    ) -> Result<usize, SessionError> {
        self.wait_readable(until, interrupted.as_mut()).await?;
        self.is_read_cut = true;
        let read = pin!(self.link.read(buffer));
        let count = with_deadline(interrupted, read, pin!(self.clock.sleep_until(until))).await?;
        self.is_read_cut = false;
        Ok(count)
    }

    /// Waits until something can be read.
    async fn wait_readable(&mut self, until: u64, interrupted: Interrupted<'_>) -> Result<(), SessionError> {
        if self.is_read_cut {
            return Err(SessionError::Disconnected);
        }
        with_deadline(interrupted, pin!(self.link.readable()), pin!(self.clock.sleep_until(until))).await
    }
}

impl<L: DuplexLink, C: Clock> Channel<'_, L, C> {
    /// Writes some of the `rest` of a frame; if `rest` is empty, flushes what was written. Returns early if a message
    /// can be read. To be called between [`begin_frame`](Self::begin_frame) and [`end_frame`](Self::end_frame).
    pub(super) async fn write_some(
        &mut self,
        rest: &[u8],
        until: u64,
        interrupted: impl Future<Output = ()>,
    ) -> Result<Written, SessionError> {
        let write = pin!(self.link.write_or_readable(rest));
        let written = with_deadline(pin!(interrupted), write, pin!(self.clock.sleep_until(until))).await;
        if let Ok(Written::Bytes(0)) = written
            && !rest.is_empty()
        {
            return Err(SessionError::Disconnected);
        }
        written
    }
}

/// Awaits an operation of the link, unless the user interrupts or the deadline passes before. The operation is pinned by
/// reference: passing the future by value would store it twice.
fn with_deadline<T, E>(
    mut interrupted: Interrupted<'_>,
    mut link: Pin<&mut impl Future<Output = Result<T, E>>>,
    mut deadline: Pin<&mut impl Future<Output = ()>>,
) -> impl Future<Output = Result<T, SessionError>> {
    poll_fn(move |context| {
        // The interruption is polled first: a peer that sends without pause must not keep the user from interrupting.
        if interrupted.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(SessionError::Cancelled(Cancel::Interrupted)));
        }
        if let Poll::Ready(result) = link.as_mut().poll(context) {
            return Poll::Ready(result.map_err(|_| SessionError::Disconnected));
        }
        deadline.as_mut().poll(context).map(|()| Err(SessionError::TimedOut))
    })
}

/// Writes the header of a frame whose payload is already in place, after the first [`FRAME_HEADER`] bytes.
pub(crate) fn frame_payload(kind: Kind, frame: &mut [u8]) {
    let header = Header::encode(kind, frame.len() - FRAME_HEADER);
    frame[..FRAME_HEADER].copy_from_slice(&header);
}

/// Writes a message as a frame to the front of `buffer`, which must be long enough. Returns the frame's length.
pub(crate) fn frame_message(message: &impl Serialize, buffer: &mut [u8]) -> usize {
    let length = FRAME_HEADER + encode(message, &mut buffer[FRAME_HEADER..]).len();
    frame_payload(Kind::Message, &mut buffer[..length]);
    length
}

/// Encodes a message. Every message is shorter than [`MESSAGE_MAX`], so that a buffer of that length always suffices.
pub(crate) fn encode<'b>(message: &impl Serialize, buffer: &'b mut [u8]) -> &'b [u8] {
    postcard::to_slice(message, buffer).expect("every message fits MESSAGE_MAX")
}

/// Decodes a message. No bytes may follow its last field.
pub(crate) fn decode<'a, M: Deserialize<'a>>(payload: &'a [u8]) -> Result<M, SessionError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, [])) => Ok(message),
        _ => Err(SessionError::PeerMisbehaved(Misbehaviour::Message)),
    }
}

/// Decodes the peer's first message. A `Hello` or `Greeting` (`may_grow`) may be followed by fields of a later version;
/// after any other message no bytes may follow.
pub(crate) fn decode_first<'a, M: Deserialize<'a>>(
    payload: &'a [u8],
    may_grow: impl Fn(&M) -> bool,
) -> Result<M, SessionError> {
    match postcard::take_from_bytes(payload) {
        Ok((message, rest)) if rest.is_empty() || may_grow(&message) => Ok(message),
        _ => Err(SessionError::PeerMisbehaved(Misbehaviour::Message)),
    }
}
