//! The sender's steps, in the order in which [`Session::run`] takes them.
//!
//! PROTOCOL.md, section 6.

use core::pin::pin;

use embassy_futures::poll_once;
use embassy_futures::select::{Either3, select3};
use rand_core::CryptoRngCore;

use crate::archive::Shape;
use crate::code::AuthCode;
use crate::digest::{Digest, Hasher};
use crate::limits::{self, FRAME_HEADER, STEP_MS, WORKING_MS};
use crate::sealed::cipher::{Aead, Cipher};
use crate::sealed::hpke::{POINT, encapsulate};
use crate::sealed::keys::{Schedule, Secret, Transcript};
use crate::sealed::stream::{Codec, Sealer, Span};
use crate::session::channel::{Channel, decode, decode_first, encode};
use crate::session::sender::{ArchiveInfo, Buffers, Event, Operator, Peer, Sender, Source, SourceError};
use crate::session::{Clock, Link, Misbehaviour, Receipt, SessionError};
use crate::wire::frame::Kind;
use crate::wire::message::{
    Cancel, FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, KeyMode, Limit, OFFER_TAGS, Offer,
    OfferBody, Stage,
};
use crate::wire::preface::VERSION;

/// One session: a sender at its channel to one peer.
pub(super) struct Session<'s, 'a, L, S, O, K, R> {
    pub(super) channel: Channel<'s, L, K>,
    pub(super) peer: &'s Peer<'s>,
    pub(super) at: &'s mut Sender<'a, S, O, K, R>,
}

/// The first messages, as they crossed: the keys are bound to them.
struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting_bytes: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: Greeting,
}

/// What both sides agreed on.
struct Agreed {
    schedule: Schedule,
    aead: Aead,
    codec: Codec,
    chunk: u32,
}

/// What a receiver answers that has the key.
enum Accepted {
    /// It holds so many bytes of the archive, with that digest.
    Prefix(u64, Digest),
    /// It committed the archive on an earlier connection of this run, whose receipt was lost.
    Committed(Receipt),
}

