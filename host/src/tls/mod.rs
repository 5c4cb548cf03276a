//! TLS 1.3 with the roles reversed: the sender is the server, the receiver the client, since a board's TLS can only be
//! a client.
//!
//! [`sender::authenticate`] and [`receiver::authenticate`] take a TCP connection after its preface and give a
//! [`link::TlsLink`] to a peer that proved to be one of the [`pins`]; or an [`error::HandshakeError`] that says
//! which side did not like what. PROTOCOL.md, section 3.

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
use waft_core::limits::HANDSHAKE_MS;

use crate::trust::Peer;

/// Records of up to 16 KiB.
const ALPN: &[u8] = b"waft";
/// The sender's records hold at most 4096 bytes: for boards.
const ALPN_4K: &[u8] = b"waft-4k";

const HANDSHAKE: Duration = Duration::from_millis(HANDSHAKE_MS);

/// A link to a peer that holds the key of a trusted certificate.
#[derive(Debug)]
pub struct Authenticated {
    /// The link.
    pub link: link::TlsLink,
    /// Who is at its other end, as our trust knows it.
    pub peer: Peer,
}

/// Only what PROTOCOL.md names. A receiver that is a computer would like AES, since it most likely has a unit for it.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256, cipher_suite::TLS13_CHACHA20_POLY1305_SHA256],
        kx_groups: vec![kx_group::SECP256R1],
        ..ring::default_provider()
    })
}
