//! The step of a receiver's session that moves the archive: chunks are opened and passed to the store.
//!
//! PROTOCOL.md, section 6, step 8.

use core::pin::pin;

use crate::limits::{IDLE_MS, PROGRESS_STEP, WORKING_CAP_MS};
use crate::sealed::keys::Schedule;
use crate::sealed::stream::{Opener, Span};
use crate::session::channel::decode;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::receiver::environment::Environment;
use crate::session::receiver::offer::CheckedOffer;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::state::{Session, not_expected};
use crate::session::receiver::store::Store;
use crate::session::receiver::wait::wait_for;
use crate::wire::frame::Kind;
use crate::wire::message::{FromReceiver, FromSender, Refusal, Stage};

impl<E: Environment> Session<'_, '_, E> {
    /// Receives and opens every chunk, and passes its data to the store. Ends the key schedule, since a connection has
    /// only one stream.
    pub(super) async fn receive_chunks(
        &mut self,
        checked: &CheckedOffer,
        schedule: Schedule,
        offset: u64,
    ) -> Result<(), SessionError> {
        let CheckedOffer { suite, offered, offer, .. } = checked;
        let (total, out_of_range) = (offered.shape.total, SessionError::PeerMisbehaved(Misbehaviour::Field));
        let span = Span::new(offset, total).ok_or(out_of_range)?;
        let (keys, manifest_key) = schedule.into_stream();
        let mut opener = Opener::<E::Cipher>::new(keys, suite, span).ok_or(out_of_range)?;
        self.receiver.operator.event(Event::Receiving { offset, total });
        let mut reported = offset;
        while opener.next_len() > 0 {
            let length = self.receive_chunk(suite.chunk.bytes()).await?;
            let receiver = &mut *self.receiver;
            let archive = opener
                .open(&mut receiver.buffers.frame[..length], receiver.buffers.plain)
                .map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Chunk))?;
            let first = {
                let work = pin!(receiver.store.write(archive));
                wait_for(&mut self.channel, Stage::Storing, None, receiver.operator.interrupted(), work).await?
            };
            self.expect_done(first)??;
            if self.manifest.is_none() {
                self.manifest = self.receiver.store.manifest();
                check_archive(self.manifest.is_none_or(|digest| manifest_key.verify(&digest, &offer.manifest_tag)))?;
            }
            self.receiver.operator.event(Event::Received(opener.position()));
            let durable = self.receiver.store.durable();
            if durable >= reported + PROGRESS_STEP {
                reported = durable;
                self.channel.send(&FromReceiver::Progress { durable }).await?;
            }
        }
        check_archive(self.manifest.is_some())
    }

    /// Receives the next chunk into the front of the frame buffer. Returns its length.
    async fn receive_chunk(&mut self, chunk: u32) -> Result<usize, SessionError> {
        let cap = self.channel.after(WORKING_CAP_MS);
        loop {
            let until = self.channel.after(IDLE_MS).min(cap);
            let receiver = &mut *self.receiver;
            let header = self
                .channel
                .receive(receiver.buffers.frame, chunk, until, pin!(receiver.operator.interrupted()))
                .await?;
            let payload = &receiver.buffers.frame[..header.length];
            match header.kind {
                Kind::Chunk => return Ok(header.length),
                Kind::Message if FromSender::is_working(payload) => {}
                Kind::Message => return not_expected(decode(payload)?),
            }
        }
    }
}

fn check_archive(is_valid: bool) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::Refused(Refusal::Archive)) }
}
