//! The sender's end of the connection and its user: frames that are sent, messages that come, signs of life both ways.
//!
//! Whatever it waits for, it hears the receiver and its user meanwhile. PROTOCOL.md, section 6 (deadlines).

use core::future::{Future, pending};
use core::pin::pin;

use embassy_futures::select::{Either3, Either4, select3, select4};

use crate::code::AuthCode;
use crate::limits::{self, MESSAGE_MAX, STEP_MS, WORKING_CAP_MS};
use crate::session::channel::{Channel, decode, frame_message, frame_payload};
use crate::session::sender::{Event, Operator};
use crate::session::{Clock, DuplexLink, Misbehaviour, SessionError, Written};
use crate::wire::frame::Kind;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Stage};

/// A frame whose sender was interrupted may take this long to be sent off, in milliseconds.
const GRACE_MS: u64 = 500;

/// A sender's connection and its user.
pub(super) struct Dialogue<'s, L, O, K> {
    pub(super) channel: Channel<'s, L, K>,
    pub(super) operator: &'s mut O,
    /// For frames that are sent.
    pub(super) frame: &'s mut [u8],
    /// For messages that come.
    message: [u8; MESSAGE_MAX],
    /// Bytes of archive that are durable at the receiver and may become so: `None` before chunks are sent.
    progress: Option<Progress>,
}

#[derive(Clone, Copy)]
struct Progress {
    durable: u64,
    total: u64,
}

impl<'s, L: DuplexLink, O: Operator, K: Clock> Dialogue<'s, L, O, K> {
    pub(super) fn new(channel: Channel<'s, L, K>, operator: &'s mut O, frame: &'s mut [u8]) -> Self {
        Self { channel, operator, frame, message: [0; MESSAGE_MAX], progress: None }
    }

    /// From here on the receiver may send `Progress`.
    pub(super) fn begin_transfer(&mut self, durable: u64, total: u64) {
        self.progress = Some(Progress { durable, total });
    }

    /// The payload of the next message, whatever it is.
    pub(super) async fn first(&mut self) -> Result<&[u8], SessionError> {
        let until = self.channel.after(STEP_MS);
        self.channel.receive_message(&mut self.message, until, pin!(self.operator.interrupted())).await
    }

