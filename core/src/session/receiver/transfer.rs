//! The steps of a receiver's session that move the archive into the store: begin, accept, chunks and commit.
//!
//! PROTOCOL.md, section 6, steps 4 and 6 to 9.

use core::cell::Cell;
use core::mem;
use core::pin::pin;

use rand_core::CryptoRngCore;

use crate::digest::Digest;
use crate::limits::{IDLE_MS, LEASE_MS, PROGRESS_STEP, WORKING_CAP_MS};
use crate::sealed::cipher::Cipher;
use crate::sealed::keys::Schedule;
use crate::sealed::stream::{Opener, Span};
use crate::session::channel::decode;
use crate::session::peers::RunId;
use crate::session::receiver::opening::Accepted;
use crate::session::receiver::session::{Session, check_field, not_expected};
use crate::session::receiver::wait::{finish, wait_for};
use crate::session::receiver::{Event, Operator};
use crate::session::{Clock, Held, Link, Misbehaviour, Offered, Receipt, SessionError, Store};
use crate::wire::frame::Kind;
use crate::wire::message::{FromReceiver, FromSender, Refusal, Stage};

/// How often the receiver asks its store again while the storage is in use, in milliseconds.
const LEASE_STEP_MS: u64 = 500;

/// A request to the store before the first chunk.
#[derive(Clone, Copy)]
enum Request<'a> {
    /// [`Store::check`].
    Check(&'a Offered),
    /// [`Store::begin`].
    Begin(&'a Accepted, &'a Schedule),
    /// [`Store::restart`].
    Restart,
}

