//! A secured link to a trusted sender: TLS 1.3 in the client role, by embedded-tls 0.19 behind guards.
//!
//! embedded-tls by itself accepts a server that shows no certificate, sends our certificate to anyone, and panics on
//! some records. So it is used here and nowhere else, and always with
//!
//! 1. `provider`: a verifier that remembers that it verified certificate *and* signature. Our own
//!    certificate and signature go out only then, and [`authenticate`] asks it again before any byte is read;
//! 2. [`guard`]: records pass from TCP to TLS only where they have a place;
//! 3. [`suite`]: ciphers that look at what they decrypt, and open no handshake message after the handshake;
//! 4. a deadline.
//!
//! What remains is embedded-tls's: its key schedule is not zeroized, and its ClientHello names two signature schemes
//! that we do not take. PROTOCOL.md, section 3.

pub mod error;
pub mod guard;
pub mod link;
mod provider;
pub mod suite;
pub mod wire;

use embassy_futures::select::{Either, select};
use embedded_tls::{TlsConfig, TlsConnection, TlsContext};
use rand_core::{CryptoRng, RngCore};
use waft_core::limits::{FRAME_HEADER, HANDSHAKE_MS, MESSAGE_MAX};
use waft_core::session::Clock;

use crate::identity::{CERTIFICATE_MAX, Identity, TrustedSender};
use error::{HandshakeError, LinkError};
use guard::Tcp;
use link::TlsLink;
use provider::Provider;
use suite::Suite;
use wire::Wire;

/// The records of a sender hold at most 4096 bytes.
const ALPN: &[&[u8]] = &[b"waft-4k"];

/// Bytes of the longest record that a sender writes, without its header: 4096 of plaintext, their type and the tag.
pub const RECORD_MAX: usize = 4096 + 1 + 16;

/// Bytes of the longest record that we write: in the handshake our certificate, afterwards a message.
const WRITE_MAX: usize = 1024;
/// At most so much is around either in its record: headers of record and handshake, lengths, type, tag.
const AROUND: usize = 64;
const _: () = assert!(CERTIFICATE_MAX + AROUND <= WRITE_MAX && FRAME_HEADER + MESSAGE_MAX + AROUND <= WRITE_MAX);

/// Room for one record in each direction.
pub struct Buffers {
    read: [u8; RECORD_MAX],
    write: [u8; WRITE_MAX],
}

impl Buffers {
    /// Empty buffers.
    pub const fn new() -> Self {
        Self { read: [0; RECORD_MAX], write: [0; WRITE_MAX] }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

/// A link to a sender that holds the key of a trusted certificate.
pub struct Authenticated<'a, T: Tcp, S: Suite> {
    /// The link.
    pub link: TlsLink<'a, T, S>,
    /// Who is at its other end.
    pub sender: &'a TrustedSender,
}

/// Secures a connection after its preface, and waits for the sender's first record: only that shows that it takes
/// part in this handshake, and not in a recorded one. Gives up at the deadline of [`HANDSHAKE_MS`].
pub async fn authenticate<'a, T: Tcp, S: Suite>(
    wire: &'a mut Wire<T>,
    buffers: &'a mut Buffers,
    identity: &'a Identity,
    rng: &mut (impl RngCore + CryptoRng),
    clock: &impl Clock,
) -> Result<Authenticated<'a, T, S>, HandshakeError> {
    let deadline = clock.now() + HANDSHAKE_MS;
    // A read that is given up leaves the connection unusable: it dies with the future.
    match select(shake_hands(wire, buffers, identity, rng), clock.sleep_until(deadline)).await {
        Either::First(outcome) => outcome,
        Either::Second(()) => Err(HandshakeError::TimedOut),
    }
}

async fn shake_hands<'a, T: Tcp, S: Suite>(
    wire: &'a Wire<T>,
    buffers: &'a mut Buffers,
    identity: &'a Identity,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Authenticated<'a, T, S>, HandshakeError> {
    let config = TlsConfig::new().with_alpn(ALPN);
    let mut provider = Provider::<S, _>::new(identity, rng);
    let mut tls = TlsConnection::new(wire.end(), &mut buffers.read, &mut buffers.write);
    let opened = tls.open(TlsContext::new(&config, &mut provider)).await;
    let sender = provider.verdict(opened.map_err(|error| wire.explain(error)))?;
    wire.opened();
    let mut link = TlsLink::new(tls, wire);
    match link.fill().await? {
        0 => Err(LinkError::Closed.into()),
        _ => Ok(Authenticated { link, sender }),
    }
}
