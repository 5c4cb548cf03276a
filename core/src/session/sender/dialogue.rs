//! The sender's connection and its user: sends frames, receives messages, and exchanges keep-alives.
//!
//! Whatever the sender waits for, it also receives messages and notices when its user interrupts. PROTOCOL.md,
//! section 6 ("Deadlines").

use core::future::Future;
use core::pin::pin;

use embassy_futures::select::{Either3, Either4, select3, select4};

use crate::limits::{self, IDLE_MS, MESSAGE_MAX, WORKING_CAP_MS};
use crate::session::channel::{Channel, decode, frame_message, frame_payload};
use crate::session::link::{Clock, Written};
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::sender::environment::Environment;
use crate::session::sender::operator::{Event, Operator};
use crate::wire::frame::Kind;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Stage};

/// How long a sender whose user interrupted may take to finish its current frame, in milliseconds.
const GRACE_MS: u64 = 500;

/// A sender's connection and its user.
pub(super) struct Dialogue<'s, E: Environment> {
    pub(super) channel: Channel<'s, E::Link, E::Clock>,
    pub(super) operator: &'s mut E::Operator,
    /// Buffer for frames that are sent.
    pub(super) frame: &'s mut [u8],
    /// Buffer for messages that are received.
    pub(super) message: [u8; MESSAGE_MAX],
    /// `None` before chunks are sent.
    progress: Option<Progress>,
}

/// Bytes of the archive that are durable at the receiver, and its length.
#[derive(Clone, Copy)]
struct Progress {
    durable: u64,
    total: u64,
}

impl<'s, E: Environment> Dialogue<'s, E> {
    pub(super) fn new(
        channel: Channel<'s, E::Link, E::Clock>,
        operator: &'s mut E::Operator,
        frame: &'s mut [u8],
    ) -> Self {
        Self { channel, operator, frame, message: [0; MESSAGE_MAX], progress: None }
    }

    /// Allows the receiver to send `Progress` from here on.
    pub(super) fn begin_transfer(&mut self, durable: u64, total: u64) {
        self.progress = Some(Progress { durable, total });
    }

    /// Receives the payload of the next message, whatever it is.
    pub(super) async fn receive_payload(&mut self) -> Result<&[u8], SessionError> {
        let until = self.channel.after(IDLE_MS);
        self.channel.receive_message(&mut self.message, until, pin!(self.operator.interrupted())).await
    }

