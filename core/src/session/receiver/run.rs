//! The order of the steps of a receiver's session, and its end. PROTOCOL.md, section 6.

use core::pin::pin;

use embassy_futures::select::select;

use crate::certificate::CertificateHash;
use crate::sealed::keys::Schedule;
use crate::session::channel::Channel;
use crate::session::link::Clock;
use crate::session::outcome::{Misbehaviour, Receipt, SessionError};
use crate::session::own_frame::own_frame;
use crate::session::receiver::environment::{Environment, Receiver};
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::state::Session;
use crate::session::receiver::store::Store;
use crate::wire::message::{Cancel, FromReceiver, Refusal};

impl<E: Environment> Receiver<'_, E> {
    /// Receives one folder from the authenticated sender `peer`, and reports the result to the sender.
    pub async fn receive(&mut self, link: &mut E::Link, peer: CertificateHash) -> Result<Receipt, SessionError> {
        let mut session = Session::<E> {
            channel: Channel::new(link, self.clock),
            peer,
            receiver: self,
            run: None,
            manifest: None,
            is_receipt_sent: false,
        };
        let result = session.run().await;
        session.end(result.err()).await;
        // The side that sent the last message waits for the other side to close.
        if !matches!(result, Err(SessionError::Disconnected | SessionError::PeerCancelled(_))) {
            let confirmed = session.channel.linger().await;
            if confirmed
                && session.is_receipt_sent
                && let Some(run) = session.run
            {
                session.receiver.peers.runs.confirm(&run);
            }
        }
        result
    }
}

impl<E: Environment> Session<'_, '_, E> {
    async fn run(&mut self) -> Result<Receipt, SessionError> {
        self.receiver.operator.event(Event::Connected(self.peer));
        let opening = own_frame(pin!(self.greet())).await?;
        let checked = own_frame(pin!(self.receive_offer(opening))).await?;
        own_frame(pin!(self.check(&checked.run, &checked.offered))).await?;
        let mut schedule = Schedule::empty();
        own_frame(pin!(self.prove_key(&checked, &mut schedule))).await?;
        if E::Store::TAKES_NAME {
            self.open_name(&checked, &mut schedule)?;
        }
        if let Some(receipt) = self.remembered_receipt(&checked, &schedule)? {
            self.send_receipt(receipt).await;
            return Ok(receipt);
        }
        let held = own_frame(pin!(self.begin(&checked, &schedule))).await?;
        let resumed = own_frame(pin!(self.accept(&schedule, held, checked.offered.shape.total))).await?;
        own_frame(pin!(self.receive_chunks(&checked, schedule, resumed))).await?;
        own_frame(pin!(self.commit())).await
    }

    /// Ends the session: reports an error to the sender, and updates the store and the state that is kept about the
    /// run.
    async fn end(&mut self, error: Option<SessionError>) {
        if let Some(error) = error {
            // The sender comes first, since the store may take longer to clean up than the sender waits.
            self.report_error(error).await;
        }
        if let Some(run) = self.run {
            match error {
                Some(SessionError::Refused(_) | SessionError::PeerMisbehaved(_)) => {
                    self.receiver.peers.runs.forget(&run)
                }
                // The time for which the run is remembered starts when the connection ends.
                _ => self.receiver.peers.runs.renew(&run, self.receiver.clock.now()),
            }
        }
        match error {
            None => {}
            Some(SessionError::PeerMisbehaved(_) | SessionError::Refused(Refusal::Archive)) => {
                let receiver = &mut *self.receiver;
                // A user who interrupts does not have to wait until everything is removed.
                select(pin!(receiver.store.discard()), pin!(receiver.operator.interrupted())).await;
            }
            Some(_) => self.receiver.store.suspend().await,
        }
    }

    /// Sends the message that corresponds to the error, unless the sender caused the error or knows it.
    async fn report_error(&mut self, error: SessionError) {
        let message = match error {
            SessionError::Refused(refusal) => FromReceiver::Refused(refusal),
            SessionError::PeerMisbehaved(Misbehaviour::Chunk) => FromReceiver::Refused(Refusal::Chunk),
            SessionError::PeerMisbehaved(_) => FromReceiver::Refused(Refusal::Protocol),
            SessionError::Cancelled(reason) => FromReceiver::Cancel(reason),
            SessionError::TimedOut => FromReceiver::Cancel(Cancel::TimedOut),
            _ => return,
        };
        let _ = self.channel.send(&message).await;
    }
}
