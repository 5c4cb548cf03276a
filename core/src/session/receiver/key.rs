//! How a receiver proves that it has the key of an offer: a typed, a remembered or a sealed one.
//!
//! PROTOCOL.md, section 6, step 5.

use core::future::pending;
use core::pin::pin;

use embassy_futures::select::{Either, select};
use embassy_futures::yield_now;

use crate::code::TransferKey;
use crate::limits::KEY_TRIES;
use crate::sealed::hpke::{Decapsulation, HpkeError, HpkeSecret};
use crate::sealed::keys::Schedule;
use crate::sealed::secret::{Secret, Stretch};
use crate::sealed::transcript::Transcript;
use crate::session::link::Clock;
use crate::session::outcome::SessionError;
use crate::session::own_frame::own_frame;
use crate::session::receiver::environment::Environment;
use crate::session::receiver::offer::CheckedOffer;
use crate::session::receiver::operator::{KeyAnswer, Operator};
use crate::session::receiver::state::Session;
use crate::session::receiver::store::{Offered, Store};
use crate::session::receiver::wait::{First, StoreOutput, wait_for};
use crate::wire::message::{Cancel, Encapsulation, FromReceiver, KeyMode, Refusal, Stage};

impl<E: Environment> Session<'_, '_, E> {
    /// Finds the key that matches the offer's commitment: a sealed, a remembered or a typed one. Derives `schedule`
    /// from it.
    pub(super) async fn prove_key(
        &mut self,
        checked: &CheckedOffer,
        schedule: &mut Schedule,
    ) -> Result<(), SessionError> {
        let CheckedOffer { body, commitment, transcript, offered, .. } = checked;
        let iterations = body.iterations;
        if let (Some(hpke), KeyMode::Sealed(encapsulation)) = (self.receiver.policy.key.hpke(), &body.key) {
            let secret = own_frame(pin!(decapsulate(hpke, encapsulation))).await;
            derive::<E::Store>(schedule, &secret.map_err(|_| SessionError::Refused(Refusal::KeyWrong))?, transcript);
            return if schedule.commits_to(commitment) { Ok(()) } else { key_wrong() };
        }
        if let Some(secret) = self.receiver.peers.runs.secret(&checked.run, iterations) {
            derive::<E::Store>(schedule, secret, transcript);
            return if schedule.commits_to(commitment) { Ok(()) } else { key_wrong() };
        }
        let until = self.channel.after(u64::from(self.receiver.policy.key_seconds) * 1_000);
        let (mut key, mut secret) = (TransferKey::empty(), Secret::empty());
        for left in (0..KEY_TRIES).rev() {
            let wrong_before = (left + 1 < KEY_TRIES).then_some(left + 1);
            self.ask_key(offered, wrong_before, until, &mut key).await?;
            let stretched = self.stretch(&key, &checked.run.salt, iterations, &mut secret).await;
            if stretched == Err(SessionError::Cancelled(Cancel::Interrupted)) {
                return stretched;
            }
            // If the sender is gone, the key is checked all the same: the next connection of this run then needs no user.
            derive::<E::Store>(schedule, &secret, transcript);
            if schedule.commits_to(commitment) {
                self.receiver.peers.runs.key_proven(&checked.run, iterations, &secret);
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
        let mut answer = Either::Second(());
        let first = {
            let receiver = &mut *self.receiver;
            let work = pin!(select(receiver.operator.key(offered, left, key), receiver.clock.sleep_until(until)));
            let work = pin!(StoreOutput { work, output: &mut answer });
            // While the operator asks, it reports an interruption in its answer.
            wait_for(&mut self.channel, stage, Some(receiver.buffers.frame), pin!(pending()), work).await?
        };
        self.expect_done(first)?;
        match answer {
            Either::First(KeyAnswer::Given) => Ok(()),
            Either::First(KeyAnswer::Declined) => Err(SessionError::Refused(Refusal::Declined)),
            Either::First(KeyAnswer::Interrupted) => Err(SessionError::Cancelled(Cancel::Interrupted)),
            Either::First(KeyAnswer::Unavailable) | Either::Second(()) => {
                Err(SessionError::Refused(Refusal::KeyTimeout))
            }
        }
    }

    /// Computes the secret of a typed key, which may take seconds. The user can interrupt it. If the sender disconnects
    /// meanwhile, the computation goes on to its end, so that the user does not have to type the key again.
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
            let (frame, interrupted) = (&mut *receiver.buffers.frame, pin!(receiver.operator.interrupted()));
            let first = wait_for(&mut self.channel, Stage::Hashing, Some(frame), interrupted, work.as_mut()).await;
            if !matches!(first, Ok(First::Done) | Err(SessionError::Cancelled(Cancel::Interrupted))) {
                work.await;
            }
            first?
        };
        self.expect_done(first)
    }
}

/// Derives the keys, with that of the folder's name only if the store takes names.
fn derive<S: Store>(schedule: &mut Schedule, secret: &Secret, transcript: &Transcript) {
    schedule.derive(secret, transcript);
    if S::TAKES_NAME {
        schedule.derive_name_key(secret, transcript);
    }
}

fn key_wrong<T>() -> Result<T, SessionError> {
    Err(SessionError::Refused(Refusal::KeyWrong))
}

/// Iterations between two yields: about 15 ms on a Cortex-M4 at 100 MHz.
const STRETCH_STEP: u32 = 256;

/// Stretches a typed key, and yields to other tasks between steps.
async fn stretch(key: &TransferKey, salt: &[u8; 32], iterations: u32, secret: &mut Secret) {
    let mut stretch = Stretch::new(key, salt, iterations);
    while !stretch.step(STRETCH_STEP) {
        yield_now().await;
    }
    stretch.finish(secret);
}

/// Computes a sealed secret, and yields to other tasks between steps.
async fn decapsulate(hpke: &HpkeSecret, encapsulation: &Encapsulation) -> Result<Secret, HpkeError> {
    let mut decapsulation = Decapsulation::new();
    decapsulation.begin(hpke, encapsulation)?;
    yield_now().await;
    while !decapsulation.step() {
        yield_now().await;
    }
    yield_now().await;
    decapsulation.finish(hpke, encapsulation)
}