    /// Receives the next message. `keeps_alive` says whether this side sends keep-alives meanwhile. It must not if the
    /// receiver may still have unread chunks.
    pub(super) async fn receive(&mut self, keeps_alive: bool) -> Result<FromReceiver, SessionError> {
        let clock = self.channel.clock();
        let silent_until = self.channel.after(IDLE_MS);
        loop {
            let tick = if keeps_alive { self.channel.next_keep_alive().min(silent_until) } else { silent_until };
            let interrupted = self.operator.interrupted();
            match select3(interrupted, self.channel.readable(), clock.sleep_until(tick)).await {
                Either3::First(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either3::Second(ready) => {
                    ready?;
                    return decode(self.receive_payload().await?);
                }
                Either3::Third(()) if clock.now() >= silent_until => return Err(SessionError::TimedOut),
                Either3::Third(()) => self.channel.send(&FromSender::Working(Stage::Waiting)).await?,
            }
        }
    }

    /// Receives the next message that is not `Working`.
    pub(super) async fn receive_answer(&mut self) -> Result<FromReceiver, SessionError> {
        let cap = self.channel.after(WORKING_CAP_MS);
        loop {
            match self.receive(true).await? {
                FromReceiver::Working(stage) => self.show_working(stage, cap)?,
                other => return Ok(other),
            }
        }
    }

    /// Shows the user what the receiver is busy with. Fails after `until`.
    pub(super) fn show_working(&mut self, stage: Stage, until: u64) -> Result<(), SessionError> {
        if self.channel.clock().now() > until {
            return Err(SessionError::TimedOut);
        }
        self.operator.event(Event::Working(stage));
        Ok(())
    }

    /// Runs `work` of this side, and sends keep-alives with `stage` meanwhile. The user may interrupt it.
    pub(super) async fn run<T>(&mut self, stage: Stage, work: impl Future<Output = T>) -> Result<T, SessionError> {
        let clock = self.channel.clock();
        let mut work = pin!(work);
        loop {
            let (interrupted, tick) = (self.operator.interrupted(), self.channel.next_keep_alive());
            match select4(interrupted, &mut work, self.channel.readable(), clock.sleep_until(tick)).await {
                Either4::First(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either4::Second(done) => return Ok(done),
                Either4::Third(ready) => {
                    ready?;
                    self.receive_progress().await?;
                }
                Either4::Fourth(()) => {
                    self.send_among_chunks(&FromSender::Working(stage)).await?;
                }
            }
        }
    }

    /// Sends the chunk of `length` bytes that is in the frame buffer, after the space for its header.
    pub(super) async fn send_chunk(&mut self, length: usize) -> Result<(), SessionError> {
        let length = limits::FRAME_HEADER + length;
        frame_payload(Kind::Chunk, &mut self.frame[..length]);
        self.send_frame(length).await
    }

    /// Sends a message while the receiver may still be busy with earlier chunks, as [`send_chunk`](Self::send_chunk) does.
    pub(super) async fn send_among_chunks(&mut self, message: &FromSender<'_>) -> Result<(), SessionError> {
        let length = frame_message(message, self.frame);
        self.send_frame(length).await
    }

    /// Sends the frame at the front of the frame buffer. If the user interrupts, the frame has [`GRACE_MS`] more to become
    /// complete, because `Cancel` may follow only a complete frame. The result is then `Cancelled`, also if the connection
    /// broke or the time was too short.
    async fn send_frame(&mut self, length: usize) -> Result<(), SessionError> {
        self.channel.begin_frame()?;
        let mut grace_until = None;
        let written = self.write_frame(length, &mut grace_until).await;
        let is_interrupted = grace_until.is_some();
        match written {
            Err(SessionError::Disconnected | SessionError::TimedOut) if is_interrupted => {}
            Err(error) => return Err(error),
            Ok(()) => self.channel.end_frame(),
        }
        if is_interrupted { Err(SessionError::Cancelled(Cancel::Interrupted)) } else { Ok(()) }
    }

    /// Writes the frame at the front of the frame buffer. Messages from the receiver renew the deadline, so that a slow
    /// receiver gets the time that it needs; they do not extend the grace period of a user who interrupted.
    async fn write_frame(&mut self, length: usize, grace_until: &mut Option<u64>) -> Result<(), SessionError> {
        let clock = self.channel.clock();
        let cap = self.channel.after(WORKING_CAP_MS);
        let mut until = self.channel.after(IDLE_MS).min(cap);
        let mut sent = 0;
        loop {
            let rest = &self.frame[sent..length];
            let interrupted = grace_over(self.operator, clock, grace_until);
            match self.channel.write_some(rest, until, interrupted).await? {
                Written::Bytes(_) if rest.is_empty() => return Ok(()),
                Written::Bytes(count) => sent += count,
                Written::Readable => {
                    self.receive_progress_in_frame(grace_until).await?;
                    until = self.channel.after(IDLE_MS).min(cap);
                }
            }
        }
    }

    /// Receives a message while this side is busy.
    async fn receive_progress(&mut self) -> Result<(), SessionError> {
        let message = decode(self.receive_payload().await?)?;
        self.handle_progress(message)
    }

    /// Receives a message in the middle of a frame of this side. An interruption ends it only when
    /// the grace period is over.
    async fn receive_progress_in_frame(&mut self, grace_until: &mut Option<u64>) -> Result<(), SessionError> {
        let (clock, until) = (self.channel.clock(), self.channel.after(IDLE_MS));
        let message = {
            let interrupted = pin!(grace_over(self.operator, clock, grace_until));
            decode(self.channel.receive_message(&mut self.message, until, interrupted).await?)?
        };
        self.handle_progress(message)
    }

    /// Handles a message that came while this side was busy. Only keep-alives and progress are allowed then.
    fn handle_progress(&mut self, message: FromReceiver) -> Result<(), SessionError> {
        match message {
            FromReceiver::Working(stage) => self.operator.event(Event::Working(stage)),
            FromReceiver::Progress { durable } => self.show_durable(durable)?,
            other => return not_expected(other),
        }
        Ok(())
    }

    /// Checks a `Progress`, which never decreases and never exceeds the archive, and shows it to the user.
    pub(super) fn show_durable(&mut self, durable: u64) -> Result<(), SessionError> {
        match &mut self.progress {
            Some(progress) if (progress.durable..=progress.total).contains(&durable) => {
                progress.durable = durable;
                self.operator.event(Event::Durable(durable));
                Ok(())
            }
            Some(_) => Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
            None => Err(SessionError::PeerMisbehaved(Misbehaviour::Unexpected)),
        }
    }

    /// Receives every pending message without waiting for further ones.
    pub(super) async fn receive_pending(&mut self) -> Result<(), SessionError> {
        while embassy_futures::poll_once(self.channel.readable()).is_ready() {
            self.receive_progress().await?;
        }
        Ok(())
    }

    /// Receives the receiver's last message after writing to the connection failed: `Refused` and `Cancel` as errors,
    /// `Committed` as a message.
    pub(super) async fn receive_last_message(&mut self) -> Result<FromReceiver, SessionError> {
        loop {
            let until = self.channel.after(limits::LINGER_MS);
            let payload =
                self.channel.receive_message(&mut self.message, until, pin!(self.operator.interrupted())).await;
            match decode(payload.map_err(|_| SessionError::Disconnected)?)? {
                FromReceiver::Progress { .. } | FromReceiver::Working(_) => {}
                committed @ FromReceiver::Committed { .. } => return Ok(committed),
                other => return not_expected(other),
            }
        }
    }
}

/// Completes [`GRACE_MS`] after the user has interrupted. `until` is the end of that time; `None` until the user
/// interrupts. Cancel-safe: with the same `until`, a later call continues the same period.
async fn grace_over(operator: &mut impl Operator, clock: &impl Clock, until: &mut Option<u64>) {
    let until = match *until {
        Some(until) => until,
        None => {
            operator.interrupted().await;
            *until.insert(clock.now().saturating_add(GRACE_MS))
        }
    };
    clock.sleep_until(until).await;
}

/// The error for a message that is not the expected one. `Refused` and `Cancel` are allowed everywhere.
pub(super) fn not_expected<T>(message: FromReceiver) -> Result<T, SessionError> {
    Err(match message {
        FromReceiver::Refused(refusal) => SessionError::Refused(refusal),
        FromReceiver::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
