//! The steps of a sender's session, in the order in which [`Session::run`] takes them. PROTOCOL.md, section 6.

use embassy_futures::yield_now;
use rand_core::CryptoRngCore;

use crate::archive::Shape;
use crate::digest::{Digest, Hasher};
use crate::limits::{self, FRAME_HEADER};
use crate::sealed::cipher::{Aead, Cipher};
use crate::sealed::hpke::{POINT, encapsulate};
use crate::sealed::keys::{Schedule, Secret, Transcript};
use crate::sealed::stream::{Codec, Compressor, Sealer, Span};
use crate::session::channel::{decode_first, encode};
use crate::session::sender::dialogue::{Dialogue, not_expected};
use crate::session::sender::{ArchiveInfo, Event, Operator, Peer, Run, Source, SourceError};
use crate::session::{Clock, DuplexLink, Misbehaviour, Receipt, SessionError};
use crate::wire::message::{
    Cancel, Encapsulation, FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, KeyMode, Limit,
    OFFER_TAGS, Offer, OfferBody, Stage,
};
use crate::wire::preface::VERSION;

/// The state of a sender's session.
pub(super) struct Session<'s, L, S, O, K, R> {
    pub(super) dialogue: Dialogue<'s, L, O, K>,
    pub(super) peer: &'s Peer<'s>,
    pub(super) run: &'s Run<'s>,
    pub(super) source: &'s mut S,
    pub(super) entropy: &'s mut R,
    /// Buffer for pieces of the archive.
    pub(super) plain: &'s mut [u8],
    pub(super) compressor: Option<&'s mut Compressor>,
}

/// The first messages with their encoded bytes, to which the keys are bound.
struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting_bytes: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: Greeting,
}

/// The parameters that the sender chooses from the receiver's `Greeting`.
struct Choice<'s> {
    aead: Aead,
    codec: Codec,
    chunk: u32,
    key: KeyChoice<'s>,
}

/// How the key reaches the receiver.
enum KeyChoice<'s> {
    /// The receiver's user types it. It is stretched with this many iterations.
    Typed(u32),
    /// It is sealed to this HPKE key.
    Sealed(&'s [u8; POINT]),
}

/// The answer of a receiver that has the key.
enum Accepted {
    /// The receiver holds a prefix of the archive with this length and digest.
    Prefix(u64, Digest),
    /// The receiver committed the archive on an earlier connection of this run, whose receipt was lost.
    Committed(Receipt),
}

impl<L: DuplexLink, S: Source, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, L, S, O, K, R> {
    pub(super) async fn run<C: Cipher>(&mut self) -> Result<Receipt, SessionError> {
        let opening = self.greet().await?;
        // Everything that can fail fails before the user is asked for the code.
        self.check_bounds(&opening.greeting)?;
        let choice = self.choose::<C>(&opening.greeting)?;
        if opening.greeting.code_needed {
            self.prove_code().await?;
        }
        let schedule = self.offer(&opening, &choice).await?;
        let (held, digest) = match self.receive_accept(&schedule, &opening.greeting).await? {
            Accepted::Prefix(held, digest) => (held, digest),
            Accepted::Committed(receipt) => return Ok(receipt),
        };
        let offset = self.resume(held, digest).await?;
        match self.send_chunks::<C>(&choice, &schedule, offset).await? {
            Some(receipt) => Ok(receipt),
            None => self.receive_receipt().await,
        }
    }

    /// Exchanges `Hello` and `Greeting`.
    async fn greet(&mut self) -> Result<Opening, SessionError> {
        let mut nonce = [0; 32];
        self.entropy.fill_bytes(&mut nonce);
        let hello = FromSender::Hello(Hello { min: VERSION, max: VERSION, nonce, salt: self.run.salt });
        let mut buffer = [0; limits::MESSAGE_MAX];
        let hello_bytes = heapless::Vec::from_slice(encode(&hello, &mut buffer)).map_err(|_| SessionError::Buffers)?;
        self.dialogue.channel.send(&hello).await?;
        let payload = self.dialogue.receive_payload().await?;
        let greeting_bytes = heapless::Vec::from_slice(payload).map_err(|_| SessionError::Buffers)?;
        match decode_first(&greeting_bytes, |message| matches!(message, FromReceiver::Greeting(_)))? {
            FromReceiver::Greeting(greeting) if greeting.version == VERSION => {
                let sealed = !matches!(self.key_mode(&greeting), Ok(None));
                self.dialogue.operator.event(Event::Greeted { free: greeting.free, sealed });
                Ok(Opening { hello: hello_bytes, greeting_bytes, greeting })
            }
            FromReceiver::Greeting(_) => Err(SessionError::NothingInCommon),
            other => not_expected(other),
        }
    }

