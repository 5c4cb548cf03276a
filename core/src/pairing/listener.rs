//! The listener: shows the code, accepts the connection, and checks the dialer's confirmation before it sends its own.
//! PROTOCOL.md, section 13.2.

use embassy_futures::yield_now;
use rand_core::CryptoRngCore;

use crate::limits::PAIRING_CONFIRM_MS;
use crate::pairing::Paired;
use crate::pairing::code::PairingCode;
use crate::pairing::conversation::{Buffer, Conversation};
use crate::pairing::cpace::{Ephemeral, Role};
use crate::pairing::error::PairingError;
use crate::pairing::introduction::Introduction;
use crate::pairing::keys::{Keys, SessionId};
use crate::pairing::limiter::Limiter;
use crate::pairing::message::{PairingGreeting, PairingHello, PairingMessage, SENT_MAX};
use crate::sealed::hpke::POINT;
use crate::session::channel::encode;
use crate::session::{Clock, Link, Misbehaviour};
use crate::wire::preface::VERSION;

/// An attempt of a dialer, whose share has arrived. It ends with [`pair`](Self::pair).
///
/// Every future of it may be dropped at any await. The connection has to be closed then, the code is spent, and the
/// dialer may have paired.
pub struct Incoming<'a, 'b, L, C> {
    conversation: Conversation<'a, 'b, L, C>,
    sid: SessionId,
    share: [u8; POINT],
}

impl<'a, 'b, L: Link, C: Clock> Incoming<'a, 'b, L, C> {
    /// Begins the conversation on a connection whose preface, [`Purpose::Pairing`](crate::wire::preface::Purpose), was
    /// received, and waits for the dialer's share. Costs no cryptography, and no code: what fails here leaves the code
    /// that is shown valid.
    pub async fn accept(
        link: &'a mut L,
        buffer: &'b mut Buffer,
        rng: &mut impl CryptoRngCore,
        clock: &'a C,
        limiter: &Limiter,
    ) -> Result<Self, PairingError> {
        let mut conversation = Conversation::new(link, buffer, clock);
        match receive_share(&mut conversation, rng, limiter).await {
            Ok((sid, share)) => Ok(Self { conversation, sid, share }),
            Err(error) => {
                conversation.report(error).await;
                Err(error)
            }
        }
    }

    /// Pairs with the dialer if it has the same code. The code is spent, however this ends: show a new one. Without a code,
    /// the attempt ends with [`PairingError::Declined`], and the dialer gets the failure `Declined`.
    ///
    /// Blocks twice for some 6 million instructions each, and needs about 4 KiB of stack for them on a Cortex-M.
    pub async fn pair(
        mut self,
        code: Option<PairingCode>,
        me: &Introduction<'_>,
        rng: &mut impl CryptoRngCore,
        limiter: &mut Limiter,
    ) -> Result<Paired<'b>, PairingError> {
        match self.run(code, me, rng, limiter).await {
            Ok((length, is_confirmed)) => {
                Ok(Paired { peer: self.conversation.into_introduction(length)?, is_confirmed })
            }
            Err(error) => {
                self.conversation.report(error).await;
                Err(error)
            }
        }
    }

    /// Returns the length of the dialer's introduction, and whether the dialer confirmed the end.
    async fn run(
        &mut self,
        code: Option<PairingCode>,
        me: &Introduction<'_>,
        rng: &mut impl CryptoRngCore,
        limiter: &mut Limiter,
    ) -> Result<(usize, bool), PairingError> {
        let Self { conversation, sid, share } = self;
        let code = code.ok_or(PairingError::Declined)?;
        // Other connections may have failed since this one was accepted.
        if let Some(seconds) = limiter.paused(conversation.now()) {
            return Err(PairingError::Paused { seconds });
        }
        let ephemeral = Ephemeral::random(code, sid.as_bytes(), rng);
        conversation.send(&PairingMessage::Share { point: *ephemeral.share() }).await?;
        yield_now().await;
        let keys = {
            let session_key = ephemeral.session_key(Role::Listener, sid.as_bytes(), share);
            Keys::derive(&session_key.map_err(|_| PairingError::Share)?, sid)
        };
        // The dialer's tag first: only who has the code gets a tag of this side, with which a guess could be checked.
        let deadline = conversation.shorten_deadline(PAIRING_CONFIRM_MS);
        let PairingMessage::Confirm { tag } = conversation.receive().await? else { return unexpected() };
        conversation.set_deadline(deadline);
        if !keys.dialer_confirm.matches(&tag) {
            limiter.count_wrong_code(conversation.now());
            return Err(PairingError::WrongCode);
        }
        limiter.clear();
        conversation.send(&PairingMessage::Confirm { tag: keys.listener_confirm.bytes() }).await?;
        let length = conversation.receive_introduction(me, keys.dialer_key).await?;
        // From here on the dialer may get this side's introduction, and trust it. So this side succeeds whatever
        // happens: if the dialer reports success, both have paired.
        let is_confirmed = match conversation.send_introduction(me, keys.listener_key).await {
            Ok(()) => {
                matches!(conversation.receive_last().await, Ok(PairingMessage::Done { tag }) if keys.done.matches(&tag))
            }
            Err(_) => false,
        };
        Ok((length, is_confirmed))
    }
}

/// Exchanges `Hello` and `Greeting`, and receives the dialer's share.
async fn receive_share<L: Link, C: Clock>(
    conversation: &mut Conversation<'_, '_, L, C>,
    rng: &mut impl CryptoRngCore,
    limiter: &Limiter,
) -> Result<(SessionId, [u8; POINT]), PairingError> {
    if let Some(seconds) = limiter.paused(conversation.now()) {
        return Err(PairingError::Paused { seconds });
    }
    let mut nonce = [0; 32];
    rng.fill_bytes(&mut nonce);
    let hello = PairingMessage::Hello(PairingHello { min: VERSION, max: VERSION, nonce });
    conversation.send(&hello).await?;
    let sid = match conversation.receive().await? {
        PairingMessage::Greeting(PairingGreeting { version: VERSION, .. }) => {
            SessionId::new(encode(&hello, &mut [0; SENT_MAX]), conversation.payload())
        }
        PairingMessage::Greeting(_) => return Err(PairingError::PeerMisbehaved(Misbehaviour::Field)),
        _ => return unexpected(),
    };
    let PairingMessage::Share { point } = conversation.receive().await? else { return unexpected() };
    Ok((sid, point))
}

/// The error for a message that is not the expected one.
pub(super) fn unexpected<T>() -> Result<T, PairingError> {
    Err(PairingError::PeerMisbehaved(Misbehaviour::Unexpected))
}
