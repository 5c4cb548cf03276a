//! How the receiver waits for its store, its user or the sender.
//!
//! While it waits, the receiver sends keep-alives, and ends the session if the sender sends none of its own.
//! PROTOCOL.md, section 6 ("Deadlines").

use core::future::{Future, pending};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use embassy_futures::select::{Either, Either3, Either4, select, select3, select4};

use crate::limits::IDLE_MS;
use crate::session::channel::{Channel, Interrupted};
use crate::session::link::{Clock, Link};
use crate::session::outcome::SessionError;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Stage};

/// The event that ended a wait.
pub(super) enum First {
    /// The work is done.
    Done,
    /// The sender sent a message of this length, which is in the buffer. It is not `Working`.
    Message(usize),
}

/// Stores the output of work, so that [`wait_for`] does not depend on the types of the work and of its output.
pub(super) struct StoreOutput<'w, F: Future> {
    pub(super) work: Pin<&'w mut F>,
    /// Stays as it is unless the work is done. So begin with an error.
    pub(super) output: &'w mut F::Output,
}

impl<F: Future> Future for StoreOutput<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let done = self.work.as_mut().poll(context);
        done.map(|output| *self.output = output)
    }
}

/// Runs `work` until it is done, the user interrupts, or the sender sends a message other than `Working`. Meanwhile
/// this sends keep-alives with `stage`.
///
/// `buffer` is for the sender's messages. Without it they are left unread, since chunks may be among them, and the
/// sender has no deadline.
///
/// The work is type-erased, so that this function is compiled once.
pub(super) async fn wait_for<L: Link, C: Clock>(
    channel: &mut Channel<'_, L, C>,
    stage: Stage,
    mut buffer: Option<&mut [u8]>,
    mut interrupted: Interrupted<'_>,
    mut work: Pin<&mut dyn Future<Output = ()>>,
) -> Result<First, SessionError> {
    let clock = channel.clock();
    let mut silent_until = channel.after(IDLE_MS);
    loop {
        let tick = channel.next_keep_alive();
        let readable = async {
            match buffer {
                Some(_) => channel.readable().await,
                None => pending().await,
            }
        };
        match select4(&mut work, &mut interrupted, readable, clock.sleep_until(tick)).await {
            Either4::First(()) => return Ok(First::Done),
            Either4::Second(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either4::Third(ready) => {
                ready?;
                let buffer = buffer.as_deref_mut().unwrap_or_default();
                let until = channel.after(IDLE_MS);
                let message = channel.receive_message(buffer, until, interrupted.as_mut()).await?;
                if !FromSender::is_working(message) {
                    return Ok(First::Message(message.len()));
                }
                silent_until = channel.after(IDLE_MS);
                continue;
            }
            Either4::Fourth(()) if buffer.is_some() && clock.now() >= silent_until => {
                return Err(SessionError::TimedOut);
            }
            Either4::Fourth(()) => {}
        }
        let message = FromReceiver::Working(stage);
        let mut sending = pin!(channel.send_working(&message));
        match select3(&mut work, &mut interrupted, &mut sending).await {
            Either3::First(()) => {
                // A message that was begun has to be finished before another can follow it.
                let _ = sending.await;
                return Ok(First::Done);
            }
            Either3::Second(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either3::Third(sent) => sent?,
        }
    }
}

/// Runs `work` to its end, even if the connection fails. Meanwhile this sends keep-alives with `stage`.
pub(super) async fn finish<T, L: Link, C: Clock>(
    channel: &mut Channel<'_, L, C>,
    stage: Stage,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> T {
    let clock = channel.clock();
    loop {
        if let Either::First(done) = select(&mut work, clock.sleep_until(channel.next_keep_alive())).await {
            return done;
        }
        let message = FromReceiver::Working(stage);
        let mut sending = pin!(channel.send_working(&message));
        // The work goes on even if the connection is lost.
        if let Either::First(done) = select(&mut work, &mut sending).await {
            // A message that was begun has to be finished before another can follow it.
            let _ = sending.await;
            return done;
        }
    }
}
