//! Pairing on a board: a computer that is not trusted yet becomes a trusted sender by a short code. PROTOCOL.md,
//! section 13; the board is the listener.
//!
//! ```text
//! operator: pair() -> window of two minutes, code -> a dialer's share takes the code -> failed: the next code
//!                                                                                    -> paired: settings, window closed
//! ```
//!
//! An attempt is served like a session, in the same memory, and the processor time of failed ones is limited by the same
//! budget. Until an attempt succeeds, its peer is a stranger.

use embedded_io_async::{ErrorType, Read, Write};
use waft_core::pairing::{Introduction, Paired, PairingCode, PairingError};
use waft_core::session::Link;

use crate::identity::{IdentityError, TrustedSender, TrustedSenders};
use crate::settings::SettingsError;
use crate::tls::guard::Tcp;

/// How long pairing is open after a user asked for it, in milliseconds.
pub const OPEN_MS: u64 = 120_000;
/// The number of attempts in this time. Each one needs a code of its own, and strangers can spend codes.
pub const ATTEMPTS: u8 = 10;

/// Why an attempt to pair did not make the peer a trusted sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PairingFailure {
    /// The attempt failed.
    Attempt(PairingError),
    /// The peer does not want to send. A board does nothing else with a peer.
    DoesNotSend,
    /// The peer's certificate is not one of waft.
    Certificate(IdentityError),
    /// The list of trusted senders could not be stored. The peer has paired: it has to pair again.
    Settings(SettingsError),
}

impl From<PairingError> for PairingFailure {
    fn from(error: PairingError) -> Self {
        Self::Attempt(error)
    }
}

impl From<SettingsError> for PairingFailure {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error)
    }
}

/// The time in which the board pairs.
pub(crate) struct Window {
    /// The code, unless an attempt took it.
    pub(crate) code: Option<PairingCode>,
    /// The end, in milliseconds.
    pub(crate) until: u64,
    /// The attempts that are left, including that of the code.
    pub(crate) attempts: u8,
}

impl Window {
    pub(crate) fn new(code: PairingCode, now: u64) -> Self {
        Self { code: Some(code), until: now + OPEN_MS, attempts: ATTEMPTS }
    }
}

/// The sender that a peer becomes. A sender that is trusted already keeps its name.
pub(crate) fn sender_of(paired: &Paired<'_>, senders: &TrustedSenders) -> Result<TrustedSender, PairingFailure> {
    let peer: &Introduction<'_> = &paired.peer;
    if !peer.directions().sends {
        return Err(PairingFailure::DoesNotSend);
    }
    let name = senders.free_name(peer.name());
    let mut sender = TrustedSender::from_certificate(&name, peer.certificate()).map_err(PairingFailure::Certificate)?;
    if let Some(known) = senders.find(&sender.hash) {
        sender.name = known.name;
    }
    Ok(sender)
}

/// A TCP connection without TLS as a link.
pub(crate) struct PlainLink<'s, S>(pub(crate) &'s mut S);

impl<S: Tcp> ErrorType for PlainLink<'_, S> {
    type Error = S::Error;
}

impl<S: Tcp> Read for PlainLink<'_, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        self.0.read(buffer).await
    }
}

impl<S: Tcp> Write for PlainLink<'_, S> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, S::Error> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> Result<(), S::Error> {
        self.0.flush().await
    }
}

impl<S: Tcp> Link for PlainLink<'_, S> {
    async fn readable(&mut self) -> Result<(), S::Error> {
        self.0.readable().await
    }
}
