//! The steps of a receiver's session, in the order in which [`Session::run`] takes them. PROTOCOL.md, section 6.

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

/// How often the receiver asks its store again while the storage is in use, in milliseconds.
const LEASE_STEP_MS: u64 = 500;

/// The state of a receiver's session.
pub(super) struct Session<'s, 'a, L, S, O, K, R> {
    pub(super) channel: Channel<'s, L, K>,
    pub(super) peer: CertificateHash,
    pub(super) receiver: &'s mut Receiver<'a, S, O, K, R>,
    /// The sender's run, once the sender has proved the code. The receiver keeps state about this session under it.
    pub(super) run: Option<RunId>,
    /// Digest of the archive's manifest, once it has matched the offer's tag.
    pub(super) manifest: Option<Digest>,
    /// Whether the receipt was handed to the connection.
    pub(super) is_receipt_sent: bool,
}

/// The encoded first messages, to which the keys are bound, and the run that they began or continue.
struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    run: RunId,
}

/// An offer that is within all bounds.
struct Accepted {
    run: RunId,
    offer: Offer,
    aead: Aead,
    codec: Codec,
    offered: Offered,
    transcript: Transcript,
}

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
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        self.receiver.operator.event(Event::Connected(self.peer));
        // The scope drops `opening`, which would otherwise take memory for the whole session.
        let accepted = {
            let opening = own_frame(pin!(self.greet::<C>())).await?;
            own_frame(pin!(self.receive_offer::<C>(&opening))).await?
        };
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

    /// Exchanges `Hello` and `Greeting`, and receives the code if it is needed.
    async fn greet<C: Cipher>(&mut self) -> Result<Opening, SessionError> {
        let until = self.channel.after(STEP_MS);
        let receiver = &mut *self.receiver;
        let payload =
            self.channel.receive_message(receiver.buffers.frame, until, pin!(receiver.operator.interrupted())).await?;
        let hello = heapless::Vec::from_slice(payload).map_err(|_| SessionError::Buffers)?;
        let message = decode_first(&hello, |message| matches!(message, FromSender::Hello(_)))?;
        let FromSender::Hello(Hello { min, max, salt, .. }) = message else {
            return not_expected(message);
        };
        if !(min..=max).contains(&VERSION) {
            return Err(SessionError::Refused(Refusal::Version));
        }
        let now = self.receiver.clock.now();
        let run = RunId { sender: self.peer, salt };
        self.receiver.peers.expire(now);
        if !self.receiver.peers.serves(&run) {
            return Err(SessionError::Refused(Refusal::Declined));
        }
        let remembered = self.receiver.peers.remembers(&run);
        let code_needed = self.receiver.policy.code_needed && !remembered;
        if code_needed && let Some(seconds) = self.receiver.peers.locked(&self.peer, now) {
            return Err(self.locked(seconds));
        }
        // In a run that is remembered, the folder may be committed, so that only its receipt has to be sent.
        if !remembered && let Some(error) = self.receiver.store.refuses(&self.peer) {
            return Err(error.into());
        }
        let greeting = FromReceiver::Greeting(self.greeting::<C>(code_needed));
        let mut buffer = [0; limits::MESSAGE_MAX];
        let greeting_bytes =
            heapless::Vec::from_slice(encode(&greeting, &mut buffer)).map_err(|_| SessionError::Buffers)?;
        self.channel.send(&greeting).await?;
        if code_needed {
            self.receive_code().await?;
        }
        if !remembered {
            self.receiver.peers.code_proven(run, self.receiver.clock.now());
        }
        self.run = Some(run);
        Ok(Opening { hello, greeting: greeting_bytes, run })
    }

    fn greeting<C: Cipher>(&mut self, code_needed: bool) -> Greeting {
        let mut nonce = [0; 32];
        self.receiver.entropy.fill_bytes(&mut nonce);
        let capacity = self.receiver.store.capacity();
        let policy = self.receiver.policy;
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

    /// Receives codes until one is right, or the sender is locked out.
    async fn receive_code(&mut self) -> Result<(), SessionError> {
        loop {
            let until = self.channel.after(limits::CODE_MS);
            let message = decode(self.receive_payload(until, SessionError::Refused(Refusal::CodeTimeout)).await?)?;
            let FromSender::Code { digits } = message else {
                return not_expected(message);
            };
            let now = self.receiver.clock.now();
            let result = self.receiver.peers.try_code(&self.peer, &digits, now, self.receiver.entropy);
            // Kept before the sender learns the result, so that a reset does not give the try back.
            self.receiver.operator.keep_lockouts(&self.receiver.peers.lockouts(now));
            match result {
                CodeTry::Right => {
                    self.receiver.operator.event(Event::CodeAccepted);
                    self.receiver.operator.code(self.receiver.peers.code());
                    return self.channel.send(&FromReceiver::CodeAccepted).await;
                }
                CodeTry::Wrong { left } => {
                    self.receiver.operator.event(Event::CodeWrong { left });
                    self.channel.send(&FromReceiver::CodeWrong { left }).await?;
                }
                CodeTry::Locked { seconds } => {
                    self.receiver.operator.code(self.receiver.peers.code());
                    return Err(self.locked(seconds));
                }
            }
        }
    }

    /// Shows a lockout, and returns the refusal for it.
    fn locked(&mut self, seconds: u32) -> SessionError {
        self.receiver.operator.event(Event::Locked { seconds });
        SessionError::Refused(Refusal::Locked { seconds })
    }

    /// Receives the offer, and checks it against every bound before the user is asked for the key.
    async fn receive_offer<C: Cipher>(&mut self, opening: &Opening) -> Result<Accepted, SessionError> {
        let peer = self.peer;
        let certificate = self.receiver.policy.certificate;
        let until = self.channel.after(WORKING_CAP_MS);
        let payload = self.receive_payload(until, SessionError::TimedOut).await?;
        let message = decode(payload)?;
        let FromSender::Offer(offer) = message else {
            return not_expected(message);
        };
        let body = &payload[..payload.len() - OFFER_TAGS];
        let transcript = Transcript::session(&opening.hello, &opening.greeting, body, &peer, &certificate);
        let capacity = self.receiver.store.capacity();
        let policy = self.receiver.policy;
        let body = &offer.body;
        let (aead, codec) = check_suite::<C>(policy, &offer)?;
        let &OfferBody { created, shape, .. } = body;
        check_limit(shape.total <= capacity.total.min(limits::ARCHIVE_MAX), Limit::Total)?;
        check_limit(shape.entries <= capacity.entries.min(limits::ENTRIES_MAX), Limit::Entries)?;
        check_limit(shape.manifest <= capacity.manifest.min(limits::MANIFEST_MAX), Limit::Manifest)?;
        check_field(shape.is_consistent())?;
        let offered = Offered { sender: peer, created, shape };
        // A run has one folder: the user who agreed to it has not agreed to another one.
        check_field(self.receiver.peers.binds(&opening.run, &offered))?;
        self.receiver.operator.event(Event::Offered(offered));
        self.check(&opening.run, &offered).await?;
        Ok(Accepted { run: opening.run, offer, aead, codec, offered, transcript })
    }

    /// Lets the store check the offer before the user is asked for the key. If this run has committed the folder
    /// already, only its receipt has to be sent, and the state of the store does not matter.
    async fn check(&mut self, run: &RunId, offered: &Offered) -> Result<(), SessionError> {
        if self.receiver.peers.receipt(run).is_some() {
            return Ok(());
        }
        self.request(Request::Check(offered)).await.map(drop)
    }

    /// Finds the key that matches the offer's commitment: a sealed, a remembered or a typed one. Derives `schedule`
    /// from it.
    async fn prove_key(&mut self, accepted: &Accepted, schedule: &mut Schedule) -> Result<(), SessionError> {
        let Accepted { offer, transcript, offered, .. } = accepted;
        let iterations = offer.body.iterations;
        if let (KeySource::Sealed(hpke), KeyMode::Sealed(encapsulation)) = (self.receiver.policy.key, &offer.body.key) {
            let secret =
                hpke.decapsulate(encapsulation.as_flattened()).map_err(|_| SessionError::Refused(Refusal::KeyWrong))?;
            schedule.derive(&secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(()) } else { key_wrong() };
        }
        if let Some(secret) = self.receiver.peers.secret(&accepted.run, iterations) {
            schedule.derive(secret, transcript);
            return if schedule.commits_to(&offer.commitment) { Ok(()) } else { key_wrong() };
        }
        let until = self.channel.after(u64::from(self.receiver.policy.key_seconds) * 1_000);
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
                self.receiver.peers.key_proven(&accepted.run, iterations, &secret);
                return stretched;
            }
            stretched?;
        }
        key_wrong()
    }

    /// Asks the user for the key until `until`. `left` is the number of tries that are left after a wrong key.
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
            let receiver = &mut *self.receiver;
            let answer = pin!(select(receiver.operator.key(offered, left, key), receiver.clock.sleep_until(until)));
            // While the operator asks, it reports an interruption in its answer.
            wait_for(&mut self.channel, stage, Some(receiver.buffers.frame), pending(), answer).await?
        };
        match self.expect_done(first)? {
            Either::First(KeyAnswer::Given) => Ok(()),
            Either::First(KeyAnswer::Declined) => Err(SessionError::Refused(Refusal::Declined)),
            Either::First(KeyAnswer::Interrupted) => Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either::First(KeyAnswer::Unavailable) | Either::Second(()) => {
                Err(SessionError::Refused(Refusal::KeyTimeout))
            }
        }
    }

    /// Computes the secret of a typed key, which may take seconds. If the sender disconnects meanwhile, the computation
    /// goes on, so that the user does not have to type the key again; only the user interrupts it.
    async fn stretch(
        &mut self,
        key: &TransferKey,
        salt: &[u8; 32],
        iterations: u32,
        secret: &mut Secret,
    ) -> Result<(), SessionError> {
        let first = {
            let receiver = &mut *self.receiver;
            let mut work = pin!(stretch(key, salt, iterations, secret));
            let (frame, interrupted) = (&mut *receiver.buffers.frame, receiver.operator.interrupted());
            let first = wait_for(&mut self.channel, Stage::Hashing, Some(frame), interrupted, work.as_mut()).await;
            if !matches!(first, Ok(First::Done(())) | Err(SessionError::Cancelled(Cancel::Interrupted))) {
                work.await;
            }
            first?
        };
        self.expect_done(first)
    }

    /// The receipt of the folder that this run committed on an earlier connection, which may have been lost. The offer
    /// must be for that folder.
    fn remembered_receipt(&self, accepted: &Accepted, schedule: &Schedule) -> Result<Option<Receipt>, SessionError> {
        let Some((manifest, receipt)) = self.receiver.peers.receipt(&accepted.run) else { return Ok(None) };
        check_field(schedule.verify_manifest_tag(manifest, &accepted.offer.manifest_tag))?;
        Ok(Some(*receipt))
    }

    /// Lets the store begin the transfer, and returns the prefix that it holds.
    async fn begin(&mut self, accepted: &Accepted, schedule: &Schedule) -> Result<Held, SessionError> {
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
    async fn accept(&mut self, schedule: &Schedule, held: Held) -> Result<u64, SessionError> {
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
    async fn receive_chunks<C: Cipher>(
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
            let until = self.channel.after(STEP_MS).min(cap);
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
    async fn commit(&mut self) -> Result<Receipt, SessionError> {
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
    async fn send_receipt(&mut self, Receipt { digest, files, bytes, generation }: Receipt) {
        let sent = self.channel.send(&FromReceiver::Committed { digest, files, bytes, generation }).await;
        self.is_receipt_sent = sent.is_ok();
    }

    /// Receives the payload of the sender's next message. Fails with `late` if none has come at `until`.
    async fn receive_payload(&mut self, until: u64, late: SessionError) -> Result<&[u8], SessionError> {
        let first = {
            let receiver = &mut *self.receiver;
            let end = pin!(receiver.clock.sleep_until(until));
            let (frame, interrupted) = (&mut *receiver.buffers.frame, receiver.operator.interrupted());
            wait_for(&mut self.channel, Stage::Waiting, Some(frame), interrupted, end).await?
        };
        match first {
            First::Done(()) => Err(late),
            First::Message(length) => Ok(&self.receiver.buffers.frame[..length]),
        }
    }

    /// The result of work that was waited for. Meanwhile the sender may send only keep-alives and `Cancel`.
    fn expect_done<T>(&self, first: First<T>) -> Result<T, SessionError> {
        match first {
            First::Done(output) => Ok(output),
            First::Message(length) => not_expected(decode(&self.receiver.buffers.frame[..length])?),
        }
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

/// Checks the parameters of an offer, and returns its AEAD and codec.
fn check_suite<C: Cipher>(policy: &Policy<'_>, offer: &Offer) -> Result<(Aead, Codec), SessionError> {
    let body = &offer.body;
    let aead = Aead::from_number(body.aead).filter(|aead| C::AEADS.contains(aead));
    let (Some(aead), Some(codec)) = (aead, Codec::from_number(body.codec)) else {
        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
    };
    match (policy.key, &body.key) {
        (KeySource::Typed, KeyMode::Typed) => {
            let most = policy.max_iterations.min(limits::ITERATIONS_MAX);
            check_limit((limits::ITERATIONS_MIN..=most).contains(&body.iterations), Limit::Iterations)?;
        }
        (KeySource::Sealed(_), KeyMode::Sealed(_)) => check_field(body.iterations == 0)?,
        _ => return Err(SessionError::Refused(Refusal::KeyMode)),
    }
    let most = policy.max_chunk.min(limits::CHUNK_MAX);
    check_limit(body.chunk.is_power_of_two() && (limits::CHUNK_MIN..=most).contains(&body.chunk), Limit::Chunk)?;
    Ok((aead, codec))
}

fn check_limit(is_valid: bool, limit: Limit) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::Refused(Refusal::Limit { limit })) }
}

fn check_field(is_valid: bool) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::PeerMisbehaved(Misbehaviour::Field)) }
}

fn check_archive(is_valid: bool) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::Refused(Refusal::Archive)) }
}

fn key_wrong<T>() -> Result<T, SessionError> {
    Err(SessionError::Refused(Refusal::KeyWrong))
}

/// The error for a message that is not the expected one. `Cancel` is allowed everywhere.
fn not_expected<T>(message: FromSender) -> Result<T, SessionError> {
    Err(match message {
        FromSender::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