impl Request<'_> {
    /// Whether the session reads the sender's messages meanwhile. During a restart it must not, since the sender is
    /// already sending chunks.
    fn reads_messages(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

impl<L: Link, S: Store, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    /// Lets the store check the offer before the user is asked for the key. If this run has committed the folder
    /// already, only its receipt has to be sent, and the state of the store does not matter.
    pub(super) async fn check(&mut self, run: &RunId, offered: &Offered) -> Result<(), SessionError> {
        if self.receiver.peers.receipt(run).is_some() {
            return Ok(());
        }
        self.request(Request::Check(offered)).await.map(drop)
    }

    /// The receipt of the folder that this run committed on an earlier connection, which may have been lost. The offer
    /// must be for that folder.
    pub(super) fn remembered_receipt(
        &self,
        accepted: &Accepted,
        schedule: &Schedule,
    ) -> Result<Option<Receipt>, SessionError> {
        let Some((manifest, receipt)) = self.receiver.peers.receipt(&accepted.run) else { return Ok(None) };
        check_field(schedule.verify_manifest_tag(manifest, &accepted.offer.manifest_tag))?;
        Ok(Some(*receipt))
    }

    /// Lets the store begin the transfer, and returns the prefix that it holds.
    pub(super) async fn begin(&mut self, accepted: &Accepted, schedule: &Schedule) -> Result<Held, SessionError> {
        self.receiver.operator.event(Event::Hashing);
        self.request(Request::Begin(accepted, schedule)).await
    }

    /// Sends a request to the store. While a reader or another transfer is using the storage, the request is repeated
    /// for up to [`LEASE_MS`].
    async fn request(&mut self, request: Request<'_>) -> Result<Held, SessionError> {
        let (clock, until) = (self.receiver.clock, self.channel.after(LEASE_MS));
        let manifest = Cell::new(None);
        let mut is_waiting = false;
        loop {
            let first = {
                let receiver = &mut *self.receiver;
                let work = async {
                    let nothing = |()| Held { offset: 0, digest: Digest::of(&[]) };
                    let (Accepted { offer, offered, .. }, schedule) = match request {
                        Request::Check(offered) => return receiver.store.check(offered).await.map(nothing),
                        Request::Restart => return receiver.store.restart().await.map(nothing),
                        Request::Begin(accepted, schedule) => (accepted, schedule),
                    };
                    let is_it = |digest: &Digest| {
                        let is_it = schedule.verify_manifest_tag(digest, &offer.manifest_tag);
                        if is_it {
                            manifest.set(Some(*digest));
                        }
                        is_it
                    };
                    receiver.store.begin(offered, &is_it).await
                };
                let buffer = request.reads_messages().then_some(&mut *receiver.buffers.frame);
                wait_for(&mut self.channel, Stage::Hashing, buffer, receiver.operator.interrupted(), pin!(work)).await?
            };
            let result = self.expect_done(first)?.map_err(SessionError::from);
            if result != Err(SessionError::Refused(Refusal::InUse)) || clock.now() >= until {
                self.manifest = manifest.get();
                return result;
            }
            if !mem::replace(&mut is_waiting, true) {
                self.receiver.operator.event(Event::Waiting);
            }
            self.channel.send_working(&FromReceiver::Working(Stage::Waiting)).await?;
            let again = self.channel.after(LEASE_STEP_MS);
            let receiver = &mut *self.receiver;
            let buffer = request.reads_messages().then_some(&mut *receiver.buffers.frame);
            let pause = clock.sleep_until(again);
            let first =
                wait_for(&mut self.channel, Stage::Waiting, buffer, receiver.operator.interrupted(), pin!(pause))
                    .await?;
            self.expect_done(first)?;
        }
    }

    /// Sends `Accept`, and returns the offset at which the sender resumes.
    pub(super) async fn accept(&mut self, schedule: &Schedule, held: Held) -> Result<u64, SessionError> {
        let Held { offset, digest } = held;
        let mac = schedule.accept_mac(offset, &digest);
        self.channel.send(&FromReceiver::Accept { offset, digest, mac }).await?;
        let until = self.channel.after(WORKING_CAP_MS);
        match decode(self.receive_payload(until, SessionError::TimedOut).await?)? {
            FromSender::Resume { offset: 0 } if offset > 0 => {
                self.request(Request::Restart).await.map(|held| held.offset)
            }
            FromSender::Resume { offset: from } if from == offset => Ok(offset),
            other => not_expected(other),
        }
    }

    /// Receives and opens every chunk, and passes its data to the store.
    pub(super) async fn receive_chunks<C: Cipher>(
        &mut self,
        accepted: &Accepted,
        schedule: &Schedule,
        offset: u64,
    ) -> Result<(), SessionError> {
        let Accepted { aead, codec, offered, offer, .. } = accepted;
        let (chunk, total) = (offer.body.chunk, offered.shape.total);
        let out_of_range = SessionError::PeerMisbehaved(Misbehaviour::Field);
        let cipher = C::new(*aead, schedule.chunk_key()).ok_or(out_of_range)?;
        let span = Span::new(chunk, offset, total).ok_or(out_of_range)?;
        let mut opener = Opener::new(cipher, schedule.nonce_prefix(), span, *codec);
        self.receiver.operator.event(Event::Receiving { offset, total });
        let mut reported = offset;
        while opener.next_len() > 0 {
            let length = self.receive_chunk(chunk).await?;
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
                check_archive(
                    self.manifest.is_none_or(|digest| schedule.verify_manifest_tag(&digest, &offer.manifest_tag)),
                )?;
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

    /// Lets the store verify and commit the archive, and sends `Committed`.
    pub(super) async fn commit(&mut self) -> Result<Receipt, SessionError> {
        self.receiver.operator.event(Event::Verifying);
        // Neither side interrupts the commit: from here on the folder may be in place.
        let receipt = finish(&mut self.channel, Stage::Verifying, pin!(self.receiver.store.commit())).await?;
        if let Some((run, manifest)) = self.run.zip(self.manifest) {
            self.receiver.peers.committed(&run, manifest, receipt);
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

fn check_archive(is_valid: bool) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::Refused(Refusal::Archive)) }
}
