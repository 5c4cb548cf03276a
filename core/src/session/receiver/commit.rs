//! The last step of a receiver's session: the commit and its receipt, or the receipt of an earlier connection again.
//!
//! PROTOCOL.md, section 6, step 9 and "Retries".

use core::pin::pin;

use crate::sealed::keys::Schedule;
use crate::session::outcome::{Receipt, SessionError};
use crate::session::receiver::environment::Environment;
use crate::session::receiver::offer::CheckedOffer;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::state::{Session, check_field};
use crate::session::receiver::store::Store;
use crate::session::receiver::wait::finish;
use crate::wire::message::{FromReceiver, Stage};

impl<E: Environment> Session<'_, '_, E> {
    /// The receipt of the folder that this run committed on an earlier connection, which may have been lost. The offer
    /// must be for that folder.
    pub(super) fn remembered_receipt(
        &self,
        checked: &CheckedOffer,
        schedule: &Schedule,
    ) -> Result<Option<Receipt>, SessionError> {
        let Some((manifest, receipt)) = self.receiver.peers.runs.receipt(&checked.run) else { return Ok(None) };
        check_field(schedule.verify_manifest_tag(manifest, &checked.manifest_tag))?;
        Ok(Some(*receipt))
    }

    /// Lets the store verify and commit the archive, and sends `Committed`.
    pub(super) async fn commit(&mut self) -> Result<Receipt, SessionError> {
        self.receiver.operator.event(Event::Verifying);
        // Neither side interrupts the commit: from here on the folder may be in place.
        let receipt = finish(&mut self.channel, Stage::Verifying, pin!(self.receiver.store.commit())).await?;
        if let Some((run, manifest)) = self.run.zip(self.manifest) {
            self.receiver.peers.runs.committed(&run, manifest, receipt);
        }
        self.receiver.operator.event(Event::Committed(receipt));
        self.send_receipt(receipt).await;
        Ok(receipt)
    }

    /// Sends the receipt. Failing to do so is not an error, since the folder is committed: the sender connects again
    /// and gets the receipt then.
    pub(super) async fn send_receipt(&mut self, Receipt { digest, files, bytes, generation }: Receipt) {
        let sent = self.channel.send(&FromReceiver::Committed { digest, files, bytes, generation }).await;
        self.is_receipt_sent = sent.is_ok();
    }
}
