//! A receiver's session: the offer, its bounds, and the name of the folder.
//!
//! PROTOCOL.md, section 6, steps 4 and 5.

use crate::digest::Digest;
use crate::limits::{self, SEALED_NAME, WORKING_CAP_MS};
use crate::sealed::cipher::Cipher;
use crate::sealed::keys::Schedule;
use crate::sealed::suite::{Aead, ChunkSize, Codec, Suite};
use crate::sealed::transcript::Transcript;
use crate::session::channel::decode;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::receiver::environment::{Environment, Policy};
use crate::session::receiver::hello::Opening;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::peers::RunId;
use crate::session::receiver::state::{Session, check_field, not_expected};
use crate::session::receiver::store::{Offered, Store};
use crate::wire::message::{Bytes32, FromSender, KeyMode, Limit, OFFER_TAIL, Offer, OfferBody, Refusal};

/// An offer that is within all bounds.
pub(super) struct CheckedOffer {
    pub(super) run: RunId,
    pub(super) body: OfferBody,
    pub(super) manifest_tag: Bytes32,
    pub(super) commitment: Bytes32,
    pub(super) suite: Suite,
    pub(super) offered: Offered,
    pub(super) transcript: Transcript,
}

impl<E: Environment> Session<'_, '_, E> {
    /// Receives the offer, and checks it against every bound before the user is asked for the key.
    pub(super) async fn receive_offer(&mut self, opening: Opening) -> Result<CheckedOffer, SessionError> {
        let peer = self.peer;
        let certificate = self.receiver.policy.certificate;
        let until = self.channel.after(WORKING_CAP_MS);
        let payload = self.receive_payload(until, SessionError::TimedOut).await?;
        let message = decode(payload)?;
        let FromSender::Offer(offer) = message else {
            return not_expected(message);
        };
        let Offer { body, manifest_tag, commitment, name } = offer;
        check_field(name.len() == SEALED_NAME)?;
        let encoded = payload.len();
        let encoded_body = &payload[..encoded - OFFER_TAIL];
        let transcript = opening.transcript.message(encoded_body).finish(&peer, &certificate);
        if E::Store::TAKES_NAME {
            let buffers = &mut self.receiver.buffers;
            let plain = buffers.plain.get_mut(..SEALED_NAME).ok_or(SessionError::Buffers)?;
            plain.copy_from_slice(&buffers.frame[encoded - SEALED_NAME..encoded]);
        }
        let capacity = self.receiver.store.capacity();
        let policy = self.receiver.policy;
        let suite = check_suite::<E::Cipher>(policy, &body)?;
        let OfferBody { created, shape, .. } = body;
        check_limit(shape.total <= capacity.total.min(limits::ARCHIVE_MAX), Limit::Total)?;
        check_limit(shape.entries <= capacity.entries.min(limits::ENTRIES_MAX), Limit::Entries)?;
        check_limit(shape.manifest <= capacity.manifest.min(limits::MANIFEST_MAX), Limit::Manifest)?;
        check_field(shape.is_consistent())?;
        let offered = Offered { sender: peer, created, shape };
        // A run has one folder: the user who agreed to it has not agreed to another one.
        check_field(self.receiver.peers.runs.binds(&opening.run, &offered))?;
        self.receiver.operator.event(Event::Offered(offered));
        if !self.receiver.operator.accepts(&offered) {
            return Err(SessionError::Refused(Refusal::Declined));
        }
        Ok(CheckedOffer { run: opening.run, body, manifest_tag, commitment, suite, offered, transcript })
    }

    /// Opens the name of the folder, which [`receive_offer`](Self::receive_offer) has put into the buffer for plaintext,
    /// and gives it to the store and the user. The keys are proven.
    pub(super) fn open_name(&mut self, checked: &CheckedOffer, schedule: &mut Schedule) -> Result<(), SessionError> {
        let receiver = &mut *self.receiver;
        let sealed = receiver.buffers.plain.first_chunk_mut::<SEALED_NAME>().ok_or(SessionError::Buffers)?;
        let key = schedule.take_name_key();
        let name = key.as_ref().and_then(|key| key.open::<E::Cipher>(checked.suite.aead, sealed));
        let name = name.ok_or(SessionError::Refused(Refusal::FolderName))?;
        // A run has one name, too.
        check_field(receiver.peers.runs.binds_name(&checked.run, Digest::of(name.as_str().as_bytes())))?;
        receiver.operator.folder_name(name);
        receiver.store.folder_name(name);
        Ok(())
    }
}

/// Checks the parameters of an offer, and returns its suite.
fn check_suite<C: Cipher>(policy: &Policy<'_>, body: &OfferBody) -> Result<Suite, SessionError> {
    let aead = Aead::from_number(body.aead).filter(|aead| C::AEADS.contains(aead));
    let (Some(aead), Some(codec)) = (aead, Codec::from_number(body.codec)) else {
        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field));
    };
    match &body.key {
        KeyMode::Typed if policy.key.is_typed() => {
            let most = policy.max_iterations.min(limits::ITERATIONS_MAX);
            check_limit((limits::ITERATIONS_MIN..=most).contains(&body.iterations), Limit::Iterations)?;
        }
        KeyMode::Sealed(_) if policy.key.hpke().is_some() => check_field(body.iterations == 0)?,
        _ => return Err(SessionError::Refused(Refusal::KeyMode)),
    }
    let chunk = ChunkSize::new(body.chunk).filter(|chunk| *chunk <= policy.max_chunk);
    let chunk = chunk.ok_or(SessionError::Refused(Refusal::Limit { limit: Limit::Chunk }))?;
    Ok(Suite { aead, codec, chunk })
}

fn check_limit(is_valid: bool, limit: Limit) -> Result<(), SessionError> {
    if is_valid { Ok(()) } else { Err(SessionError::Refused(Refusal::Limit { limit })) }
}