impl<L: Link, S: Source, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        let opening = self.greet().await?;
        self.check_bounds(&opening.greeting)?;
        if opening.greeting.code_needed {
            self.code().await?;
        }
        let agreed = self.offer::<C>(&opening).await?;
        let (held, digest) = match self.accepted(&agreed, &opening.greeting).await? {
            Accepted::Prefix(held, digest) => (held, digest),
            Accepted::Committed(receipt) => return Ok(receipt),
        };
        let offset = self.resume(held, digest).await?;
        self.chunks::<C>(&agreed, offset).await?;
        self.receipt().await
    }

    async fn greet(&mut self) -> Result<Opening, SessionError> {
        let mut nonce = [0; 32];
        self.at.entropy.fill_bytes(&mut nonce);
        let hello = FromSender::Hello(Hello { min: VERSION, max: VERSION, nonce, salt: self.at.run.salt });
        let mut buffer = [0; limits::MESSAGE_MAX];
        let hello_bytes = heapless::Vec::from_slice(encode(&hello, &mut buffer)).map_err(|_| SessionError::Buffers)?;
        self.channel.send(&hello).await?;
        let payload = self.next(STEP_MS).await?;
        let greeting_bytes = heapless::Vec::from_slice(payload).map_err(|_| SessionError::Buffers)?;
        match decode_first(&greeting_bytes)? {
            FromReceiver::Greeting(greeting) if greeting.version == VERSION => {
                let sealed = !matches!(key_mode(&greeting, self.peer), Ok(None));
                self.at.operator.event(Event::Greeted { free: greeting.free, sealed });
                Ok(Opening { hello: hello_bytes, greeting_bytes, greeting })
            }
            FromReceiver::Greeting(_) => Err(SessionError::NothingInCommon),
            other => not_expected(other),
        }
    }

    fn check_bounds(&self, greeting: &Greeting) -> Result<(), SessionError> {
        let ArchiveInfo { shape, longest_path, .. } = self.at.source.info();
        within(shape.total, greeting.max_total, Limit::Total)?;
        within(shape.entries, greeting.max_entries, Limit::Entries)?;
        within(shape.manifest, greeting.max_manifest, Limit::Manifest)?;
        within(longest_path, greeting.max_path, Limit::Path)
    }

    async fn code(&mut self) -> Result<(), SessionError> {
        let mut left = None;
        loop {
            let digits = *self.ask_code(left).await?.digits();
            self.channel.send(&FromSender::Code { digits }).await?;
            match decode(self.next(STEP_MS).await?)? {
                FromReceiver::CodeAccepted => break,
                FromReceiver::CodeWrong { left: tries @ 1.. } => left = Some(tries),
                FromReceiver::CodeWrong { .. } => return Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
                other => return not_expected(other),
            }
        }
        self.at.operator.event(Event::CodeAccepted);
        Ok(())
    }

    /// Asks the person, and watches the connection meanwhile.
    async fn ask_code(&mut self, left: Option<u8>) -> Result<AuthCode, SessionError> {
        {
            let answer = pin!(self.at.operator.code(left));
            let patience = self.at.clock.sleep_until(self.channel.after(limits::CODE_MS + STEP_MS));
            match select3(answer, self.channel.readable(), patience).await {
                Either3::First(Some(code)) => return Ok(code),
                Either3::First(None) => return Err(SessionError::Cancelled(Cancel::Interrupted)),
                Either3::Second(ready) => ready?,
                Either3::Third(()) => return Err(SessionError::TimedOut),
            }
        }
        let payload = self.next(STEP_MS).await?;
        not_expected(decode(payload)?)
    }

    async fn offer<C: Cipher>(&mut self, opening: &Opening) -> Result<Agreed, SessionError> {
        let greeting = &opening.greeting;
        let (aead, codec) = suite::<C>(greeting)?;
        let (body, secret) = self.body(greeting, aead, codec)?;
        let sealed = matches!(body.key, KeyMode::Sealed(_));
        let chunk = body.chunk;
        // The keys are bound to the encoded body, which is the encoded offer without its tags.
        let mut offer = Offer { body, manifest_tag: [0; 32], commitment: [0; 32] };
        let mut buffer = [0; limits::MESSAGE_MAX];
        let message = FromSender::Offer(offer.clone());
        let encoded = encode(&message, &mut buffer);
        let encoded_body = &encoded[..encoded.len() - OFFER_TAGS];
        let (ours, theirs) = (&self.at.run.certificate, &self.peer.certificate);
        let transcript = Transcript::session(&opening.hello, &opening.greeting_bytes, encoded_body, ours, theirs);
        let schedule = Schedule::new(&secret, &transcript);
        offer.manifest_tag = schedule.manifest_tag(&self.at.source.info().manifest_digest);
        offer.commitment = schedule.commitment();
        self.channel.send(&FromSender::Offer(offer)).await?;
        self.at.operator.event(Event::Offered { sealed });
        Ok(Agreed { schedule, aead, codec, chunk })
    }

    /// The offer without its tags, and the secret that goes with it.
    fn body(&mut self, greeting: &Greeting, aead: Aead, codec: Codec) -> Result<(OfferBody, Secret), SessionError> {
        let run = self.at.run;
        let (key, iterations, secret) = match key_mode(greeting, self.peer)? {
            None => {
                let iterations = run.iterations.min(greeting.max_iterations).min(limits::ITERATIONS_MAX);
                within(limits::ITERATIONS_MIN, iterations, Limit::Iterations)?;
                (KeyMode::Typed, iterations, Secret::typed(run.key, &run.salt, iterations))
            }
            Some(public) => {
                let (encapsulation, secret) =
                    encapsulate(public, self.at.entropy).map_err(|_| SessionError::NoHpkeKey)?;
                let encapsulation = heapless::Vec::from_slice(&encapsulation).map_err(|_| SessionError::Buffers)?;
                (KeyMode::Sealed(encapsulation), 0, secret)
            }
        };
        let body = OfferBody {
            iterations,
            aead: aead as u8,
            codec: codec as u8,
            chunk: chunk_size(run.chunk, greeting.max_chunk)?,
            key,
            created: run.created,
            shape: self.at.source.info().shape,
        };
        Ok((body, secret))
    }

    /// Waits for `Accept`, and for its proof that the receiver has the key.
    async fn accepted(&mut self, agreed: &Agreed, greeting: &Greeting) -> Result<Accepted, SessionError> {
        let cap = self.channel.after(limits::WORKING_CAP_MS);
        // Counts from the moment at which the key is asked for: the receiver may have worked before.
        let mut key_until = None;
        loop {
            match decode(self.next(STEP_MS).await?)? {
                FromReceiver::Working(stage @ (Stage::Key | Stage::KeyAgain)) => {
                    let key_ms = u64::from(greeting.key_seconds) * 1_000 + STEP_MS;
                    let until = *key_until.get_or_insert(self.channel.after(key_ms));
                    self.working(stage, until)?;
                }
                FromReceiver::Working(stage) => self.working(stage, cap.max(key_until.unwrap_or(0)))?,
                FromReceiver::Accept { offset, digest, mac } => {
                    if !agreed.schedule.accepts(offset, &digest, &mac) {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::AcceptMac));
                    }
                    if offset > self.at.source.info().shape.total {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
                    }
                    return Ok(Accepted::Prefix(offset, digest));
                }
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check(Receipt { digest, files, bytes, generation }).map(Accepted::Committed);
                }
                other => return not_expected(other),
            }
        }
    }

    fn working(&mut self, stage: Stage, until: u64) -> Result<(), SessionError> {
        if self.at.clock.now() > until {
            return Err(SessionError::TimedOut);
        }
        self.at.operator.event(Event::Working(stage));
        Ok(())
    }

    /// Holds the receiver's prefix against the source, and says where the chunks begin.
    async fn resume(&mut self, held: u64, digest: Digest) -> Result<u64, SessionError> {
        self.at.source.rewind().await?;
        let offset = if self.hash_prefix(held).await? == digest { held } else { 0 };
        if offset < held {
            self.at.source.rewind().await?;
        }
        self.channel.send(&FromSender::Resume { offset }).await?;
        self.at.operator.event(Event::Accepted { offset });
        Ok(offset)
    }

    async fn hash_prefix(&mut self, mut left: u64) -> Result<Digest, SessionError> {
        let mut hasher = Hasher::new();
        let mut again = self.channel.after(WORKING_MS);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.at.buffers.plain.len());
            let count = self.at.source.read(&mut self.at.buffers.plain[..most]).await?;
            if count == 0 {
                return Err(SessionError::Cancelled(Cancel::SourceChanged));
            }
            hasher.update(&self.at.buffers.plain[..count]);
            left -= count as u64;
            if self.at.clock.now() >= again {
                self.watch().await?;
                self.channel.send(&FromSender::Working(Stage::Hashing)).await?;
                again = self.channel.after(WORKING_MS);
            }
        }
        Ok(hasher.digest())
    }

    async fn chunks<C: Cipher>(&mut self, agreed: &Agreed, offset: u64) -> Result<(), SessionError> {
        let Agreed { schedule, aead, codec, chunk } = agreed;
        let cipher = C::new(*aead, schedule.chunk_key()).ok_or(SessionError::NothingInCommon)?;
        let total = self.at.source.info().shape.total;
        // The chunk size was chosen within the protocol's bounds, and the offset held against the total.
        let too_long = SessionError::OverLimit { limit: Limit::Total, has: total, most: limits::ARCHIVE_MAX };
        let span = Span::new(*chunk, offset, total).ok_or(too_long)?;
        let mut sealer = Sealer::new(cipher, schedule.nonce_prefix(), span, *codec);
        while sealer.next_len() > 0 {
            self.watch().await?;
            let Buffers { plain, frame, compressor } = &mut self.at.buffers;
            let plain = plain.get_mut(..sealer.next_len()).ok_or(SessionError::Buffers)?;
            if self.at.source.read(plain).await? < plain.len() {
                return Err(SessionError::Cancelled(Cancel::SourceChanged));
            }
            let payload = frame.get_mut(FRAME_HEADER..).ok_or(SessionError::Buffers)?;
            let sealed = sealer.seal(plain, compressor.as_deref_mut(), payload).map_err(|_| SessionError::Buffers)?;
            self.send_chunk(sealed, sealer.position() == total).await?;
            self.at.operator.event(Event::Sent(sealer.position()));
        }
        Ok(())
    }

    async fn send_chunk(&mut self, sealed: usize, last: bool) -> Result<(), SessionError> {
        let frame = &mut self.at.buffers.frame[..FRAME_HEADER + sealed];
        match self.channel.send_framed(Kind::Chunk, frame).await {
            Err(SessionError::Disconnected) => Err(self.last_words().await),
            result => result,
        }
        // Once the last chunk may have crossed, the receiver may have committed.
        .map_err(|error| if last && is_broken(error) { SessionError::OutcomeUnknown } else { error })
    }

    /// A connection that broke while writing may still hold the receiver's reason.
    async fn last_words(&mut self) -> SessionError {
        loop {
            let payload = match self.next(limits::LINGER_MS).await {
                Ok(payload) => payload,
                Err(_) => return SessionError::Disconnected,
            };
            match decode(payload) {
                Ok(FromReceiver::Progress { .. } | FromReceiver::Working(Stage::Hashing | Stage::Waiting)) => {}
                Ok(other) => return not_expected::<()>(other).err().unwrap_or(SessionError::Disconnected),
                Err(error) => return error,
            }
        }
    }

    /// Reads what the receiver said meanwhile, without waiting for it.
    async fn watch(&mut self) -> Result<(), SessionError> {
        if poll_once(self.at.operator.interrupted()).is_ready() {
            return Err(SessionError::Cancelled(Cancel::Interrupted));
        }
        if !self.channel.is_readable() {
            return Ok(());
        }
        match decode(self.next(STEP_MS).await?)? {
            FromReceiver::Progress { durable } => self.at.operator.event(Event::Durable(durable)),
            // It gives up what it held; nobody waits for that yet.
            FromReceiver::Working(Stage::Hashing | Stage::Waiting) => {}
            other => return not_expected(other),
        }
        Ok(())
    }

    /// Waits for the receipt, and holds it against the source.
    async fn receipt(&mut self) -> Result<Receipt, SessionError> {
        let until = self.channel.after(limits::WORKING_CAP_MS);
        loop {
            let payload = self
                .next(STEP_MS)
                .await
                .map_err(|error| if is_broken(error) { SessionError::OutcomeUnknown } else { error })?;
            match decode(payload)? {
                FromReceiver::Progress { durable } => self.at.operator.event(Event::Durable(durable)),
                FromReceiver::Working(stage) => self.working(stage, until)?,
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check(Receipt { digest, files, bytes, generation });
                }
                other => return not_expected(other),
            }
        }
    }

    /// Holds a receipt against the source.
    fn check(&self, receipt: Receipt) -> Result<Receipt, SessionError> {
        let Shape { total, files, .. } = self.at.source.info().shape;
        let ours = (self.at.source.root(), files, total);
        let same = ours == (Some(receipt.digest), receipt.files, receipt.bytes);
        if same { Ok(receipt) } else { Err(SessionError::WrongReceipt) }
    }

    /// The payload of the next message.
    async fn next(&mut self, ms: u64) -> Result<&[u8], SessionError> {
        let until = self.channel.after(ms);
        let at = &mut *self.at;
        self.channel.receive(at.buffers.plain, 0, until, at.operator.interrupted()).await?.message()
    }

    /// After an error: tells the receiver, unless it is the one who told us.
    pub(super) async fn settle(&mut self, error: SessionError) {
        let reason = match error {
            SessionError::Cancelled(reason) => reason,
            SessionError::TimedOut => Cancel::TimedOut,
            SessionError::PeerMisbehaved(_) | SessionError::WrongReceipt => Cancel::Protocol,
            SessionError::OverLimit { .. } | SessionError::NothingInCommon | SessionError::NoHpkeKey => {
                Cancel::Declined
            }
            _ => return,
        };
        if self.channel.send(&FromSender::Cancel(reason)).await.is_ok() {
            self.channel.linger().await;
        }
    }
}

