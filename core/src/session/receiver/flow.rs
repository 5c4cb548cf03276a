//! The receiver's steps, in the order in which [`Session::run`] takes them.
//!
//! PROTOCOL.md, section 6.

use core::future::Future;
use core::mem;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either4, select4};
use rand_core::CryptoRngCore;

use crate::certificate::CertificateHash;
use crate::code::TransferKey;
use crate::digest::Digest;
use crate::limits::{self, KEY_TRIES, LEASE_MS, PROGRESS_STEP, STEP_MS, WORKING_MS};
use crate::sealed::cipher::{Aead, Cipher};
use crate::sealed::keys::{Schedule, Secret, Transcript};
use crate::sealed::stream::{Codec, Opener, Span};
use crate::session::apart::apart;
use crate::session::channel::{Channel, Frame, decode, decode_first, encode};
use crate::session::desk::CodeTry;
use crate::session::receiver::{Event, KeyAnswer, KeySource, Operator, Policy, Receiver};
use crate::session::{Clock, Held, Link, Misbehaviour, Offered, Receipt, SessionError, Store, StoreError};
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
}

/// The first messages, as they crossed: the keys are bound to them.
struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    salt: [u8; 32],
}

/// An offer within all bounds.
struct Accepted {
    offer: Offer,
    aead: Aead,
    codec: Codec,
    offered: Offered,
    transcript: Transcript,
}

