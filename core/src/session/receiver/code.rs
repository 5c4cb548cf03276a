//! A receiver's session: the code, and the lockout that follows wrong ones.
//!
//! PROTOCOL.md, section 6, step 3.

use crate::limits;
use crate::session::channel::decode;
use crate::session::link::Clock;
use crate::session::outcome::SessionError;
use crate::session::receiver::environment::Environment;
use crate::session::receiver::operator::{Event, Operator};
use crate::session::receiver::peers::CodeResult;
use crate::session::receiver::state::{Session, not_expected};
use crate::wire::message::{FromReceiver, FromSender, Refusal};

impl<E: Environment> Session<'_, '_, E> {
    /// Receives codes until one is right, or the sender is locked out.
    pub(super) async fn receive_code(&mut self) -> Result<(), SessionError> {
        loop {
            let until = self.channel.after(limits::CODE_MS);
            let message = decode(self.receive_payload(until, SessionError::Refused(Refusal::CodeTimeout)).await?)?;
            let FromSender::Code { digits } = message else {
                return not_expected(message);
            };
            let now = self.receiver.clock.now();
            let result = self.receiver.peers.try_code(&self.peer, &digits, now, self.receiver.rng);
            // Kept before the sender learns the result, so that a reset does not give the try back.
            self.receiver.operator.keep_lockouts(&self.receiver.peers.lockouts(now));
            match result {
                CodeResult::Right => {
                    self.receiver.operator.event(Event::CodeAccepted);
                    self.receiver.operator.code(self.receiver.peers.code());
                    return self.channel.send(&FromReceiver::CodeAccepted).await;
                }
                CodeResult::Wrong { left } => {
                    self.receiver.operator.event(Event::CodeWrong { left });
                    self.channel.send(&FromReceiver::CodeWrong { left }).await?;
                }
                CodeResult::Locked { seconds } => {
                    self.receiver.operator.code(self.receiver.peers.code());
                    return Err(self.refuse_locked(seconds));
                }
            }
        }
    }

    /// Shows a lockout, and returns the refusal for it.
    pub(super) fn refuse_locked(&mut self, seconds: u32) -> SessionError {
        self.receiver.operator.event(Event::Locked { seconds });
        SessionError::Refused(Refusal::Locked { seconds })
    }
}