    fn check_bounds(&self, greeting: &Greeting) -> Result<(), SessionError> {
        let ArchiveInfo { shape, longest_path, .. } = self.source.info();
        within(shape.total, greeting.max_total, Limit::Total)?;
        within(shape.entries, greeting.max_entries, Limit::Entries)?;
        within(shape.manifest, greeting.max_manifest, Limit::Manifest)?;
        within(longest_path, greeting.max_path, Limit::Path)?;
        // If the receiver asks for no code, it may hold a prefix from an earlier connection of this run.
        if greeting.code_needed && shape.total > greeting.free {
            return Err(SessionError::NoSpace { needed: shape.total, free: greeting.free });
        }
        Ok(())
    }

    /// Chooses the key mode. Returns the HPKE key to seal to, or `None` for mode typed.
    fn key_mode<'p>(&self, greeting: &Greeting) -> Result<Option<&'p [u8; POINT]>, SessionError>
    where
        Self: 'p,
    {
        let known = |mode: &&u8| [KEY_TYPED, KEY_SEALED].contains(mode);
        let mode = match self.run.typed_only {
            true if greeting.keys.contains(&KEY_TYPED) => Some(&KEY_TYPED),
            true if greeting.keys.contains(&KEY_SEALED) => return Err(SessionError::KeyNotTyped),
            _ => greeting.keys.iter().find(known),
        };
        match mode {
            Some(&KEY_TYPED) => Ok(None),
            Some(_) => self.peer.hpke.map(Some).ok_or(SessionError::NoHpkeKey),
            None => Err(SessionError::NothingInCommon),
        }
    }

    fn choose<'p, C: Cipher>(&self, greeting: &Greeting) -> Result<Choice<'p>, SessionError>
    where
        Self: 'p,
    {
        let (aead, codec) = choose_suite::<C>(greeting)?;
        let key = match self.key_mode(greeting)? {
            None => {
                let iterations = self.run.iterations.min(greeting.max_iterations).min(limits::ITERATIONS_MAX);
                within(limits::ITERATIONS_MIN, iterations, Limit::Iterations)?;
                KeyChoice::Typed(iterations)
            }
            Some(public) => KeyChoice::Sealed(public),
        };
        Ok(Choice { aead, codec, chunk: chunk_size(self.run.chunk, greeting.max_chunk)?, key })
    }

    /// Asks the user for the code until the receiver accepts it.
    async fn prove_code(&mut self) -> Result<(), SessionError> {
        let mut left = None;
        loop {
            let digits = *self.dialogue.ask_code(left).await?.digits();
            self.dialogue.channel.send(&FromSender::Code { digits }).await?;
            match self.dialogue.receive_answer().await? {
                FromReceiver::CodeAccepted => break,
                FromReceiver::CodeWrong { left: tries @ 1.. } => left = Some(tries),
                FromReceiver::CodeWrong { .. } => return Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
                other => return not_expected(other),
            }
        }
        self.dialogue.operator.event(Event::CodeAccepted);
        Ok(())
    }

    /// Sends the offer, and derives the keys that are bound to it.
    async fn offer(&mut self, opening: &Opening, choice: &Choice<'_>) -> Result<Schedule, SessionError> {
        let (body, secret) = self.offer_body(choice)?;
        let sealed = matches!(body.key, KeyMode::Sealed(_));
        // The keys are bound to the encoded body, which is the encoded offer without its tags.
        let mut offer = Offer { body, manifest_tag: [0; 32], commitment: [0; 32] };
        let mut buffer = [0; limits::MESSAGE_MAX];
        let message = FromSender::Offer(offer.clone());
        let encoded = encode(&message, &mut buffer);
        let encoded_body = &encoded[..encoded.len() - OFFER_TAGS];
        let (ours, theirs) = (&self.run.certificate, &self.peer.certificate);
        let transcript = Transcript::session(&opening.hello, &opening.greeting_bytes, encoded_body, ours, theirs);
        let schedule = Schedule::new(&secret, &transcript);
        offer.manifest_tag = schedule.manifest_tag(&self.source.info().manifest_digest);
        offer.commitment = schedule.commitment();
        self.dialogue.channel.send(&FromSender::Offer(offer)).await?;
        self.dialogue.operator.event(Event::Offered { sealed });
        Ok(schedule)
    }

