//! The dialer: connects, sends the code that its user typed as a share, and confirms first. PROTOCOL.md, section 13.2.

use embassy_futures::yield_now;
use rand_core::CryptoRngCore;

use crate::pairing::Paired;
use crate::pairing::code::PairingCode;
use crate::pairing::conversation::{Buffer, Conversation};
use crate::pairing::cpace::{Ephemeral, Role};
use crate::pairing::error::PairingError;
use crate::pairing::introduction::Introduction;
use crate::pairing::keys::{Keys, SessionId};
use crate::pairing::listener::unexpected;
use crate::pairing::message::{Failure, PairingGreeting, PairingHello, PairingMessage, SENT_MAX};
use crate::session::channel::encode;
use crate::session::{Clock, Link};
use crate::wire::preface::VERSION;

/// A connection to a listener that takes an attempt. It ends with [`pair`](Self::pair) or [`decline`](Self::decline).
///
/// Every future of it may be dropped at any await. The connection has to be closed then, the code is spent, and the
/// listener may have paired.
pub struct Outgoing<'a, 'b, L, C> {
    conversation: Conversation<'a, 'b, L, C>,
    nonce: [u8; 32],
    sid: SessionId,
}

impl<'a, 'b, L: Link, C: Clock> Outgoing<'a, 'b, L, C> {
    /// Sends the preface on a fresh connection, and waits for the listener. What fails here has not spent the code.
    ///
    /// The listener then waits 30 s for [`pair`](Self::pair), so ask the user for the code before.
    pub async fn connect(
        link: &'a mut L,
        buffer: &'b mut Buffer,
        rng: &mut impl CryptoRngCore,
        clock: &'a C,
    ) -> Result<Self, PairingError> {
        let mut conversation = Conversation::new(link, buffer, clock);
        let mut nonce = [0; 32];
        rng.fill_bytes(&mut nonce);
        match receive_hello(&mut conversation, nonce).await {
            Ok(sid) => Ok(Self { conversation, nonce, sid }),
            Err(error) => {
                conversation.report(error).await;
                Err(error)
            }
        }
    }

    /// Pairs with the listener if it has the same code. The code is spent, however this ends: after an error the
    /// listener's user has to show a new one.
    ///
    /// Blocks twice for some 6 million instructions each, and needs about 4 KiB of stack for them on a Cortex-M.
    pub async fn pair(
        mut self,
        code: PairingCode,
        me: &Introduction<'_>,
        rng: &mut impl CryptoRngCore,
    ) -> Result<Paired<'b>, PairingError> {
        match self.run(code, me, rng).await {
            Ok(length) => Ok(Paired { peer: self.conversation.into_introduction(length)?, is_confirmed: true }),
            Err(error) => {
                self.conversation.report(error).await;
                Err(error)
            }
        }
    }

    /// Ends the attempt without a code, and tells the listener.
    pub async fn decline(mut self) {
        self.conversation.report(PairingError::Declined).await;
    }

    /// Returns the length of the listener's introduction.
    async fn run(
        &mut self,
        code: PairingCode,
        me: &Introduction<'_>,
        rng: &mut impl CryptoRngCore,
    ) -> Result<usize, PairingError> {
        let Self { conversation, nonce, sid } = self;
        let ephemeral = Ephemeral::random(code, sid.as_bytes(), rng);
        conversation.send(&greeting(*nonce)).await?;
        conversation.send(&PairingMessage::Share { point: *ephemeral.share() }).await?;
        yield_now().await;
        let PairingMessage::Share { point } = conversation.receive().await? else { return unexpected() };
        let keys = {
            let session_key = ephemeral.session_key(Role::Dialer, sid.as_bytes(), &point);
            Keys::derive(&session_key.map_err(|_| PairingError::Share)?, sid)
        };
        conversation.send(&PairingMessage::Confirm { tag: keys.dialer_confirm.bytes() }).await?;
        let PairingMessage::Confirm { tag } = conversation.receive().await? else { return unexpected() };
        if !keys.listener_confirm.matches(&tag) {
            return Err(PairingError::WrongCode);
        }
        conversation.send_introduction(me, keys.dialer_key).await?;
        // The listener sends its introduction only after it has checked this side's. So both have paired now, whether
        // or not `Done` arrives.
        let length = conversation.receive_introduction(me, keys.listener_key).await?;
        if conversation.send(&PairingMessage::Done { tag: keys.done.bytes() }).await.is_ok() {
            conversation.linger().await;
        }
        Ok(length)
    }
}

fn greeting(nonce: [u8; 32]) -> PairingMessage {
    PairingMessage::Greeting(PairingGreeting { version: VERSION, nonce })
}

/// Sends the preface, and receives the listener's `Hello`.
async fn receive_hello<L: Link, C: Clock>(
    conversation: &mut Conversation<'_, '_, L, C>,
    nonce: [u8; 32],
) -> Result<SessionId, PairingError> {
    conversation.send_preface().await?;
    let first = conversation.receive_first().await.map_err(|error| match error {
        PairingError::PeerFailed(Failure::Paused { seconds }) => PairingError::Paused { seconds },
        error => error,
    });
    match first? {
        PairingMessage::Hello(PairingHello { min, max, .. }) if (min..=max).contains(&VERSION) => {
            let greeting = greeting(nonce);
            Ok(SessionId::new(conversation.payload(), encode(&greeting, &mut [0; SENT_MAX])))
        }
        PairingMessage::Hello(_) => Err(PairingError::Version),
        _ => unexpected(),
    }
}
