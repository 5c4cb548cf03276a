//! The part of a receiver's session that uses the folder that the store already has: it lists the files that may be
//! equal, and takes those that the sender leaves out from there.
//!
//! PROTOCOL.md, section 6, step 8, "Only what changed".

use core::ops::Range;
use core::pin::pin;

use crate::limits::WORKING_CAP_MS;
use crate::sealed::keys::BaseKey;
use crate::session::channel::decode;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::receiver::environment::Environment;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::state::{Session, check_field, not_expected};
use crate::session::receiver::store::{Store, StoreError};
use crate::session::receiver::wait::{StoreOutput, wait_for};
use crate::wire::message::{BaseFiles, FromReceiver, FromSender, Stage};

impl<E: Environment> Session<'_, '_, E> {
    /// Sends the list of the files of the new manifest that the store's base has with the same path and length.
    pub(super) async fn list_base(&mut self, key: &BaseKey) -> Result<(), SessionError> {
        let mut mac = key.list();
        let mut next = 0;
        loop {
            let mut files = BaseFiles::new();
            let mut listed = Err(StoreError::Io);
            let first = {
                let receiver = &mut *self.receiver;
                let work = pin!(receiver.store.base_files(&mut files));
                let work = pin!(StoreOutput { work, output: &mut listed });
                let (buffer, interrupted) = (&mut *receiver.buffers.frame, pin!(receiver.operator.interrupted()));
                wait_for(&mut self.channel, Stage::Hashing, Some(buffer), interrupted, work).await?
            };
            self.expect_done(first)?;
            listed?;
            if files.is_empty() {
                break;
            }
            for listed in &files {
                let file = next + listed.skipped;
                mac.add(file, &listed.digest);
                next = file + 1;
            }
            self.channel.send(&FromReceiver::BaseFiles { files }).await?;
        }
        self.channel.send(&FromReceiver::BaseEnd { mac: mac.finish() }).await
    }

    /// Receives the next range of the archive that does not cross. It is empty only at the end.
    pub(super) async fn receive_left_out(&mut self, total: u64) -> Result<Range<u64>, SessionError> {
        let until = self.channel.after(WORKING_CAP_MS);
        let (offset, length) = match decode(self.receive_payload(until, SessionError::TimedOut).await?)? {
            FromSender::LeaveOut { offset, length } => (offset, length),
            other => return not_expected(other),
        };
        // After the last range that is left out, at least the root crosses.
        let end = offset.checked_add(length).filter(|end| *end <= total);
        check_field((length == 0) == (offset == total))?;
        Ok(offset..end.ok_or(SessionError::PeerMisbehaved(Misbehaviour::Field))?)
    }

    /// Lets the store take the next `length` bytes of the archive from its base.
    pub(super) async fn take(&mut self, length: u64) -> Result<(), SessionError> {
        if length == 0 {
            return Ok(());
        }
        let mut taken = Err(StoreError::Io);
        let first = {
            let receiver = &mut *self.receiver;
            let work = pin!(StoreOutput { work: pin!(receiver.store.take(length)), output: &mut taken });
            let interrupted = pin!(receiver.operator.interrupted());
            wait_for(&mut self.channel, Stage::Storing, None, interrupted, work).await?
        };
        self.expect_done(first)?;
        taken?;
        self.receiver.operator.event(Event::Taken(length));
        Ok(())
    }
}
