//! The receiver's steps, in the order in which [`Session::run`] takes them.
//!
//! PROTOCOL.md, section 6.

use core::cell::Cell;
use core::future::pending;
use core::mem;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::TransferKey;
use crate::digest::Digest;
use crate::limits::{self, KEY_TRIES, LEASE_MS, PROGRESS_STEP, STEP_MS, WORKING_CAP_MS};
use crate::sealed::cipher::{Aead, Cipher};
use crate::sealed::keys::{Schedule, Secret, Transcript};
use crate::sealed::stream::{Codec, Opener, Span};
use crate::session::channel::{Channel, decode, decode_first, encode, stretch};
use crate::session::own_frame::own_frame;
use crate::session::peers::{CodeTry, RunId};
use crate::session::receiver::wait::{First, finish, wait_for};
use crate::session::receiver::{Event, KeyAnswer, KeySource, Operator, Policy, Receiver};
use crate::session::{Clock, Held, Link, Misbehaviour, Offered, Receipt, SessionError, Store};
use crate::wire::frame::Kind;
use crate::wire::message::{
    Cancel, FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, KeyMode, Limit, List, OFFER_TAGS, Offer,
    OfferBody, Refusal, Stage,
};
use crate::wire::preface::VERSION;

/// While a reader holds the place, the store is asked this often, in milliseconds.
const LEASE_STEP_MS: u64 = 500;

/// One session: a receiver at its channel to one peer.
pub(super) struct Session<'s, 'a, L, S, O, K, R> {
    pub(super) channel: Channel<'s, L, K>,
    pub(super) peer: CertificateHash,
    pub(super) at: &'s mut Receiver<'a, S, O, K, R>,
    /// The sender's run, once its code is proven: what the receiver remembers of this session goes there.
    pub(super) run: Option<RunId>,
    /// Digest of the offered archive's manifest, once it was matched with the offer's tag.
    pub(super) manifest: Option<Digest>,
    /// Whether the receipt was handed to the connection.
    pub(super) receipt_sent: bool,
}

/// The first messages, as they crossed: the keys are bound to them.
struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    run: RunId,
}

/// An offer within all bounds.
struct Accepted {
    run: RunId,
    offer: Offer,
    aead: Aead,
    codec: Codec,
    offered: Offered,
    transcript: Transcript,
}

/// What a store is asked for before the first chunk.
#[derive(Clone, Copy)]
enum Ask<'a> {
    /// Whether it could take up what is offered.
    Check(&'a Offered),
    /// To take it up.
    Begin(&'a Accepted, &'a Schedule),
    /// To take it up again from the first byte on.
    Restart,
}

impl Ask<'_> {
    /// Whether the sender's messages are read meanwhile: where it starts over, chunks are on their way already.
    fn hears(self) -> bool {
        !matches!(self, Self::Restart)
    }
}

