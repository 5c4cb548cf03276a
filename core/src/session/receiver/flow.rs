//! The order of the steps of a receiver's session, and its end. PROTOCOL.md, section 6.

use core::pin::pin;

use rand_core::CryptoRngCore;

use crate::sealed::cipher::Cipher;
use crate::sealed::keys::Schedule;
use crate::session::own_frame::own_frame;
use crate::session::receiver::session::Session;
use crate::session::receiver::{Event, Operator};
use crate::session::{Clock, Link, Misbehaviour, Receipt, SessionError, Store};
use crate::wire::message::{Cancel, FromReceiver, Refusal};

impl<L: Link, S: Store, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        self.receiver.operator.event(Event::Connected(self.peer));
        // The scope drops `opening`, which would otherwise take memory for the whole session.
        let accepted = {
            let opening = own_frame(pin!(self.greet::<C>())).await?;
            own_frame(pin!(self.receive_offer::<C>(&opening))).await?
        };
        own_frame(pin!(self.check(&accepted.run, &accepted.offered))).await?;
        let mut schedule = Schedule::empty();
        own_frame(pin!(self.prove_key(&accepted, &mut schedule))).await?;
        if let Some(receipt) = self.remembered_receipt(&accepted, &schedule)? {
            self.send_receipt(receipt).await;
            return Ok(receipt);
        }
        let held = own_frame(pin!(self.begin(&accepted, &schedule))).await?;
        let offset = own_frame(pin!(self.accept(&schedule, held))).await?;
        own_frame(pin!(self.receive_chunks::<C>(&accepted, &schedule, offset))).await?;
        own_frame(pin!(self.commit())).await
    }

    /// Ends the session: reports an error to the sender, and updates the store and the state that is kept about the
    /// run.
    pub(super) async fn end(&mut self, error: Option<SessionError>) {
        if let Some(error) = error {
            // The sender comes first, since the store may take longer to clean up than the sender waits.
            self.report_error(error).await;
        }
        if let Some(run) = self.run {
            match error {
                Some(SessionError::Refused(_) | SessionError::PeerMisbehaved(_)) => self.receiver.peers.forget(&run),
                // The time for which the run is remembered starts when the connection ends.
                _ => self.receiver.peers.renew(&run, self.receiver.clock.now()),
            }
        }
        match error {
            None => {}
            Some(SessionError::PeerMisbehaved(_) | SessionError::Refused(Refusal::Archive)) => {
                self.receiver.store.discard().await;
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
