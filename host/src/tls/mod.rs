//! TLS 1.3 with reversed roles: the sender is the TLS server and the receiver the client, because a board's TLS library
//! can only be a client.
//!
//! [`sender::authenticate`] and [`receiver::authenticate`] take a TCP connection after its preface. They return a
//! [`link::TlsLink`] to a peer that proved to be one of the [`pins`], or an [`error::HandshakeError`] that says which
//! side refused what. PROTOCOL.md, section 3.

pub mod error;
pub mod link;
pub mod pins;
pub mod receiver;
pub mod sender;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::{self, cipher_suite, kx_group};
use tokio::time::Instant;
use waft_core::limits::HANDSHAKE_MS;

use crate::trust::Peer;
use error::HandshakeError;

/// The sender's records hold up to 16 KiB.
const ALPN: &[u8] = b"waft";
/// The sender's records hold at most 4096 bytes, for boards.
const ALPN_4K: &[u8] = b"waft-4k";

const HANDSHAKE: Duration = Duration::from_millis(HANDSHAKE_MS);
/// A peer that closes the connection this late in a handshake has reached its own deadline, which is [`HANDSHAKE`], too.
const LATE: Duration = Duration::from_secs(10);

/// A link to a peer that holds the key of a trusted certificate.
#[derive(Debug)]
pub struct Authenticated {
    /// The link.
    pub link: link::TlsLink,
    /// The peer at the other end, as recorded in our trust.
    pub peer: Peer,
}

/// Performs a handshake. Both sides have the same deadline, so either may close first: a connection that is closed
/// late counts as timed out.
async fn timed(
    handshake: impl Future<Output = Result<Authenticated, HandshakeError>>,
) -> Result<Authenticated, HandshakeError> {
    let begun = Instant::now();
    match handshake.await {
        Err(HandshakeError::Closed) if begun.elapsed() >= LATE => Err(HandshakeError::TimedOut),
        outcome => outcome,
    }
}

/// Only the algorithms that PROTOCOL.md names. AES comes first: a receiver that is a computer most likely has hardware
/// support for it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![kx_group::SECP256R1],
        ..ring::default_provider()
    })
}
