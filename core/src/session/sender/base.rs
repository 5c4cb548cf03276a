//! The part of a sender's session that leaves out what the receiver's base has: the receiver lists its files, and the
//! sender compares them with its own.
//!
//! PROTOCOL.md, section 6, step 8, "Only what changed".

use core::ops::Range;

use crate::sealed::keys::BaseKey;
use crate::session::outcome::{Misbehaviour, SessionError};
use crate::session::sender::dialogue::not_expected;
use crate::session::sender::environment::Environment;
use crate::session::sender::error::SendError;
use crate::session::sender::operator::{Event, Operator};
use crate::session::sender::source::Source;
use crate::session::sender::state::Session;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Stage};

impl<E: Environment> Session<'_, E> {
    /// Receives the list of the files that the receiver's base has, and lets the source compare them with its own, from
    /// offset `from` on.
    pub(super) async fn compare_base(&mut self, key: &BaseKey, from: u64) -> Result<(), SessionError> {
        let mut mac = key.list();
        let mut next = 0;
        loop {
            match self.dialogue.receive_answer().await? {
                FromReceiver::BaseFiles { files } if !files.is_empty() => {
                    for listed in &files {
                        let file = self.listed_file(next, listed.skipped)?;
                        mac.add(file, &listed.digest);
                        self.source.note_base_file(file, &listed.digest);
                        next = file + 1;
                    }
                }
                FromReceiver::BaseFiles { .. } => return Err(SessionError::PeerMisbehaved(Misbehaviour::Field)),
                FromReceiver::BaseEnd { mac: claimed } => match mac.verify(&claimed) {
                    true => break,
                    false => return Err(SessionError::PeerMisbehaved(Misbehaviour::BaseMac)),
                },
                // For the manifest.
                FromReceiver::Progress { durable } => self.dialogue.show_durable(durable)?,
                other => return not_expected(other),
            }
        }
        let Self { dialogue, source, .. } = self;
        dialogue.run(Stage::Hashing, source.compare_base(from)).await??;
        Ok(())
    }

    /// The index of a listed file. It must be one of the manifest's files.
    fn listed_file(&self, next: u32, skipped: u32) -> Result<u32, SessionError> {
        let file = next.checked_add(skipped).filter(|file| *file < self.source.info().shape.files);
        file.ok_or(SessionError::PeerMisbehaved(Misbehaviour::Field))
    }

    /// Announces the next range at or after `from` that does not cross, and returns it.
    pub(super) async fn leave_out(&mut self, from: u64) -> Result<Range<u64>, SendError> {
        let range = self.source.left_out(from);
        let Some(length) = range.end.checked_sub(range.start).filter(|_| from <= range.start) else {
            return Err(SessionError::Cancelled(Cancel::SourceChanged).into());
        };
        let message = FromSender::LeaveOut { offset: range.start, length };
        if let Err(error) = self.dialogue.send_among_chunks(&message).await {
            self.handle_unsent_chunk(error, false).await?;
        }
        if length > 0 {
            self.dialogue.operator.event(Event::LeftOut(length));
        }
        Ok(range)
    }
}
