//! Secures a TCP connection from a trusted sender: TLS 1.3 in the client role, by embedded-tls 0.19. PROTOCOL.md,
//! section 3.
//!
//! By itself embedded-tls accepts a server without a certificate, sends our certificate to any server, and panics on
//! some records. So only this module uses it, and always with these guards:
//!
//! 1. `provider`: a verifier that records whether it has verified the certificate *and* the signature. Our own
//!    certificate and signature are sent only after that, and [`authenticate`] checks it before any byte is read.
//! 2. [`guard`]: passes a record from TCP to TLS only if the protocol allows it at that point.
//! 3. [`suite`]: ciphers that check the decrypted content, and reject handshake messages after the handshake.
//! 4. A deadline.
//!
//! Two weaknesses of embedded-tls remain: its key schedule is not zeroized (a board wipes the memory of the whole
//! session instead, by [`Board::wipe`](crate::board::Board::wipe)), and its ClientHello offers two signature schemes
//! that we do not accept.

pub mod error;
pub mod guard;
pub mod link;
mod provider;
pub(crate) mod signature;
pub mod suite;
mod verify;
pub mod wire;

use embassy_futures::select::{Either, select};
use embedded_tls::{TlsConfig, TlsConnection, TlsContext};
use rand_core::{CryptoRng, RngCore};
use waft_core::certificate::CertificateHash;
use waft_core::limits::{FRAME_HEADER, HANDSHAKE_MS, MESSAGE_MAX, RECORD_4K};
use waft_core::session::Clock;
use zeroize::Zeroize;

use crate::identity::{CERTIFICATE_MAX, Identity};
use error::{HandshakeError, LinkError};
use guard::Tcp;
use link::TlsLink;
use provider::Provider;
use suite::Suite;
use wire::Wire;

/// This protocol limits the records of a sender to [`RECORD_4K`] bytes.
const ALPN: &[&[u8]] = &[b"waft-4k"];

/// The longest record that a sender writes, in bytes without its header: plaintext, type and tag.
pub const RECORD_MAX: usize = RECORD_4K + 1 + 16;

/// The longest record that we write, in bytes. It holds our certificate in the handshake, and a message afterwards.
const WRITE_MAX: usize = 1024;
/// The most bytes that a record adds to either: headers of record and handshake, lengths, type, tag.
const OVERHEAD: usize = 64;
const _: () = assert!(CERTIFICATE_MAX + OVERHEAD <= WRITE_MAX && FRAME_HEADER + MESSAGE_MAX + OVERHEAD <= WRITE_MAX);

/// Buffers for one record in each direction. Records are decrypted in place.
#[derive(Zeroize)]
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

/// A link to a sender that has proved that it holds the key of a trusted certificate.
pub struct Authenticated<'l, 'a, T: Tcp, S: Suite> {
    /// The secured link.
    pub link: &'l mut TlsLink<'a, T, S>,
    /// The certificate of the sender at the other end.
    pub sender: CertificateHash,
}

/// Runs the handshake on a connection after its preface, and waits for the sender's first record. Only that record
/// proves that the sender takes part in this handshake and does not replay a recorded one. Fails after
/// [`HANDSHAKE_MS`].
///
/// The link is made in `place`, and takes more than 1 KiB: a link that was passed by value would be on the stack several
/// times.
pub async fn authenticate<'l, 'a, T: Tcp, S: Suite>(
    place: &'l mut Option<TlsLink<'a, T, S>>,
    wire: &'a mut Wire<T>,
    buffers: &'a mut Buffers,
    identity: &'a Identity,
    rng: &mut (impl RngCore + CryptoRng),
    clock: &impl Clock,
) -> Result<Authenticated<'l, 'a, T, S>, HandshakeError> {
    let wire = &*wire;
    let link = make_link(place, wire, buffers);
    let deadline = clock.now() + HANDSHAKE_MS;
    // A cancelled read makes the connection unusable, but the connection is dropped with this future.
    match select(run_handshake(link, wire, identity, rng), clock.sleep_until(deadline)).await {
        Either::First(outcome) => outcome,
        Either::Second(()) => Err(HandshakeError::TimedOut),
    }
}

/// Not inlined, since the link is on the stack before it is moved into its place.
#[inline(never)]
fn make_link<'l, 'a, T: Tcp, S: Suite>(
    place: &'l mut Option<TlsLink<'a, T, S>>,
    wire: &'a Wire<T>,
    buffers: &'a mut Buffers,
) -> &'l mut TlsLink<'a, T, S> {
    let tls = TlsConnection::new(wire.tls_half(), &mut buffers.read, &mut buffers.write);
    place.insert(TlsLink::new(tls, wire))
}

async fn run_handshake<'l, 'a, T: Tcp, S: Suite>(
    link: &'l mut TlsLink<'a, T, S>,
    wire: &'a Wire<T>,
    identity: &'a Identity,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Authenticated<'l, 'a, T, S>, HandshakeError> {
    let config = TlsConfig::new().with_alpn(ALPN);
    let mut provider = Provider::<S, _>::new(identity, rng);
    let opened = link.open(TlsContext::new(&config, &mut provider)).await;
    let sender = provider.authenticated_sender(opened)?;
    wire.finish_handshake();
    match link.fill().await? {
        0 => Err(LinkError::Closed.into()),
        _ => Ok(Authenticated { link, sender }),
    }
}