impl<L: Link, S: Store, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        self.at.operator.event(Event::Connected(self.peer));
        // In a scope of its own: what stands here is in memory as long as the session lasts.
        let accepted = {
            let opening = own_frame(pin!(self.greet::<C>())).await?;
            own_frame(pin!(self.offer::<C>(&opening))).await?
        };
        let mut schedule = Schedule::empty();
        own_frame(pin!(self.prove_key(&accepted, &mut schedule))).await?;
        if let Some(receipt) = self.remembered_receipt(&accepted, &schedule)? {
            self.tell_receipt(receipt).await;
            return Ok(receipt);
        }
        let held = own_frame(pin!(self.begin(&accepted, &schedule))).await?;
        let offset = own_frame(pin!(self.accept(&schedule, held))).await?;
        own_frame(pin!(self.chunks::<C>(&accepted, &schedule, offset))).await?;
        own_frame(pin!(self.commit())).await
    }

    /// `Hello`, `Greeting`, and the code where it is needed.
    async fn greet<C: Cipher>(&mut self) -> Result<Opening, SessionError> {
        let until = self.channel.after(STEP_MS);
        let at = &mut *self.at;
        let payload = self.channel.receive_message(at.buffers.frame, until, pin!(at.operator.interrupted())).await?;
        let hello = heapless::Vec::from_slice(payload).map_err(|_| SessionError::Buffers)?;
        let message = decode_first(&hello, |message| matches!(message, FromSender::Hello(_)))?;
        let FromSender::Hello(Hello { min, max, salt, .. }) = message else {
            return not_expected(message);
        };
        if !(min..=max).contains(&VERSION) {
            return Err(SessionError::Refused(Refusal::Version));
        }
        let now = self.at.clock.now();
        let run = RunId { sender: self.peer, salt };
        self.at.peers.expire(now);
        if !self.at.peers.serves(&run) {
            return Err(SessionError::Refused(Refusal::Declined));
        }
        let remembered = self.at.peers.remembers(&run);
        let code_needed = self.at.policy.code_needed && !remembered;
        if code_needed && let Some(seconds) = self.at.peers.locked(&self.peer, now) {
            return Err(self.lock(seconds));
        }
        // In a run whose code was proven, the folder may have been committed, and only the receipt is still to be sent.
        if !remembered && let Some(error) = self.at.store.refuses(&self.peer) {
            return Err(error.into());
        }
        let greeting = FromReceiver::Greeting(self.greeting::<C>(code_needed));
        let mut buffer = [0; limits::MESSAGE_MAX];
        let greeting_bytes =
            heapless::Vec::from_slice(encode(&greeting, &mut buffer)).map_err(|_| SessionError::Buffers)?;
        self.channel.send(&greeting).await?;
        if code_needed {
            self.code().await?;
        }
        if !remembered {
            self.at.peers.code_proven(run, self.at.clock.now());
        }
        self.run = Some(run);
        Ok(Opening { hello, greeting: greeting_bytes, run })
    }

    fn greeting<C: Cipher>(&mut self, code_needed: bool) -> Greeting {
        let mut nonce = [0; 32];
        self.at.entropy.fill_bytes(&mut nonce);
        let capacity = self.at.store.capacity();
        let policy = self.at.policy;
        Greeting {
            version: VERSION,
            nonce,
            max_total: capacity.total.min(limits::ARCHIVE_MAX),
            max_entries: capacity.entries.min(limits::ENTRIES_MAX),
            max_manifest: capacity.manifest.min(limits::MANIFEST_MAX),
            max_path: capacity.path.min(limits::PATH_MAX as u16),
            max_chunk: policy.max_chunk,
            free: capacity.free,
            aeads: C::AEADS.iter().map(|aead| *aead as u8).collect(),
            codecs: [Codec::Lz4 as u8, Codec::None as u8].into_iter().collect(),
            keys: List::from_iter([match policy.key {
                KeySource::Typed => KEY_TYPED,
                KeySource::Sealed(_) => KEY_SEALED,
            }]),
            code_needed,
            max_iterations: policy.max_iterations,
            key_seconds: policy.key_seconds,
        }
    }

    async fn code(&mut self) -> Result<(), SessionError> {
        loop {
            let until = self.channel.after(limits::CODE_MS);
            let message = decode(self.next(until, SessionError::Refused(Refusal::CodeTimeout)).await?)?;
            let FromSender::Code { digits } = message else {
                return not_expected(message);
            };
            let now = self.at.clock.now();
            let outcome = self.at.peers.try_code(&self.peer, &digits, now, self.at.entropy);
            // Kept before the sender hears of it: a reset must not give the try back.
            self.at.operator.keep_lockouts(&self.at.peers.lockouts(now));
            match outcome {
                CodeTry::Right => {
                    self.at.operator.event(Event::CodeAccepted);
                    self.at.operator.code(self.at.peers.code());
                    return self.channel.send(&FromReceiver::CodeAccepted).await;
                }
                CodeTry::Wrong { left } => {
                    self.at.operator.event(Event::CodeWrong { left });
                    self.channel.send(&FromReceiver::CodeWrong { left }).await?;
                }
                CodeTry::Locked { seconds } => {
                    self.at.operator.code(self.at.peers.code());
                    return Err(self.lock(seconds));
                }
            }
        }
    }

    fn lock(&mut self, seconds: u32) -> SessionError {
        self.at.operator.event(Event::Locked { seconds });
        SessionError::Refused(Refusal::Locked { seconds })
    }

    /// `Offer`, held against every bound before anybody is asked for anything.
    async fn offer<C: Cipher>(&mut self, opening: &Opening) -> Result<Accepted, SessionError> {
        let peer = self.peer;
        let certificate = self.at.policy.certificate;
        let until = self.channel.after(WORKING_CAP_MS);
        let payload = self.next(until, SessionError::TimedOut).await?;
        let message = decode(payload)?;
        let FromSender::Offer(offer) = message else {
            return not_expected(message);
        };
        let body = &payload[..payload.len() - OFFER_TAGS];
        let transcript = Transcript::session(&opening.hello, &opening.greeting, body, &peer, &certificate);
        let capacity = self.at.store.capacity();
        let policy = self.at.policy;
        let body = &offer.body;
        let (aead, codec) = check_suite::<C>(policy, &offer)?;
        let &OfferBody { created, shape, .. } = body;
        within(shape.total <= capacity.total.min(limits::ARCHIVE_MAX), Limit::Total)?;
        within(shape.entries <= capacity.entries.min(limits::ENTRIES_MAX), Limit::Entries)?;
        within(shape.manifest <= capacity.manifest.min(limits::MANIFEST_MAX), Limit::Manifest)?;
        field(shape.is_consistent())?;
        let offered = Offered { sender: peer, created, shape };
        // A run has one folder: what its user agreed to once is not an answer to another offer.
        field(self.at.peers.binds(&opening.run, &offered))?;
        self.at.operator.event(Event::Offered(offered));
        self.check(&opening.run, &offered).await?;
        Ok(Accepted { run: opening.run, offer, aead, codec, offered, transcript })
    }

    /// Lets the store find what it can know before the operator is asked for the key. Where the folder was committed in
    /// this run already, only its receipt is still to be sent, and nothing that the store finds now matters.
    async fn check(&mut self, run: &RunId, offered: &Offered) -> Result<(), SessionError> {
        if self.at.peers.receipt(run).is_some() {
            return Ok(());
        }
        self.ask_store(Ask::Check(offered)).await.map(drop)
    }

    /// Finds the key whose commitment the offer carries: remembered, sealed, or typed. Derives `schedule` from it.
    async fn prove_key(&mut self, accepted: &Accepted, schedule: &mut Schedule) -> Result<(), SessionError> {
        let Accepted { offer, transcript, offered, .. } = accepted;
        let iterations = offer.body.iterations;
        if let (KeySource::Sealed(hpke), KeyMode::Sealed(encapsulation)) = (self.at.policy.key, &offer.body.key) {
            let secret =
                hpke.decapsulate(encapsulation.as_flattened()).map_err(|_| SessionError::Refused(Refusal::KeyWrong))?;
            schedule.derive(&secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(()) } else { key_wrong() };
        }
        if let Some(secret) = self.at.peers.secret(&accepted.run, iterations) {
            schedule.derive(secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(()) } else { key_wrong() };
        }
        let until = self.channel.after(u64::from(self.at.policy.key_seconds) * 1_000);
        let (mut key, mut secret) = (TransferKey::empty(), Secret::empty());
        for left in (0..KEY_TRIES).rev() {
            let wrong_before = (left + 1 < KEY_TRIES).then_some(left + 1);
            self.ask_key(offered, wrong_before, until, &mut key).await?;
            let stretched = self.stretch(&key, &accepted.run.salt, iterations, &mut secret).await;
            if stretched == Err(SessionError::Cancelled(Cancel::Interrupted)) {
                return stretched;
            }
            schedule.derive(&secret, transcript);
            if schedule.commits_to(&offer.commitment) {
                self.at.peers.key_proven(&accepted.run, iterations, &secret);
                return stretched;
            }
            stretched?;
        }
        key_wrong()
    }

    /// Asks the user, and keeps the sender informed and watched meanwhile.
    async fn ask_key(
        &mut self,
        offered: &Offered,
        left: Option<u8>,
        until: u64,
        key: &mut TransferKey,
    ) -> Result<(), SessionError> {
        let stage = if left.is_some() { Stage::KeyAgain } else { Stage::Key };
        self.channel.send_working(&FromReceiver::Working(stage)).await?;
        let first = {
            let at = &mut *self.at;
            let answer = pin!(select(at.operator.key(offered, left, key), at.clock.sleep_until(until)));
            // The operator hears of the user's interruption itself while it asks.
            wait_for(&mut self.channel, stage, Some(at.buffers.frame), pending(), answer).await?
        };
        match self.done(first)? {
            Either::First(KeyAnswer::Given) => Ok(()),
            Either::First(KeyAnswer::Declined) => Err(SessionError::Refused(Refusal::Declined)),
            Either::First(KeyAnswer::Interrupted) => Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either::First(KeyAnswer::Unavailable) | Either::Second(()) => {
                Err(SessionError::Refused(Refusal::KeyTimeout))
            }
        }
    }

    /// The secret of a typed key: up to seconds of computing, with a pause after each piece. Where the sender is lost
    /// meanwhile it is still computed, so that nobody has to type the key again; only the user interrupts that.
    async fn stretch(
        &mut self,
        key: &TransferKey,
        salt: &[u8; 32],
        iterations: u32,
        secret: &mut Secret,
    ) -> Result<(), SessionError> {
        let first = {
            let at = &mut *self.at;
            let mut work = pin!(stretch(key, salt, iterations, secret));
            let (frame, interrupted) = (&mut *at.buffers.frame, at.operator.interrupted());
            let first = wait_for(&mut self.channel, Stage::Hashing, Some(frame), interrupted, work.as_mut()).await;
            if !matches!(first, Ok(First::Done(())) | Err(SessionError::Cancelled(Cancel::Interrupted))) {
                work.await;
            }
            first?
        };
        self.done(first)
    }

    /// The receipt that this sender's last connection may have lost. A run has one folder: its salt does not speak for
    /// another.
    fn remembered_receipt(&self, accepted: &Accepted, schedule: &Schedule) -> Result<Option<Receipt>, SessionError> {
        let Some((manifest, receipt)) = self.at.peers.receipt(&accepted.run) else { return Ok(None) };
        field(schedule.verify_manifest_tag(manifest, &accepted.offer.manifest_tag))?;
        Ok(Some(*receipt))
    }

    /// Hands the offer to the store.
    async fn begin(&mut self, accepted: &Accepted, schedule: &Schedule) -> Result<Held, SessionError> {
        self.at.operator.event(Event::Hashing);
        self.ask_store(Ask::Begin(accepted, schedule)).await
    }

    /// Asks the store for something before the first chunk. Tries again for a while where a reader or another transfer
    /// holds the storage.
    async fn ask_store(&mut self, ask: Ask<'_>) -> Result<Held, SessionError> {
        let (clock, until) = (self.at.clock, self.channel.after(LEASE_MS));
        let manifest = Cell::new(None);
        let mut is_waiting = false;
        loop {
            let first = {
                let at = &mut *self.at;
                let work = async {
                    let nothing = |()| Held { offset: 0, digest: Digest::of(&[]) };
                    let (Accepted { offer, offered, .. }, schedule) = match ask {
                        Ask::Check(offered) => return at.store.check(offered).await.map(nothing),
                        Ask::Restart => return at.store.restart().await.map(nothing),
                        Ask::Begin(accepted, schedule) => (accepted, schedule),
                    };
                    let is_it = |digest: &Digest| {
                        let is_it = schedule.verify_manifest_tag(digest, &offer.manifest_tag);
                        if is_it {
                            manifest.set(Some(*digest));
                        }
                        is_it
                    };
                    at.store.begin(offered, &is_it).await
                };
                let buffer = ask.hears().then_some(&mut *at.buffers.frame);
                wait_for(&mut self.channel, Stage::Hashing, buffer, at.operator.interrupted(), pin!(work)).await?
            };
            let taken = self.done(first)?.map_err(SessionError::from);
            if taken != Err(SessionError::Refused(Refusal::InUse)) || clock.now() >= until {
                self.manifest = manifest.get();
                return taken;
            }
            if !mem::replace(&mut is_waiting, true) {
                self.at.operator.event(Event::Waiting);
            }
            self.channel.send_working(&FromReceiver::Working(Stage::Waiting)).await?;
            let again = self.channel.after(LEASE_STEP_MS);
            let at = &mut *self.at;
            let buffer = ask.hears().then_some(&mut *at.buffers.frame);
            let pause = clock.sleep_until(again);
            let first =
                wait_for(&mut self.channel, Stage::Waiting, buffer, at.operator.interrupted(), pin!(pause)).await?;
            self.done(first)?;
        }
    }

    /// `Accept`, and where the sender resumes.
    async fn accept(&mut self, schedule: &Schedule, held: Held) -> Result<u64, SessionError> {
        let Held { offset, digest } = held;
        let mac = schedule.accept_mac(offset, &digest);
        self.channel.send(&FromReceiver::Accept { offset, digest, mac }).await?;
        let until = self.channel.after(WORKING_CAP_MS);
        match decode(self.next(until, SessionError::TimedOut).await?)? {
            FromSender::Resume { offset: 0 } if offset > 0 => {
                self.ask_store(Ask::Restart).await.map(|held| held.offset)
            }
            FromSender::Resume { offset: from } if from == offset => Ok(offset),
            other => not_expected(other),
        }
    }

    /// Opens every chunk and gives it to the store.
    async fn chunks<C: Cipher>(
        &mut self,
        accepted: &Accepted,
        schedule: &Schedule,
        offset: u64,
    ) -> Result<(), SessionError> {
        let Accepted { aead, codec, offered, offer, .. } = accepted;
        let (chunk, total) = (offer.body.chunk, offered.shape.total);
        let misfit = SessionError::PeerMisbehaved(Misbehaviour::Field);
        let cipher = C::new(*aead, schedule.chunk_key()).ok_or(misfit)?;
        let span = Span::new(chunk, offset, total).ok_or(misfit)?;
        let mut opener = Opener::new(cipher, schedule.nonce_prefix(), span, *codec);
        self.at.operator.event(Event::Receiving { offset, total });
        let mut told = offset;
        while opener.next_len() > 0 {
            let length = self.next_chunk(chunk).await?;
            let at = &mut *self.at;
            let archive = opener
                .open(&mut at.buffers.frame[..length], at.buffers.plain)
                .map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Chunk))?;
            let first = {
                let work = pin!(at.store.write(archive));
                wait_for(&mut self.channel, Stage::Storing, None, at.operator.interrupted(), work).await?
            };
            self.done(first)??;
            if self.manifest.is_none() {
                self.manifest = self.at.store.manifest();
                within_archive(
                    self.manifest.is_none_or(|digest| schedule.verify_manifest_tag(&digest, &offer.manifest_tag)),
                )?;
            }
            self.at.operator.event(Event::Received(opener.position()));
            let durable = self.at.store.durable();
            if durable >= told + PROGRESS_STEP {
                told = durable;
                self.channel.send(&FromReceiver::Progress { durable }).await?;
            }
        }
        within_archive(self.manifest.is_some())
    }

    /// Receives the next chunk to the front of the frame buffer. Returns its length.
    async fn next_chunk(&mut self, chunk: u32) -> Result<usize, SessionError> {
        let cap = self.channel.after(WORKING_CAP_MS);
        loop {
            let until = self.channel.after(STEP_MS).min(cap);
            let at = &mut *self.at;
            let header = self.channel.receive(at.buffers.frame, chunk, until, pin!(at.operator.interrupted())).await?;
            let payload = &at.buffers.frame[..header.length];
            match header.kind {
                Kind::Chunk => return Ok(header.length),
                Kind::Message if FromSender::is_working(payload) => {}
                Kind::Message => return not_expected(decode(payload)?),
            }
        }
    }

    /// `Committed`, once the store has verified the whole archive and put it in place.
    async fn commit(&mut self) -> Result<Receipt, SessionError> {
        self.at.operator.event(Event::Verifying);
        // Neither side interrupts it: from here on the folder may be in place.
        let receipt = finish(&mut self.channel, Stage::Verifying, pin!(self.at.store.commit())).await?;
        if let Some((run, manifest)) = self.run.zip(self.manifest) {
            self.at.peers.committed(&run, manifest, receipt);
        }
        self.at.operator.event(Event::Committed(receipt));
        self.tell_receipt(receipt).await;
        Ok(receipt)
    }

    /// A receipt that gets lost is asked for again; the folder stands either way.
    async fn tell_receipt(&mut self, Receipt { digest, files, bytes, generation }: Receipt) {
        let sent = self.channel.send(&FromReceiver::Committed { digest, files, bytes, generation }).await;
        self.receipt_sent = sent.is_ok();
    }

    /// The payload of the sender's next message, which may take until `until`; `late` is the error then.
    async fn next(&mut self, until: u64, late: SessionError) -> Result<&[u8], SessionError> {
        let first = {
            let at = &mut *self.at;
            let end = pin!(at.clock.sleep_until(until));
            let (frame, interrupted) = (&mut *at.buffers.frame, at.operator.interrupted());
            wait_for(&mut self.channel, Stage::Waiting, Some(frame), interrupted, end).await?
        };
        match first {
            First::Done(()) => Err(late),
            First::Message(length) => Ok(&self.at.buffers.frame[..length]),
        }
    }

    /// While the receiver works, only `Cancel` has a place.
    fn done<T>(&self, first: First<T>) -> Result<T, SessionError> {
        match first {
            First::Done(output) => Ok(output),
            First::Message(length) => not_expected(decode(&self.at.buffers.frame[..length])?),
        }
    }

    /// Ends the session: what the sender is told, what the store keeps, and what is remembered of the run.
    pub(super) async fn end(&mut self, error: Option<SessionError>) {
        if let Some(error) = error {
            // The sender first: what a store clears away may take longer than the sender waits.
            self.tell(error).await;
        }
        if let Some(run) = self.run {
            match error {
                Some(SessionError::Refused(_) | SessionError::PeerMisbehaved(_)) => self.at.peers.forget(&run),
                // The time to remember begins when the connection ends, however long that lasted.
                _ => self.at.peers.renew(&run, self.at.clock.now()),
            }
        }
        match error {
            None => {}
            Some(SessionError::PeerMisbehaved(_) | SessionError::Refused(Refusal::Archive)) => {
                self.at.store.discard().await;
            }
            Some(_) => self.at.store.suspend().await,
        }
    }

    async fn tell(&mut self, error: SessionError) {
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

fn check_suite<C: Cipher>(policy: &Policy<'_>, offer: &Offer) -> Result<(Aead, Codec), SessionError> {
    let body = &offer.body;
    let aead = Aead::from_number(body.aead).filter(|aead| C::AEADS.contains(aead));
    let (Some(aead), Some(codec)) = (aead, Codec::from_number(body.codec)) else {
        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
    };
    match (policy.key, &body.key) {
        (KeySource::Typed, KeyMode::Typed) => {
            let most = policy.max_iterations.min(limits::ITERATIONS_MAX);
            within((limits::ITERATIONS_MIN..=most).contains(&body.iterations), Limit::Iterations)?;
        }
        (KeySource::Sealed(_), KeyMode::Sealed(_)) => field(body.iterations == 0)?,
        _ => return Err(SessionError::Refused(Refusal::KeyMode)),
    }
    let most = policy.max_chunk.min(limits::CHUNK_MAX);
    within(body.chunk.is_power_of_two() && (limits::CHUNK_MIN..=most).contains(&body.chunk), Limit::Chunk)?;
    Ok((aead, codec))
}

fn within(holds: bool, limit: Limit) -> Result<(), SessionError> {
    if holds { Ok(()) } else { Err(SessionError::Refused(Refusal::Limit { limit })) }
}

fn field(holds: bool) -> Result<(), SessionError> {
    if holds { Ok(()) } else { Err(SessionError::PeerMisbehaved(Misbehaviour::Field)) }
}

fn within_archive(holds: bool) -> Result<(), SessionError> {
    if holds { Ok(()) } else { Err(SessionError::Refused(Refusal::Archive)) }
}

fn key_wrong<T>() -> Result<T, SessionError> {
    Err(SessionError::Refused(Refusal::KeyWrong))
}

/// `Cancel` has a place everywhere; nothing else has one where it is not waited for.
fn not_expected<T>(message: FromSender) -> Result<T, SessionError> {
    Err(match message {
        FromSender::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
