//! A sender's session: the offer, and the answer of a receiver that has the key.
//!
//! PROTOCOL.md, section 6, steps 4 to 6.

use crate::digest::Digest;
use crate::limits;
use crate::sealed::hpke::encapsulate;
use crate::sealed::keys::Schedule;
use crate::sealed::secret::Secret;
use crate::sealed::suite::Suite;
use crate::sealed::transcript::Transcript;
use crate::session::channel::encode;
use crate::session::outcome::{Misbehaviour, Receipt, SessionError};
use crate::session::sender::dialogue::not_expected;
use crate::session::sender::environment::Environment;
use crate::session::sender::error::SendError;
use crate::session::sender::hello::{Choice, KeyChoice, Opening};
use crate::session::sender::operator::{Event, Operator};
use crate::session::sender::source::Source;
use crate::session::sender::state::Session;
use crate::wire::message::{FromReceiver, FromSender, Greeting, KeyMode, OFFER_TAIL, Offer, OfferBody, Stage};

/// The answer of a receiver that has the key.
pub(super) enum Answer {
    /// The receiver holds a prefix of the archive.
    Prefix(Prefix),
    /// The receiver committed the archive on an earlier connection of this run, whose receipt was lost.
    Committed(Receipt),
}

/// The prefix of the archive that the receiver holds.
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    pub(super) length: u64,
    pub(super) digest: Digest,
    /// Whether the receiver has a base.
    pub(super) has_base: bool,
}

impl<E: Environment> Session<'_, E> {
    /// Sends the offer, and derives the keys that are bound to it.
    pub(super) async fn offer(&mut self, opening: &Opening, choice: &Choice<'_>) -> Result<Schedule, SendError> {
        let (body, secret) = self.offer_body(choice)?;
        let sealed = matches!(body.key, KeyMode::Sealed(_));
        // The keys are bound to the encoded body, which is the encoded offer without its tags and name.
        let mut offer = Offer { body, manifest_tag: [0; 32], commitment: [0; 32], name: &[0; limits::SEALED_NAME] };
        let mut buffer = [0; limits::MESSAGE_MAX];
        let message = FromSender::Offer(offer.clone());
        let encoded = encode(&message, &mut buffer);
        let encoded_body = &encoded[..encoded.len() - OFFER_TAIL];
        let (ours, theirs) = (&self.run.certificate, &self.peer.certificate);
        let transcript = Transcript::session(&opening.hello, &opening.greeting_bytes, encoded_body, ours, theirs);
        let mut schedule = Schedule::new(&secret, &transcript);
        offer.manifest_tag = schedule.manifest_tag(&self.source.info().manifest_digest);
        offer.commitment = schedule.commitment();
        let key = schedule.take_name_key();
        let name = key.and_then(|key| key.seal::<E::Cipher>(choice.suite.aead, self.run.name));
        let name = name.ok_or(SendError::NothingInCommon)?;
        offer.name = &name;
        self.dialogue.channel.send(&FromSender::Offer(offer)).await?;
        self.dialogue.operator.event(Event::Offered { sealed });
        Ok(schedule)
    }

    /// The offer without its tags and name, and the secret that belongs to it.
    fn offer_body(&mut self, choice: &Choice<'_>) -> Result<(OfferBody, Secret), SendError> {
        let run = self.run;
        let (key, iterations, secret) = match choice.key {
            KeyChoice::Typed(iterations) => (KeyMode::Typed, iterations, Secret::typed(run.key, &run.salt, iterations)),
            KeyChoice::Sealed(public) => {
                let (encapsulation, secret) = encapsulate(public, self.rng).map_err(|_| SendError::NoHpkeKey)?;
                (KeyMode::Sealed(encapsulation), 0, secret)
            }
        };
        let Suite { aead, codec, chunk } = choice.suite;
        let body = OfferBody {
            iterations,
            aead: aead as u8,
            codec: codec as u8,
            chunk: chunk.bytes(),
            key,
            created: run.created,
            shape: self.source.info().shape,
        };
        Ok((body, secret))
    }

    /// Receives `Accept`, and checks its proof that the receiver has the key.
    pub(super) async fn receive_accept(
        &mut self,
        schedule: &Schedule,
        greeting: &Greeting,
    ) -> Result<Answer, SendError> {
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
                FromReceiver::Accept { offset, digest, base, mac } => {
                    if !schedule.verify_accept_mac(offset, &digest, base, &mac) {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::AcceptMac).into());
                    }
                    if offset > self.source.info().shape.total {
                        return Err(SessionError::PeerMisbehaved(Misbehaviour::Field).into());
                    }
                    return Ok(Answer::Prefix(Prefix { length: offset, digest, has_base: base }));
                }
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation }).map(Answer::Committed);
                }
                other => not_expected(other)?,
            }
        }
    }
}
