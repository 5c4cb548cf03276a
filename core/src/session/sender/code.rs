//! A sender's session: the code that the receiver shows to its user.
//!
//! PROTOCOL.md, section 6, step 3.

use core::future::pending;
use core::pin::pin;

use embassy_futures::select::{Either3, select3};

use crate::code::AuthCode;
use crate::limits::{CODE_MS, IDLE_MS};
use crate::session::channel::decode;
use crate::session::link::Clock;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::sender::dialogue::{Dialogue, not_expected};
use crate::session::sender::environment::Environment;
use crate::session::sender::operator::{Event, Operator};
use crate::session::sender::state::Session;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Stage};

impl<E: Environment> Session<'_, E> {
    /// Asks the user for the code until the receiver accepts it.
    pub(super) async fn prove_code(&mut self) -> Result<(), SessionError> {
        let mut left = None;
        loop {
            let digits = *self.dialogue.ask_code(left).await?.digits();
            self.dialogue.channel.send(&FromSender::Code { digits }).await?;
            match self.dialogue.receive_answer().await? {
                FromReceiver::CodeAccepted => break,
                FromReceiver::CodeWrong { left: tries @ 1.. } => left = Some(tries),
                FromReceiver::CodeWrong { .. } => return Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
                other => return not_expected(other),
            }
        }
        self.dialogue.operator.event(Event::CodeAccepted);
        Ok(())
    }
}

impl<E: Environment> Dialogue<'_, E> {
    /// Asks the user for the code, and sends keep-alives meanwhile.
    async fn ask_code(&mut self, left: Option<u8>) -> Result<AuthCode, SessionError> {
        let clock = self.channel.clock();
        let until = self.channel.after(CODE_MS + IDLE_MS);
        let mut silent_until = self.channel.after(IDLE_MS);
        let mut answer = pin!(self.operator.code(left));
        loop {
            let tick = self.channel.next_keep_alive();
            match select3(&mut answer, self.channel.readable(), clock.sleep_until(tick)).await {
                Either3::First(Some(code)) => return Ok(code),
                Either3::First(None) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either3::Second(ready) => {
                    ready?;
                    let within = self.channel.after(IDLE_MS);
                    match decode(self.channel.receive_message(&mut self.message, within, pin!(pending())).await?)? {
                        FromReceiver::Working(_) => silent_until = self.channel.after(IDLE_MS),
                        other => return not_expected(other),
                    }
                }
                Either3::Third(()) if clock.now() >= until.min(silent_until) => return Err(SessionError::TimedOut),
                Either3::Third(()) => self.channel.send(&FromSender::Working(Stage::Waiting)).await?,
            }
        }
    }
}