    /// The next message. `beats`: whether the receiver gets signs of life meanwhile; not where it may be busy with
    /// chunks that it did not read yet.
    pub(super) async fn next(&mut self, beats: bool) -> Result<FromReceiver, SessionError> {
        let clock = self.channel.clock();
        let silent = self.channel.after(STEP_MS);
        loop {
            let tick = if beats { self.channel.next_keep_alive().min(silent) } else { silent };
            let interrupted = self.operator.interrupted();
            match select3(interrupted, self.channel.readable(), clock.sleep_until(tick)).await {
                Either3::First(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either3::Second(ready) => {
                    ready?;
                    return decode(self.first().await?);
                }
                Either3::Third(()) if clock.now() >= silent => return Err(SessionError::TimedOut),
                Either3::Third(()) => self.channel.send(&FromSender::Working(Stage::Waiting)).await?,
            }
        }
    }

    /// The next message that is no `Working`.
    pub(super) async fn answer(&mut self) -> Result<FromReceiver, SessionError> {
        let cap = self.channel.after(WORKING_CAP_MS);
        loop {
            match self.next(true).await? {
                FromReceiver::Working(stage) => self.working(stage, cap)?,
                other => return Ok(other),
            }
        }
    }

    /// Tells the user what the receiver is busy with, unless that lasts too long.
    pub(super) fn working(&mut self, stage: Stage, until: u64) -> Result<(), SessionError> {
        if self.channel.clock().now() > until {
            return Err(SessionError::TimedOut);
        }
        self.operator.event(Event::Working(stage));
        Ok(())
    }

    /// Asks the user for the code, and gives signs of life meanwhile.
    pub(super) async fn ask_code(&mut self, left: Option<u8>) -> Result<AuthCode, SessionError> {
        let clock = self.channel.clock();
        let until = self.channel.after(limits::CODE_MS + STEP_MS);
        let mut silent = self.channel.after(STEP_MS);
        let mut answer = pin!(self.operator.code(left));
        loop {
            let tick = self.channel.next_keep_alive();
            match select3(&mut answer, self.channel.readable(), clock.sleep_until(tick)).await {
                Either3::First(Some(code)) => return Ok(code),
                Either3::First(None) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either3::Second(ready) => {
                    ready?;
                    let within = self.channel.after(STEP_MS);
                    match decode(self.channel.receive_message(&mut self.message, within, pin!(pending())).await?)? {
                        FromReceiver::Working(_) => silent = self.channel.after(STEP_MS),
                        other => return not_expected(other),
                    }
                }
                Either3::Third(()) if clock.now() >= until.min(silent) => return Err(SessionError::TimedOut),
                Either3::Third(()) => self.channel.send(&FromSender::Working(Stage::Waiting)).await?,
            }
        }
    }

    /// Lets this side work, and tells the receiver so now and then. The user may interrupt it.
    pub(super) async fn busy<T>(&mut self, stage: Stage, work: impl Future<Output = T>) -> Result<T, SessionError> {
        let clock = self.channel.clock();
        let mut work = pin!(work);
        loop {
            let (interrupted, tick) = (self.operator.interrupted(), self.channel.next_keep_alive());
            match select4(interrupted, &mut work, self.channel.readable(), clock.sleep_until(tick)).await {
                Either4::First(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either4::Second(done) => return Ok(done),
                Either4::Third(ready) => {
                    ready?;
                    self.hear().await?;
                }
                Either4::Fourth(()) => {
                    let length = frame_message(&FromSender::Working(stage), self.frame);
                    self.send_frame(length).await?;
                }
            }
        }
    }

    /// Sends the chunk of that length that stands in the frame buffer behind the place of its header.
    pub(super) async fn send_chunk(&mut self, length: usize) -> Result<(), SessionError> {
        let length = limits::FRAME_HEADER + length;
        frame_payload(Kind::Chunk, &mut self.frame[..length]);
        self.send_frame(length).await
    }

    /// Sends the frame at the front of the frame buffer. What the receiver says meanwhile renews the deadline, so that a
    /// slow one is waited for.
    async fn send_frame(&mut self, length: usize) -> Result<(), SessionError> {
        self.channel.begin_frame()?;
        let cap = self.channel.after(WORKING_CAP_MS);
        let mut until = self.channel.after(STEP_MS).min(cap);
        let mut sent = 0;
        let mut is_interrupted = false;
        loop {
            let rest = &self.frame[sent..length];
            let user = async {
                match is_interrupted {
                    true => pending().await,
                    false => self.operator.interrupted().await,
                }
            };
            match self.channel.write_some(rest, until, user).await {
                Ok(Written::Bytes(_)) if rest.is_empty() => break,
                Ok(Written::Bytes(count)) => sent += count,
                Ok(Written::Readable) => {
                    self.hear().await?;
                    until = self.channel.after(STEP_MS).min(cap);
                }
                // Only behind a whole frame the receiver can be told.
                Err(SessionError::Cancelled(_)) if !is_interrupted => {
                    is_interrupted = true;
                    until = self.channel.after(GRACE_MS).min(until);
                }
                Err(_) if is_interrupted => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Err(error) => return Err(error),
            }
        }
        self.channel.end_frame();
        if is_interrupted { Err(SessionError::Cancelled(Cancel::Interrupted)) } else { Ok(()) }
    }

    /// Receives a message that nobody waits for: only signs of life and progress have a place here.
    async fn hear(&mut self) -> Result<(), SessionError> {
        match decode(self.first().await?)? {
            FromReceiver::Working(stage) => self.operator.event(Event::Working(stage)),
            FromReceiver::Progress { durable } => self.durable(durable)?,
            other => return not_expected(other),
        }
        Ok(())
    }

    /// Takes `Progress`, which only grows, and never beyond the archive.
    pub(super) fn durable(&mut self, durable: u64) -> Result<(), SessionError> {
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

    /// Hears every message that the receiver sent already, without waiting.
    pub(super) async fn hear_all(&mut self) -> Result<(), SessionError> {
        while embassy_futures::poll_once(self.channel.readable()).is_ready() {
            self.hear().await?;
        }
        Ok(())
    }

    /// What the receiver said before a connection broke while it was written to: `Refused` and `Cancel` as errors,
    /// `Committed` as a message.
    pub(super) async fn last_words(&mut self) -> Result<FromReceiver, SessionError> {
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

/// `Refused` and `Cancel` have a place everywhere; nothing else has one where it is not waited for.
pub(super) fn not_expected<T>(message: FromReceiver) -> Result<T, SessionError> {
    Err(match message {
        FromReceiver::Refused(refusal) => SessionError::Refused(refusal),
        FromReceiver::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
