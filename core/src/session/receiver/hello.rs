//! A receiver's session begins: `Hello` and `Greeting`.
//!
//! PROTOCOL.md, section 6, steps 1 and 2.

use core::pin::pin;

use rand_core::RngCore;

use crate::limits::{self, IDLE_MS};
use crate::sealed::cipher::Cipher;
use crate::sealed::suite::Codec;
use crate::sealed::transcript::SessionTranscript;
use crate::session::channel::{decode_first, encode};
use crate::session::link::Clock;
use crate::session::outcome::SessionError;
use crate::session::receiver::environment::Environment;
use crate::session::receiver::operator::Operator;
use crate::session::receiver::peers::RunId;
use crate::session::receiver::state::{Session, not_expected};
use crate::session::receiver::store::Store;
use crate::wire::message::{FromReceiver, FromSender, Greeting, Hello, KEY_SEALED, KEY_TYPED, Refusal};
use crate::wire::preface::VERSION;

/// The hash of the first messages, to which the keys are bound, and the run that they began or continue.
pub(super) struct Opening {
    pub(super) transcript: SessionTranscript,
    pub(super) run: RunId,
}

impl<E: Environment> Session<'_, '_, E> {
    /// Exchanges `Hello` and `Greeting`, and receives the code if it is needed.
    pub(super) async fn greet(&mut self) -> Result<Opening, SessionError> {
        let until = self.channel.after(IDLE_MS);
        let receiver = &mut *self.receiver;
        let payload =
            self.channel.receive_message(receiver.buffers.frame, until, pin!(receiver.operator.interrupted())).await?;
        let transcript = SessionTranscript::new().message(payload);
        let message = decode_first(payload, |message| matches!(message, FromSender::Hello(_)))?;
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
        let remembered = self.receiver.peers.runs.remembers(&run);
        let code_needed = self.receiver.policy.code_needed && !remembered;
        if code_needed && let Some(seconds) = self.receiver.peers.lockout(&self.peer, now) {
            return Err(self.refuse_locked(seconds));
        }
        // In a run that is remembered, the folder may be committed, so that only its receipt has to be sent.
        if !remembered && let Some(error) = self.receiver.store.refuses(&self.peer) {
            return Err(error.into());
        }
        let greeting = FromReceiver::Greeting(self.greeting(code_needed));
        let transcript = transcript.message(encode(&greeting, self.receiver.buffers.frame));
        self.channel.send(&greeting).await?;
        if code_needed {
            self.receive_code().await?;
        }
        if !remembered {
            self.receiver.peers.runs.code_proven(run, self.receiver.clock.now());
        }
        self.run = Some(run);
        Ok(Opening { transcript, run })
    }

    fn greeting(&mut self, code_needed: bool) -> Greeting {
        let mut nonce = [0; 32];
        self.receiver.rng.fill_bytes(&mut nonce);
        let capacity = self.receiver.store.capacity();
        let policy = self.receiver.policy;
        Greeting {
            version: VERSION,
            nonce,
            max_total: capacity.total.min(limits::ARCHIVE_MAX),
            max_entries: capacity.entries.min(limits::ENTRIES_MAX),
            max_manifest: capacity.manifest.min(limits::MANIFEST_MAX),
            max_path: capacity.path.min(limits::PATH_MAX as u16),
            max_chunk: policy.max_chunk.bytes(),
            free: capacity.free,
            aeads: E::Cipher::AEADS.iter().map(|aead| *aead as u8).collect(),
            codecs: [Codec::Lz4 as u8, Codec::None as u8].into_iter().collect(),
            keys: policy
                .key
                .is_typed()
                .then_some(KEY_TYPED)
                .into_iter()
                .chain(policy.key.hpke().map(|_| KEY_SEALED))
                .collect(),
            code_needed,
            max_iterations: policy.max_iterations,
            key_seconds: policy.key_seconds,
        }
    }
}