impl From<SourceError> for SessionError {
    fn from(error: SourceError) -> Self {
        Self::Cancelled(match error {
            SourceError::Changed => Cancel::SourceChanged,
            SourceError::Unreadable => Cancel::SourceUnreadable,
        })
    }
}

/// The first AEAD and codec of the receiver's lists that this side has.
fn suite<C: Cipher>(greeting: &Greeting) -> Result<(Aead, Codec), SessionError> {
    let aead = greeting.aeads.iter().filter_map(|number| Aead::from_number(*number)).find(|a| C::AEADS.contains(a));
    let codec = greeting.codecs.iter().find_map(|number| Codec::from_number(*number));
    aead.zip(codec).ok_or(SessionError::NothingInCommon)
}

/// The HPKE key to seal to; none in mode typed.
fn key_mode<'p>(greeting: &Greeting, peer: &'p Peer<'_>) -> Result<Option<&'p [u8; POINT]>, SessionError> {
    match greeting.keys.iter().find(|mode| [KEY_TYPED, KEY_SEALED].contains(mode)) {
        Some(&KEY_TYPED) => Ok(None),
        Some(_) => peer.hpke.map(Some).ok_or(SessionError::NoHpkeKey),
        None => Err(SessionError::NothingInCommon),
    }
}

/// The largest power of two within both sides' wishes and the protocol's bounds.
fn chunk_size(ours: u32, theirs: u32) -> Result<u32, SessionError> {
    let most = ours.min(theirs).min(limits::CHUNK_MAX);
    within(limits::CHUNK_MIN, most, Limit::Chunk)?;
    Ok(1 << most.ilog2())
}

fn within<N: Into<u64>>(has: N, most: N, limit: Limit) -> Result<(), SessionError> {
    let (has, most) = (has.into(), most.into());
    if has <= most { Ok(()) } else { Err(SessionError::OverLimit { limit, has, most }) }
}

fn is_broken(error: SessionError) -> bool {
    matches!(error, SessionError::Disconnected | SessionError::TimedOut)
}

/// `Refused` and `Cancel` have a place everywhere; nothing else has one where it is not waited for.
fn not_expected<T>(message: FromReceiver) -> Result<T, SessionError> {
    Err(match message {
        FromReceiver::Refused(refusal) => SessionError::Refused(refusal),
        FromReceiver::Cancel(reason) => SessionError::PeerCancelled(reason),
        _ => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
    })
}
