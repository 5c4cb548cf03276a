//! A sender's session begins: `Hello` and `Greeting`, and what the sender chooses from it.
//!
//! PROTOCOL.md, section 6, steps 1 and 2.

use rand_core::RngCore;

use crate::limits;
use crate::sealed::cipher::Cipher;
use crate::sealed::hpke::POINT;
use crate::sealed::suite::{Aead, ChunkSize, Codec, Suite};
use crate::session::channel::{decode_first, encode};
use crate::session::outcome::SessionError;
use crate::session::sender::dialogue::not_expected;
use crate::session::sender::environment::{Environment, KeyRule};
use crate::session::sender::error::SendError;
use crate::session::sender::operator::{Event, Operator};
use crate::session::sender::source::{ArchiveInfo, Source};
use crate::session::sender::state::Session;
use crate::wire::message::{FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, Kibibytes, Limit};
use crate::wire::preface::VERSION;

/// The first messages with their encoded bytes, to which the keys are bound.
pub(super) struct Opening {
    pub(super) hello: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    pub(super) greeting_bytes: heapless::Vec<u8, { limits::MESSAGE_MAX }>,
    pub(super) greeting: Greeting,
}

/// The parameters that the sender chooses from the receiver's `Greeting`.
pub(super) struct Choice<'s> {
    pub(super) suite: Suite,
    pub(super) key: KeyChoice<'s>,
}

/// How the key reaches the receiver.
pub(super) enum KeyChoice<'s> {
    /// The receiver's user types it. It is stretched with this many iterations.
    Typed(u32),
    /// It is sealed to this HPKE key.
    Sealed(&'s [u8; POINT]),
}

impl<E: Environment> Session<'_, E> {
    /// Exchanges `Hello` and `Greeting`.
    pub(super) async fn greet(&mut self) -> Result<Opening, SendError> {
        let mut nonce = [0; 32];
        self.rng.fill_bytes(&mut nonce);
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
            FromReceiver::Greeting(_) => Err(SendError::NothingInCommon),
            other => Ok(not_expected(other)?),
        }
    }

    pub(super) fn check_bounds(&self, greeting: &Greeting) -> Result<(), SendError> {
        let ArchiveInfo { shape, longest_path, .. } = self.source.info();
        within(shape.total, greeting.max_total, Limit::Total)?;
        within(shape.entries, greeting.max_entries, Limit::Entries)?;
        within(shape.manifest, greeting.max_manifest, Limit::Manifest)?;
        within(longest_path, greeting.max_path, Limit::Path)?;
        // If the receiver asks for no code, it may hold a prefix from an earlier connection of this run.
        if greeting.code_needed && shape.total > greeting.free {
            return Err(SendError::NoSpace { missing: Kibibytes::missing(shape.total, greeting.free) });
        }
        Ok(())
    }

    /// Chooses the key mode. Returns the HPKE key to seal to, or `None` for mode typed.
    fn key_mode<'p>(&self, greeting: &Greeting) -> Result<Option<&'p [u8; POINT]>, SendError>
    where
        Self: 'p,
    {
        let known = |mode: &&u8| [KEY_TYPED, KEY_SEALED].contains(mode);
        let preferred = greeting.keys.iter().find(known).ok_or(SendError::NothingInCommon)?;
        let offers = |mode| greeting.keys.contains(&mode);
        let mode = match self.run.keys {
            KeyRule::Any => *preferred,
            KeyRule::TypedOnly if offers(KEY_TYPED) => KEY_TYPED,
            KeyRule::TypedOnly => return Err(SendError::KeyNotTyped),
            KeyRule::SealedOnly if offers(KEY_SEALED) => KEY_SEALED,
            KeyRule::SealedOnly => return Err(SendError::KeyNotSealed),
        };
        match mode {
            KEY_TYPED => Ok(None),
            _ => self.peer.hpke.map(Some).ok_or(SendError::NoHpkeKey),
        }
    }

    pub(super) fn choose<'p>(&self, greeting: &Greeting) -> Result<Choice<'p>, SendError>
    where
        Self: 'p,
    {
        let (aead, codec) = choose_suite::<E::Cipher>(greeting)?;
        let key = match self.key_mode(greeting)? {
            None => {
                let iterations = self.run.iterations.min(greeting.max_iterations).min(limits::ITERATIONS_MAX);
                within(limits::ITERATIONS_MIN, iterations, Limit::Iterations)?;
                KeyChoice::Typed(iterations)
            }
            Some(public) => KeyChoice::Sealed(public),
        };
        let chunk = chunk_size(self.run.chunk, greeting.max_chunk)?;
        Ok(Choice { suite: Suite { aead, codec, chunk }, key })
    }
}

/// The first AEAD and the first codec in the receiver's lists that this side supports.
fn choose_suite<C: Cipher>(greeting: &Greeting) -> Result<(Aead, Codec), SendError> {
    let aead = greeting.aeads.iter().filter_map(|number| Aead::from_number(*number)).find(|a| C::AEADS.contains(a));
    let codec = greeting.codecs.iter().find_map(|number| Codec::from_number(*number));
    aead.zip(codec).ok_or(SendError::NothingInCommon)
}

/// The largest power of two that exceeds neither side's chunk size nor the protocol's bounds.
fn chunk_size(ours: ChunkSize, theirs: u32) -> Result<ChunkSize, SendError> {
    let (has, most) = (limits::CHUNK_MIN.into(), theirs.into());
    ChunkSize::at_most(ours.bytes().min(theirs)).ok_or(SendError::OverLimit { limit: Limit::Chunk, has, most })
}

fn within<N: Into<u64>>(has: N, most: N, limit: Limit) -> Result<(), SendError> {
    let (has, most) = (has.into(), most.into());
    if has <= most { Ok(()) } else { Err(SendError::OverLimit { limit, has, most }) }
}
