//! A receiver's session: the offer, and its bounds.
//!
//! PROTOCOL.md, section 6, step 4.

use crate::limits::{self, WORKING_CAP_MS};
use crate::sealed::cipher::Cipher;
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
use crate::wire::message::{FromSender, KeyMode, Limit, OFFER_TAGS, Offer, OfferBody, Refusal};

/// An offer that is within all bounds.
pub(super) struct CheckedOffer {
    pub(super) run: RunId,
    pub(super) offer: Offer,
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
        let body = &payload[..payload.len() - OFFER_TAGS];
        let transcript = opening.transcript.message(body).finish(&peer, &certificate);
        let capacity = self.receiver.store.capacity();
        let policy = self.receiver.policy;
        let body = &offer.body;
        let suite = check_suite::<E::Cipher>(policy, &offer)?;
        let &OfferBody { created, shape, .. } = body;
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
        Ok(CheckedOffer { run: opening.run, offer, suite, offered, transcript })
    }
}

/// Checks the parameters of an offer, and returns its suite.
fn check_suite<C: Cipher>(policy: &Policy<'_>, offer: &Offer) -> Result<Suite, SessionError> {
    let body = &offer.body;
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
