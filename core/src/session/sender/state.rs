//! The state of a sender's session, and what several of its steps use. PROTOCOL.md, section 6.

use crate::archive::Shape;
use crate::sealed::stream::Compressor;
use crate::session::outcome::Receipt;
use crate::session::sender::dialogue::Dialogue;
use crate::session::sender::environment::{Environment, Peer, Run};
use crate::session::sender::error::SendError;
use crate::session::sender::source::Source;

/// The state of a sender's session.
pub(super) struct Session<'s, E: Environment> {
    pub(super) dialogue: Dialogue<'s, E>,
    pub(super) peer: &'s Peer<'s>,
    pub(super) run: &'s Run<'s>,
    pub(super) source: &'s mut E::Source,
    pub(super) rng: &'s mut E::Rng,
    /// Buffer for pieces of the archive.
    pub(super) plain: &'s mut [u8],
    pub(super) compressor: Option<&'s mut Compressor>,
}

impl<E: Environment> Session<'_, E> {
    /// Compares a receipt with the source.
    pub(super) fn check_receipt(&self, receipt: Receipt) -> Result<Receipt, SendError> {
        let Shape { total, files, .. } = self.source.info().shape;
        let ours = (self.source.root(), files, total);
        let is_same = ours == (Some(receipt.digest), receipt.files, receipt.bytes);
        if is_same { Ok(receipt) } else { Err(SendError::WrongReceipt) }
    }
}