impl<L: Link, S: Store, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        self.at.operator.event(Event::Connected(self.peer));
        let opening = apart(pin!(self.greet::<C>())).await?;
        let accepted = apart(pin!(self.offer::<C>(&opening))).await?;
        let schedule = apart(pin!(self.prove_key(&opening, &accepted))).await?;
        if let Some(receipt) = self.remembered_receipt(&opening, &accepted, &schedule)? {
            self.tell_receipt(receipt).await;
            return Ok(receipt);
        }
        let held = apart(pin!(self.begin(&accepted, &schedule))).await?;
        let offset = apart(pin!(self.accept(&schedule, held))).await?;
        apart(pin!(self.chunks::<C>(&accepted, &schedule, offset))).await?;
        apart(pin!(self.commit())).await
    }

    /// `Hello`, `Greeting`, and the code where it is needed.
    async fn greet<C: Cipher>(&mut self) -> Result<Opening, SessionError> {
        let payload = self.next(STEP_MS).await?;
        let hello = heapless::Vec::from_slice(payload).map_err(|_| SessionError::Buffers)?;
        let message = decode_first(&hello)?;
        let FromSender::Hello(Hello { min, max, salt, .. }) = message else {
            return not_expected(message);
        };
        if !(min..=max).contains(&VERSION) {
            return Err(SessionError::Refused(Refusal::Version));
        }
        let now = self.at.clock.now();
        let remembered = self.at.desk.remembers(&self.peer, &salt, now);
        let code_needed = self.at.policy.code_needed && !remembered;
        if code_needed && let Some(seconds) = self.at.desk.locked(&self.peer, now) {
            return Err(self.lock(seconds));
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
            self.at.desk.code_proven(self.peer, salt, self.at.clock.now());
        }
        Ok(Opening { hello, greeting: greeting_bytes, salt })
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
            let message = match self.next(limits::CODE_MS).await {
                Err(SessionError::TimedOut) => return Err(SessionError::Refused(Refusal::CodeTimeout)),
                payload => decode(payload?)?,
            };
            let FromSender::Code { digits } = message else {
                return not_expected(message);
            };
            let now = self.at.clock.now();
            let outcome = self.at.desk.try_code(&self.peer, &digits, now, self.at.entropy);
            // Kept before the sender hears of it: a reset must not give the try back.
            self.at.operator.tries(&self.at.desk.tries(now));
            match outcome {
                CodeTry::Right => {
                    self.at.operator.event(Event::CodeAccepted);
                    self.at.operator.code(self.at.desk.code());
                    return self.channel.send(&FromReceiver::CodeAccepted).await;
                }
                CodeTry::Wrong { left } => {
                    self.at.operator.event(Event::CodeWrong { left });
                    self.channel.send(&FromReceiver::CodeWrong { left }).await?;
                }
                CodeTry::Locked { seconds } => {
                    self.at.operator.code(self.at.desk.code());
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
        let payload = self.next(STEP_MS).await?;
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
        self.at.operator.event(Event::Offered(offered));
        self.check(opening, &offered).await?;
        Ok(Accepted { offer, aead, codec, offered, transcript })
    }

    /// Lets the store find what it can know before the operator is asked for the key. Where the folder was committed in
    /// this run already, only its receipt is still to be sent, and nothing that the store finds now matters.
    async fn check(&mut self, opening: &Opening, offered: &Offered) -> Result<(), SessionError> {
        let at = &mut *self.at;
        if at.desk.receipt(&self.peer, &opening.salt, at.clock.now()).is_some() {
            return Ok(());
        }
        let (work, interrupted) = (pin!(at.store.check(offered)), pin!(at.operator.interrupted()));
        working(&mut self.channel, Stage::Hashing, work, interrupted, Some(at.buffers.frame)).await
    }

    /// Finds the key whose commitment the offer carries: remembered, sealed, or typed.
    async fn prove_key(&mut self, opening: &Opening, accepted: &Accepted) -> Result<Schedule, SessionError> {
        let Accepted { offer, transcript, .. } = accepted;
        let iterations = offer.body.iterations;
        if let (KeySource::Sealed(hpke), KeyMode::Sealed(encapsulation)) = (self.at.policy.key, &offer.body.key) {
            let secret = hpke.decapsulate(encapsulation).map_err(|_| SessionError::Refused(Refusal::KeyWrong))?;
            let schedule = Schedule::new(&secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(schedule) } else { key_wrong() };
        }
        let now = self.at.clock.now();
        if let Some(secret) = self.at.desk.secret(&self.peer, &opening.salt, iterations, now) {
            let schedule = Schedule::new(secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(schedule) } else { key_wrong() };
        }
        let until = self.channel.after(u64::from(self.at.policy.key_seconds) * 1_000);
        for left in (0..KEY_TRIES).rev() {
            let wrong_before = (left + 1 < KEY_TRIES).then_some(left + 1);
            let key = self.ask_key(&accepted.offered, wrong_before, until).await?;
            let secret = Secret::typed(&key, &opening.salt, iterations);
            let schedule = Schedule::new(&secret, transcript);
            if schedule.commits_to(&offer.commitment) {
                self.at.desk.key_proven(&self.peer, iterations, secret, self.at.clock.now());
                return Ok(schedule);
            }
        }
        key_wrong()
    }

    /// Asks the person, and keeps the sender informed and watched meanwhile.
    async fn ask_key(&mut self, offered: &Offered, left: Option<u8>, until: u64) -> Result<TransferKey, SessionError> {
        let stage = if left.is_some() { Stage::KeyAgain } else { Stage::Key };
        {
            let clock = self.at.clock;
            let mut answer = pin!(self.at.operator.key(offered, left));
            loop {
                self.channel.send(&FromReceiver::Working(stage)).await?;
                let again = clock.sleep_until(self.channel.after(WORKING_MS));
                match select4(&mut answer, self.channel.readable(), again, clock.sleep_until(until)).await {
                    Either4::First(KeyAnswer::Key(key)) => return Ok(key),
                    Either4::First(KeyAnswer::Declined) => return Err(SessionError::Refused(Refusal::Declined)),
                    Either4::First(KeyAnswer::Unavailable) => return Err(SessionError::Refused(Refusal::KeyTimeout)),
                    Either4::First(KeyAnswer::Interrupted) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                    Either4::Second(ready) => break ready?,
                    Either4::Third(()) => {}
                    Either4::Fourth(()) => return Err(SessionError::Refused(Refusal::KeyTimeout)),
                }
            }
        }
        // Only `Cancel` has a place here.
        not_expected(decode(self.next(STEP_MS).await?)?)
    }

    /// The receipt that this sender's last connection may have lost. A run has one folder: its salt does not speak for
    /// another.
    fn remembered_receipt(
        &self,
        opening: &Opening,
        accepted: &Accepted,
        schedule: &Schedule,
    ) -> Result<Option<Receipt>, SessionError> {
        match self.at.desk.receipt(&self.peer, &opening.salt, self.at.clock.now()) {
            None => Ok(None),
            Some((manifest, receipt)) if schedule.is_manifest(manifest, &accepted.offer.manifest_tag) => {
                Ok(Some(*receipt))
            }
            Some(_) => Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
        }
    }

    /// Hands the offer to the store.
    async fn begin(&mut self, accepted: &Accepted, schedule: &Schedule) -> Result<Held, SessionError> {
        self.at.operator.event(Event::Hashing);
        self.take_up(Some((accepted, schedule))).await
    }

    /// Lets the store take up what is offered; or, without that, what it took up before, from the first byte on. Again
    /// and again for a while where a reader holds the place.
    async fn take_up(&mut self, offer: Option<(&Accepted, &Schedule)>) -> Result<Held, SessionError> {
        let (clock, until) = (self.at.clock, self.channel.after(LEASE_MS));
        let mut waits = false;
        loop {
            let at = &mut *self.at;
            let work = async {
                match offer {
                    Some((Accepted { offer, offered, .. }, schedule)) => {
                        at.store.begin(offered, &|digest| schedule.is_manifest(digest, &offer.manifest_tag)).await
                    }
                    None => at.store.restart().await.map(|()| Held { offset: 0, digest: Digest::of(&[]) }),
                }
            };
            // Where it starts over, chunks are on their way already.
            let heard = offer.map(|_| &mut *at.buffers.frame);
            let taken =
                working(&mut self.channel, Stage::Hashing, pin!(work), pin!(at.operator.interrupted()), heard).await;
            if taken != Err(SessionError::Refused(Refusal::InUse)) || clock.now() >= until {
                return taken;
            }
            if !mem::replace(&mut waits, true) {
                at.operator.event(Event::Waiting);
            }
            self.channel.send(&FromReceiver::Working(Stage::Waiting)).await?;
            let again = self.channel.after(LEASE_STEP_MS);
            let pause = async {
                clock.sleep_until(again).await;
                Ok(())
            };
            let heard = offer.map(|_| &mut *at.buffers.frame);
            working(&mut self.channel, Stage::Waiting, pin!(pause), pin!(at.operator.interrupted()), heard).await?;
        }
    }

    /// `Accept`, and where the sender resumes.
    async fn accept(&mut self, schedule: &Schedule, held: Held) -> Result<u64, SessionError> {
        let Held { offset, digest } = held;
        let mac = schedule.accept_mac(offset, &digest);
        self.channel.send(&FromReceiver::Accept { offset, digest, mac }).await?;
        let until = self.channel.after(limits::WORKING_CAP_MS);
        loop {
            match decode(self.next(STEP_MS).await?)? {
                FromSender::Working(Stage::Hashing) if self.at.clock.now() < until => {}
                FromSender::Working(Stage::Hashing) => return Err(SessionError::TimedOut),
                FromSender::Resume { offset: 0 } if offset > 0 => {
                    return self.take_up(None).await.map(|held| held.offset);
                }
                FromSender::Resume { offset: from } if from == offset => return Ok(offset),
                other => return not_expected(other),
            }
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
            let until = self.channel.after(STEP_MS);
            let at = &mut *self.at;
            let frame = self.channel.receive(at.buffers.frame, chunk, until, at.operator.interrupted()).await?;
            let sealed = match frame {
                Frame::Chunk(sealed) => sealed,
                Frame::Message(payload) => return not_expected(decode(payload)?),
            };
            let archive =
                opener.open(sealed, at.buffers.plain).map_err(|_| SessionError::PeerMisbehaved(Misbehaviour::Chunk))?;
            let (before, tag) = (at.store.manifest(), &offer.manifest_tag);
            at.store.write(archive).await?;
            if let (None, Some(manifest)) = (before, at.store.manifest())
                && !schedule.is_manifest(&manifest, tag)
            {
                return Err(SessionError::Refused(Refusal::Archive));
            }
            at.operator.event(Event::Received(opener.position()));
            let durable = at.store.durable();
            if durable >= told + PROGRESS_STEP {
                told = durable;
                self.channel.send(&FromReceiver::Progress { durable }).await?;
            }
        }
        Ok(())
    }

    /// `Committed`, once the store has verified the whole archive and put it in place.
    async fn commit(&mut self) -> Result<Receipt, SessionError> {
        self.at.operator.event(Event::Verifying);
        // Not to be interrupted, by neither side: from here on the folder may be in place.
        let never = core::future::pending();
        let channel = &mut self.channel;
        let receipt = working(channel, Stage::Verifying, pin!(self.at.store.commit()), pin!(never), None).await?;
        if let Some(manifest) = self.at.store.manifest() {
            self.at.desk.committed(&self.peer, manifest, receipt, self.at.clock.now());
        }
        self.at.operator.event(Event::Committed(receipt));
        self.tell_receipt(receipt).await;
        Ok(receipt)
    }

    /// A receipt that gets lost is asked for again; the folder stands either way.
    async fn tell_receipt(&mut self, Receipt { digest, files, bytes, generation }: Receipt) {
        let _ = self.channel.send(&FromReceiver::Committed { digest, files, bytes, generation }).await;
    }

    /// The payload of the next message.
    async fn next(&mut self, ms: u64) -> Result<&[u8], SessionError> {
        let until = self.channel.after(ms);
        let at = &mut *self.at;
        self.channel.receive(at.buffers.frame, 0, until, at.operator.interrupted()).await?.message()
    }

    /// After an error: what the store keeps, what the desk forgets, and what the sender is told.
    pub(super) async fn settle(&mut self, error: SessionError) {
        // Told first: what a store clears away may take longer than the sender waits.
        self.tell(error).await;
        if let SessionError::Refused(_) | SessionError::PeerMisbehaved(_) = error {
            self.at.desk.forget(&self.peer);
        }
        match error {
            SessionError::PeerMisbehaved(_) | SessionError::Refused(Refusal::Archive) => self.at.store.discard().await,
            _ => self.at.store.suspend().await,
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

/// Lets the store work, and tells the sender so now and then; until the person wants to stop. `heard`: where the sender
/// has nothing to say but that it cancels, the buffer to hear it with. What is awaited comes pinned, since by value it
/// would lie twice in this future, and a board's work is kilobytes long; and as `dyn`: one copy of this for all, 1.4
/// KiB less of a board's flash.
async fn working<L: Link, K: Clock, T>(
    channel: &mut Channel<'_, L, K>,
    stage: Stage,
    mut work: Pin<&mut dyn Future<Output = Result<T, StoreError>>>,
    mut interrupted: Pin<&mut dyn Future<Output = ()>>,
    mut heard: Option<&mut [u8]>,
) -> Result<T, SessionError> {
    loop {
        let (clock, again) = (channel.clock(), channel.after(WORKING_MS));
        let said = async {
            match heard {
                Some(_) => channel.readable().await,
                None => core::future::pending().await,
            }
        };
        match select4(&mut work, &mut interrupted, said, clock.sleep_until(again)).await {
            Either4::First(done) => return done.map_err(SessionError::from),
            Either4::Second(()) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either4::Third(ready) => break ready?,
            Either4::Fourth(()) => channel.send(&FromReceiver::Working(stage)).await?,
        }
    }
    let (frame, until) = (heard.take().unwrap_or_default(), channel.after(STEP_MS));
    not_expected(decode(channel.receive(frame, 0, until, interrupted).await?.message()?)?)
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