    /// The offer without its tags, and the secret that belongs to it.
    fn offer_body(&mut self, choice: &Choice<'_>) -> Result<(OfferBody, Secret), SessionError> {
        let run = self.run;
        let (key, iterations, secret) = match choice.key {
            KeyChoice::Typed(iterations) => (KeyMode::Typed, iterations, Secret::typed(run.key, &run.salt, iterations)),
            KeyChoice::Sealed(public) => {
                let (encapsulation, secret) = encapsulate(public, self.entropy).map_err(|_| SessionError::NoHpkeKey)?;
                let mut sealed = Encapsulation::default();
                sealed.as_flattened_mut().copy_from_slice(&encapsulation);
                (KeyMode::Sealed(sealed), 0, secret)
            }
        };
        let body = OfferBody {
            iterations,
            aead: choice.aead as u8,
            codec: choice.codec as u8,
            chunk: choice.chunk,
            key,
            created: run.created,
            shape: self.source.info().shape,
        };
        Ok((body, secret))
    }

    /// Receives `Accept`, and checks its proof that the receiver has the key.
    async fn receive_accept(&mut self, schedule: &Schedule, greeting: &Greeting) -> Result<Accepted, SessionError> {
        let cap = self.dialogue.channel.after(limits::WORKING_CAP_MS);
        // Starts when the receiver asks for the key: it may have done other work before.
        let mut key_until = None;
        loop {
            match self.dialogue.receive(true).await? {
                FromReceiver::Working(stage @ (Stage::Key | Stage::KeyAgain)) => {
                    let key_ms = u64::from(greeting.key_seconds) * 1_000 + limits::IDLE_MS;
                    let until = *key_until.get_or_insert(self.dialogue.channel.after(key_ms));
                    self.dialogue.show_working(stage, until)?;
                }
                FromReceiver::Working(stage) => self.dialogue.show_working(stage, cap.max(key_until.unwrap_or(0)))?,
                FromReceiver::Accept { offset, digest, mac } => {
                    if !schedule.verify_accept_mac(offset, &digest, &mac) {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::AcceptMac));
                    }
                    if offset > self.source.info().shape.total {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
                    }
                    return Ok(Accepted::Prefix(offset, digest));
                }
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation }).map(Accepted::Committed);
                }
                other => return not_expected(other),
            }
        }
    }

    /// Compares the receiver's prefix with the source, and returns the offset at which the chunks begin.
    async fn resume(&mut self, held: u64, digest: Digest) -> Result<u64, SessionError> {
        let Self { dialogue, source, plain, .. } = self;
        let mut offset = held;
        if dialogue.run(Stage::Hashing, hash_prefix(*source, plain, held)).await?? != digest {
            dialogue.run(Stage::Hashing, source.rewind()).await??;
            offset = 0;
        }
        dialogue.begin_transfer(offset, source.info().shape.total);
        dialogue.channel.send(&FromSender::Resume { offset }).await?;
        dialogue.operator.event(Event::Accepted { offset });
        Ok(offset)
    }

    /// Seals and sends everything from `offset` on. Returns the receipt if the connection broke at the last chunk, but
    /// the receiver had already sent its receipt.
    async fn send_chunks<C: Cipher>(
        &mut self,
        choice: &Choice<'_>,
        schedule: &Schedule,
        offset: u64,
    ) -> Result<Option<Receipt>, SessionError> {
        let cipher = C::new(choice.aead, schedule.chunk_key()).ok_or(SessionError::NothingInCommon)?;
        let total = self.source.info().shape.total;
        // Chunk size and offset were checked before, so that only the total can be too large.
        let too_long = SessionError::OverLimit { limit: Limit::Total, has: total, most: limits::ARCHIVE_MAX };
        let span = Span::new(choice.chunk, offset, total).ok_or(too_long)?;
        let mut sealer = Sealer::new(cipher, schedule.nonce_prefix(), span, choice.codec);
        while sealer.next_len() > 0 {
            let Self { dialogue, source, plain, compressor, .. } = self;
            dialogue.receive_pending().await?;
            let plain = plain.get_mut(..sealer.next_len()).ok_or(SessionError::Buffers)?;
            if dialogue.run(Stage::Reading, source.read(plain)).await?? < plain.len() {
                return Err(SessionError::Cancelled(Cancel::SourceChanged));
            }
            let payload = dialogue.frame.get_mut(FRAME_HEADER..).ok_or(SessionError::Buffers)?;
            let sealed = sealer.seal(plain, compressor.as_deref_mut(), payload).map_err(|_| SessionError::Buffers)?;
            if let Err(error) = dialogue.send_chunk(sealed).await {
                return self.handle_unsent_chunk(error, sealer.position() == total).await;
            }
            dialogue.operator.event(Event::Sent(sealer.position()));
        }
        Ok(None)
    }

    /// Handles a chunk that could not be sent: the receiver may have sent its reason before the connection broke.
    async fn handle_unsent_chunk(
        &mut self,
        error: SessionError,
        is_last: bool,
    ) -> Result<Option<Receipt>, SessionError> {
        let error = match error {
            SessionError::Disconnected => match self.dialogue.receive_last_message().await {
                // The receiver can have the whole archive only if this is the last chunk.
                Ok(FromReceiver::Committed { digest, files, bytes, generation }) if is_last => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation }).map(Some);
                }
                Ok(_) => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
                Err(error) => error,
            },
            error => error,
        };
        Err(if is_last { after_last_chunk(error) } else { error })
    }

    /// Receives the receipt, and compares it with the source.
    async fn receive_receipt(&mut self) -> Result<Receipt, SessionError> {
        let until = self.dialogue.channel.after(limits::WORKING_CAP_MS);
        loop {
            match self.dialogue.receive(false).await.map_err(after_last_chunk)? {
                FromReceiver::Progress { durable } => self.dialogue.show_durable(durable)?,
                FromReceiver::Working(stage) => self.dialogue.show_working(stage, until).map_err(after_last_chunk)?,
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation });
                }
                other => return not_expected(other),
            }
        }
    }

    /// Compares a receipt with the source.
    fn check_receipt(&self, receipt: Receipt) -> Result<Receipt, SessionError> {
        let Shape { total, files, .. } = self.source.info().shape;
        let ours = (self.source.root(), files, total);
        let is_same = ours == (Some(receipt.digest), receipt.files, receipt.bytes);
        if is_same { Ok(receipt) } else { Err(SessionError::WrongReceipt) }
    }

    /// Sends `Cancel` after an error, unless the receiver caused the error or knows it.
    pub(super) async fn report_error(&mut self, error: SessionError) {
        let reason = match error {
            SessionError::Cancelled(reason) => reason,
            SessionError::TimedOut => Cancel::TimedOut,
            SessionError::PeerMisbehaved(_) | SessionError::WrongReceipt => Cancel::Protocol,
            SessionError::OverLimit { .. }
            | SessionError::NoSpace { .. }
            | SessionError::KeyNotTyped
            | SessionError::NothingInCommon
            | SessionError::NoHpkeKey => Cancel::Declined,
            _ => return,
        };
        if self.dialogue.channel.send(&FromSender::Cancel(reason)).await.is_ok() {
            self.dialogue.channel.linger().await;
        }
    }
}

