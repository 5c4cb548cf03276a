//! The last steps of a sender's session: it compares the receiver's prefix, sends the chunks, and waits for the receipt.
//!
//! PROTOCOL.md, section 6, steps 7 to 9.

use embassy_futures::yield_now;

use crate::archive::Shape;
use crate::digest::{Digest, Hasher};
use crate::limits::{self, FRAME_HEADER};
use crate::sealed::keys::Schedule;
use crate::sealed::stream::{Sealer, Span};
use crate::session::outcome::{Misbehaviour, Receipt, SessionError};
use crate::session::sender::dialogue::not_expected;
use crate::session::sender::environment::Environment;
use crate::session::sender::error::SendError;
use crate::session::sender::hello::Choice;
use crate::session::sender::offer::Prefix;
use crate::session::sender::operator::{Event, Operator};
use crate::session::sender::source::Source;
use crate::session::sender::state::Session;
use crate::wire::message::{Cancel, FromReceiver, FromSender, Limit, Stage};

/// Where the chunks begin.
#[derive(Clone, Copy)]
pub(super) struct Resumed {
    offset: u64,
    /// Whether files that the receiver's base has are left out.
    base: bool,
}

impl<E: Environment> Session<'_, E> {
    /// Compares the receiver's prefix with the source, and says where the chunks begin.
    pub(super) async fn resume(&mut self, prefix: Prefix) -> Result<Resumed, SessionError> {
        let Self { dialogue, source, plain, .. } = self;
        let mut offset = prefix.length;
        if dialogue.run(Stage::Hashing, hash_prefix(*source, plain, offset)).await?? != prefix.digest {
            dialogue.run(Stage::Hashing, source.rewind()).await??;
            offset = 0;
        }
        let total = source.info().shape.total;
        let base = prefix.has_base && offset < total && source.uses_base();
        dialogue.begin_transfer(offset, total);
        dialogue.channel.send(&FromSender::Resume { offset, base }).await?;
        dialogue.operator.event(Event::Accepted { offset });
        Ok(Resumed { offset, base })
    }

    /// Seals and sends everything from the offset on, except for what the receiver's base has. Returns the receipt if the
    /// connection broke at the last chunk, but the receiver had already sent its receipt.
    pub(super) async fn send_chunks(
        &mut self,
        choice: &Choice<'_>,
        schedule: Schedule,
        Resumed { offset, base }: Resumed,
    ) -> Result<Option<Receipt>, SendError> {
        let Shape { total, manifest, .. } = self.source.info().shape;
        // The offset was checked before, so that only the total can be too large.
        let too_long = SendError::OverLimit { limit: Limit::Total, has: total, most: limits::ARCHIVE_MAX };
        let span = Span::new(offset, total).ok_or(too_long)?;
        let (keys, _, base_key) = schedule.into_stream();
        let mut sealer = Sealer::<E::Cipher>::new(keys, &choice.suite, span).ok_or(SendError::NothingInCommon)?;
        if !base {
            return self.send_range(&mut sealer).await;
        }
        // First the rest of the manifest crosses, to which the list of the receiver's files refers.
        let first = u64::from(manifest).max(offset);
        sealer.continue_in(offset..first).ok_or(too_long)?;
        self.send_range(&mut sealer).await?;
        self.compare_base(&base_key, first).await?;
        let mut next = first;
        while next < total {
            let left_out = self.leave_out(next).await?;
            sealer.continue_in(next..left_out.start).ok_or(too_long)?;
            if let Some(receipt) = self.send_range(&mut sealer).await? {
                return Ok(Some(receipt));
            }
            next = left_out.end;
        }
        Ok(None)
    }

    /// Seals and sends the sealer's current range.
    async fn send_range(&mut self, sealer: &mut Sealer<E::Cipher>) -> Result<Option<Receipt>, SendError> {
        let total = self.source.info().shape.total;
        while sealer.next_len() > 0 {
            let Self { dialogue, source, plain, compressor, .. } = self;
            dialogue.receive_pending().await?;
            let plain = plain.get_mut(..sealer.next_len()).ok_or(SessionError::Buffers)?;
            let read = dialogue.run(Stage::Reading, source.read(plain)).await?;
            if read.map_err(SessionError::from)? < plain.len() {
                return Err(SessionError::Cancelled(Cancel::SourceChanged).into());
            }
            let payload = dialogue.frame.get_mut(FRAME_HEADER..).ok_or(SessionError::Buffers)?;
            let sealed = sealer.seal(plain, compressor.as_deref_mut(), payload).map_err(|_| SessionError::Buffers)?;
            if let Err(error) = dialogue.send_chunk(sealed).await {
                return self.handle_unsent_chunk(error, sealer.position() == total).await;
            }
            dialogue.operator.event(Event::Sent(sealer.position()));
        }
        Ok(None)
    }

    /// Handles a frame that could not be sent: the receiver may have sent its reason before the connection broke.
    pub(super) async fn handle_unsent_chunk(
        &mut self,
        error: SessionError,
        is_last: bool,
    ) -> Result<Option<Receipt>, SendError> {
        let error = match error {
            SessionError::Disconnected => match self.dialogue.receive_last_message().await {
                // The receiver can have the whole archive only if this is the last chunk.
                Ok(FromReceiver::Committed { digest, files, bytes, generation }) if is_last => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation }).map(Some);
                }
                Ok(_) => SessionError::PeerMisbehaved(Misbehaviour::Unexpected),
                Err(error) => error,
            },
            error => error,
        };
        Err(if is_last { after_last_chunk(error) } else { error.into() })
    }

    /// Receives the receipt, and compares it with the source.
    pub(super) async fn receive_receipt(&mut self) -> Result<Receipt, SendError> {
        let until = self.dialogue.channel.after(limits::WORKING_CAP_MS);
        loop {
            match self.dialogue.receive(false).await.map_err(after_last_chunk)? {
                FromReceiver::Progress { durable } => self.dialogue.show_durable(durable)?,
                FromReceiver::Working(stage) => self.dialogue.show_working(stage, until).map_err(after_last_chunk)?,
                FromReceiver::Committed { digest, files, bytes, generation } => {
                    return self.check_receipt(Receipt { digest, files, bytes, generation });
                }
                other => not_expected(other)?,
            }
        }
    }
}

/// The digest of the source's first `left` bytes. Leaves the source at the byte after them.
async fn hash_prefix(source: &mut impl Source, buffer: &mut [u8], mut left: u64) -> Result<Digest, SessionError> {
    source.rewind().await?;
    let mut hasher = Hasher::new();
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        match source.read(&mut buffer[..most]).await? {
            0 => return Err(SessionError::Cancelled(Cancel::SourceChanged)),
            count => {
                hasher.update(&buffer[..count]);
                left -= count as u64;
            }
        }
        // Yields so that the clock and the user are polled between pieces even if the source never waits.
        yield_now().await;
    }
    Ok(hasher.digest())
}

/// The error to report once the receiver may have the last chunk, and may have committed the folder.
fn after_last_chunk(error: SessionError) -> SendError {
    match error {
        SessionError::Disconnected | SessionError::TimedOut => SendError::OutcomeUnknown { interrupted: false },
        SessionError::Cancelled(Cancel::Interrupted) => SendError::OutcomeUnknown { interrupted: true },
        error => error.into(),
    }
}
