//! The order of the steps of a sender's session, and its end. PROTOCOL.md, section 6.

use crate::session::channel::Channel;
use crate::session::outcome::{Receipt, SessionError};
use crate::session::sender::dialogue::Dialogue;
use crate::session::sender::environment::{Buffers, Environment, Peer, Sender};
use crate::session::sender::error::SendError;
use crate::session::sender::offer::Answer;
use crate::session::sender::state::Session;
use crate::wire::message::{Cancel, FromSender};

impl<E: Environment> Sender<'_, E> {
    /// Offers the source's archive to the authenticated receiver `peer`, and sends it.
    pub async fn send(&mut self, link: &mut E::Link, peer: &Peer<'_>) -> Result<Receipt, SendError> {
        let Buffers { plain, frame, compressor } = &mut self.buffers;
        let mut session = Session::<E> {
            dialogue: Dialogue::new(Channel::new(link, self.clock), self.operator, frame),
            peer,
            run: self.run,
            source: self.source,
            rng: self.rng,
            plain,
            compressor: compressor.as_deref_mut(),
        };
        let result = session.run().await;
        if let Err(error) = result {
            session.report_error(error).await;
        }
        result
    }
}

impl<E: Environment> Session<'_, E> {
    async fn run(&mut self) -> Result<Receipt, SendError> {
        let opening = self.greet().await?;
        // Everything that can fail fails before the user is asked for the code.
        self.check_bounds(&opening.greeting)?;
        let choice = self.choose(&opening.greeting)?;
        if opening.greeting.code_needed {
            self.prove_code().await?;
        }
        let schedule = self.offer(&opening, &choice).await?;
        let prefix = match self.receive_accept(&schedule, &opening.greeting).await? {
            Answer::Prefix(prefix) => prefix,
            Answer::Committed(receipt) => return Ok(receipt),
        };
        let resumed = self.resume(prefix).await?;
        match self.send_chunks(&choice, schedule, resumed).await? {
            Some(receipt) => Ok(receipt),
            None => self.receive_receipt().await,
        }
    }

    /// Sends `Cancel` after an error, unless the receiver caused the error or knows it.
    async fn report_error(&mut self, error: SendError) {
        let reason = match error {
            SendError::Session(SessionError::Cancelled(reason)) => reason,
            SendError::Session(SessionError::TimedOut) => Cancel::TimedOut,
            SendError::Session(SessionError::PeerMisbehaved(_)) | SendError::WrongReceipt => Cancel::Protocol,
            SendError::OverLimit { .. }
            | SendError::NoSpace { .. }
            | SendError::KeyNotTyped
            | SendError::KeyNotSealed
            | SendError::NothingInCommon
            | SendError::NoHpkeKey => Cancel::Declined,
            SendError::Session(_) | SendError::OutcomeUnknown { .. } => return,
        };
        if self.dialogue.channel.send(&FromSender::Cancel(reason)).await.is_ok() {
            self.dialogue.channel.linger().await;
        }
    }
}