/// The digest of the source's first `left` bytes. Leaves the source at the byte after them.
async fn hash_prefix(source: &mut impl Source, buffer: &mut [u8], mut left: u64) -> Result<Digest, SessionError> {
    source.rewind().await?;
    let mut hasher = Hasher::new();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match source.read(&mut buffer[..most]).await? {
            0 => return Err(SessionError::Cancelled(Cancel::SourceChanged)),
            count => {
                hasher.update(&buffer[..count]);
                left -= count as u64;
            }
        }
        // Yields so that the clock and the user are polled between pieces even if the source never waits.
        yield_now().await;
    }
    Ok(hasher.digest())
}

impl From<SourceError> for SessionError {
    fn from(error: SourceError) -> Self {
        Self::Cancelled(match error {
            SourceError::Changed => Cancel::SourceChanged,
            SourceError::Unreadable => Cancel::SourceUnreadable,
        })
    }
}

/// The first AEAD and the first codec in the receiver's lists that this side supports.
fn choose_suite<C: Cipher>(greeting: &Greeting) -> Result<(Aead, Codec), SessionError> {
    let aead = greeting.aeads.iter().filter_map(|number| Aead::from_number(*number)).find(|a| C::AEADS.contains(a));
    let codec = greeting.codecs.iter().find_map(|number| Codec::from_number(*number));
    aead.zip(codec).ok_or(SessionError::NothingInCommon)
}

/// The largest power of two that exceeds neither side's chunk size nor the protocol's bounds.
fn chunk_size(ours: u32, theirs: u32) -> Result<u32, SessionError> {
    let most = ours.min(theirs).min(limits::CHUNK_MAX);
    within(limits::CHUNK_MIN, most, Limit::Chunk)?;
    Ok(1 << most.ilog2())
}

fn within<N: Into<u64>>(has: N, most: N, limit: Limit) -> Result<(), SessionError> {
    let (has, most) = (has.into(), most.into());
    if has <= most { Ok(()) } else { Err(SessionError::OverLimit { limit, has, most }) }
}

/// The error to report once the receiver may have the last chunk, and may have committed the folder.
fn after_last_chunk(error: SessionError) -> SessionError {
    match error {
        SessionError::Disconnected | SessionError::TimedOut => SessionError::OutcomeUnknown { interrupted: false },
        SessionError::Cancelled(Cancel::Interrupted) => SessionError::OutcomeUnknown { interrupted: true },
        error => error,
    }
}
