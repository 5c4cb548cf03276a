//! The first steps of a receiver's session: `Hello`, `Greeting`, the code, and the offer.
//!
//! PROTOCOL.md, section 6, steps 1 to 4.

use core::pin::pin;

use rand_core::CryptoRngCore;

use crate::limits::{self, IDLE_MS, WORKING_CAP_MS};
use crate::sealed::cipher::{Aead, Cipher};
use crate::sealed::keys::Transcript;
use crate::sealed::stream::Codec;
use crate::session::channel::{decode, decode_first, encode};
use crate::session::peers::{CodeTry, RunId};
use crate::session::receiver::session::{Session, check_field, not_expected};
use crate::session::receiver::{Event, KeySource, Operator, Policy};
use crate::session::{Clock, Link, Misbehaviour, Offered, SessionError, Store};
use crate::wire::message::{
    FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, KeyMode, Limit, List, OFFER_TAGS, Offer,
    OfferBody, Refusal,
};
use crate::wire::preface::VERSION;

/// The encoded first messages, to which the keys are bound, and the run that they began or continue.
pub(super) struct Opening {
    hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    greeting: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    run: RunId,
}

/// An offer that is within all bounds.
pub(super) struct Accepted {
    pub(super) run: RunId,
    pub(super) offer: Offer,
    pub(super) aead: Aead,
    pub(super) codec: Codec,
    pub(super) offered: Offered,
    pub(super) transcript: Transcript,
}

impl<L: Link, S: Store, O: Operator, K: Clock, R: CryptoRngCore> Session<'_, '_, L, S, O, K, R> {
    /// Exchanges `Hello` and `Greeting`, and receives the code if it is needed.
    pub(super) async fn greet<C: Cipher>(&mut self) -> Result<Opening, SessionError> {
        let until = self.channel.after(IDLE_MS);
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
    pub(super) async fn receive_offer<C: Cipher>(&mut self, opening: &Opening) -> Result<Accepted, SessionError> {
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
        Ok(Accepted { run: opening.run, offer, aead, codec, offered, transcript })
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
