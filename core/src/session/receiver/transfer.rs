//! The step of a receiver's session that moves the archive: chunks are opened and passed to the store.
//!
//! PROTOCOL.md, section 6, step 8.

use core::mem;
use core::pin::pin;

use crate::archive::Shape;
use crate::limits::{IDLE_MS, PROGRESS_STEP, WORKING_CAP_MS};
use crate::sealed::keys::{ManifestKey, Schedule};
use crate::sealed::stream::{Opener, Span};
use crate::session::channel::decode;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::own_frame::own_frame;
use crate::session::receiver::begin::Resumed;
use crate::session::receiver::environment::Environment;
use crate::session::receiver::offer::CheckedOffer;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::state::{Session, not_expected};
use crate::session::receiver::store::{Store, StoreError};
use crate::session::receiver::wait::{StoreOutput, wait_for};
use crate::wire::frame::Kind;
use crate::wire::message::{FromReceiver, FromSender, Refusal, Stage};

/// The stream of a connection, and what its bytes are checked against.
struct Incoming<'c, C> {
    opener: Opener<C>,
    checked: &'c CheckedOffer,
    manifest_key: ManifestKey,
    /// The number of durable bytes that the sender was told.
    reported: u64,
}

impl<E: Environment> Session<'_, '_, E> {
    /// Receives the archive from the offset on, and passes it to the store. Ends the key schedule, since a connection has
    /// only one stream.
    pub(super) async fn receive_chunks(
        &mut self,
        checked: &CheckedOffer,
        schedule: Schedule,
        Resumed { offset, base }: Resumed,
    ) -> Result<(), SessionError> {
        let Shape { total, manifest, .. } = checked.offered.shape;
        let out_of_range = SessionError::PeerMisbehaved(Misbehaviour::Field);
        let span = Span::new(offset, total).ok_or(out_of_range)?;
        let (keys, manifest_key, base_key) = schedule.into_stream();
        let opener = Opener::<E::Cipher>::new(keys, &checked.suite, span).ok_or(out_of_range)?;
        let mut incoming = Incoming { opener, checked, manifest_key, reported: offset };
        self.receiver.operator.event(Event::Receiving { offset, total });
        // The rest of the manifest crosses first if something may be left out after it.
        let first = if base { u64::from(manifest).max(offset) } else { total };
        let (mut range, mut left_out, mut is_listed) = (offset..first, 0, false);
        loop {
            incoming.opener.continue_in(range.clone()).ok_or(out_of_range)?;
            own_frame(pin!(self.receive_range(&mut incoming))).await?;
            own_frame(pin!(self.take(left_out))).await?;
            let next = range.end + left_out;
            if next == total {
                break;
            }
            if !mem::replace(&mut is_listed, true) {
                check_archive(self.manifest.is_some())?;
                own_frame(pin!(self.list_base(&base_key))).await?;
            }
            let not_crossing = self.receive_left_out(total).await?;
            left_out = not_crossing.end - not_crossing.start;
            range = next..not_crossing.start;
        }
        check_archive(self.manifest.is_some())
    }

    /// Receives every chunk of the opener's current range, and passes its data to the store.
    async fn receive_range(&mut self, incoming: &mut Incoming<'_, E::Cipher>) -> Result<(), SessionError> {
        let Incoming { opener, checked, manifest_key, reported } = incoming;
        while opener.next_len() > 0 {
            let length = self.receive_chunk(checked.suite.chunk.bytes()).await?;
            let receiver = &mut *self.receiver;
            let archive = opener
                .open(&mut receiver.buffers.frame[..length], receiver.buffers.plain)
                .map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Chunk))?;
            let mut written = Err(StoreError::Io);
            let first = {
                let work = pin!(StoreOutput { work: pin!(receiver.store.write(archive)), output: &mut written });
                let interrupted = pin!(receiver.operator.interrupted());
                wait_for(&mut self.channel, Stage::Storing, None, interrupted, work).await?
            };
            self.expect_done(first)?;
            written?;
            if self.manifest.is_none() {
                self.manifest = self.receiver.store.manifest();
                let tag = &checked.manifest_tag;
                check_archive(self.manifest.is_none_or(|digest| manifest_key.verify(&digest, tag)))?;
            }
            self.receiver.operator.event(Event::Received(opener.position()));
            let durable = self.receiver.store.durable();
            if durable >= *reported + PROGRESS_STEP {
                *reported = durable;
                self.channel.send(&FromReceiver::Progress { durable }).await?;
            }
        }
        Ok(())
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
