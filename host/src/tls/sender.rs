//! The sender's side of the handshake: TLS server.
//!
//! The configuration depends on the protocol that the receiver asks for, so the ClientHello is read first. The receiver
//! is authenticated when the handshake is complete. PROTOCOL.md, section 3.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};
use waft_core::limits::RECORD_4K;

use super::error::HandshakeError;
use super::pins::{Pins, Verifier};
use super::{ALPN, ALPN_4K, Authenticated, Buffered, HANDSHAKE, TlsLink, buffered, provider, timed};
use crate::identity::Identity;
use crate::net::close;

/// The largest record for `waft-4k`, as rustls counts it: with its header of 5 bytes.
const FRAGMENT_4K: usize = RECORD_4K + 5;

/// The unencrypted alert that ends a handshake before its ServerHello: fatal (2), no_application_protocol (120).
const NO_APPLICATION_PROTOCOL: [u8; 7] = [21, 3, 3, 0, 2, 2, 120];

/// Performs the handshake on a connection after the preface.
pub async fn authenticate(stream: TcpStream, identity: &Identity, pins: Pins) -> Result<Authenticated, HandshakeError> {
    let handshake = timeout(HANDSHAKE, handshake(stream, identity, pins));
    timed(async { handshake.await.unwrap_or(Err(HandshakeError::TimedOut)) }).await
}

async fn handshake(stream: TcpStream, identity: &Identity, pins: Pins) -> Result<Authenticated, HandshakeError> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), buffered(stream));
    let start = (&mut acceptor).await.map_err(HandshakeError::early)?;
    let Some(alpn) = asked_for(&start) else {
        let mut stream = start.io.into_inner();
        let _ = stream.write_all(&NO_APPLICATION_PROTOCOL).await;
        close(stream).await;
        return Err(HandshakeError::Incompatible(rustls::Error::NoApplicationProtocol));
    };
    let verifier = Arc::new(Verifier::new(pins));
    let config = Arc::new(config(identity, verifier.clone(), alpn));
    let secured = start.into_stream(config).into_fallible().await;
    match (secured, verifier.verdict()) {
        (Ok(stream), Some(Ok(peer))) => Ok(Authenticated { link: TlsLink::new(stream.into()), peer: peer.clone() }),
        (Ok(stream), _) => {
            TlsLink::new(stream.into()).close().await;
            Err(HandshakeError::NoCertificate)
        }
        (Err((error, stream)), _) => {
            close(stream.into_inner()).await;
            Err(HandshakeError::of(error, &verifier))
        }
    }
}

/// The first protocol in the receiver's list that we support.
fn asked_for(start: &StartHandshake<Buffered>) -> Option<&'static [u8]> {
    let hello = start.client_hello();
    hello.alpn()?.find_map(|asked| [ALPN, ALPN_4K].into_iter().find(|spoken| asked == *spoken))
}

fn config(identity: &Identity, verifier: Arc<Verifier>, alpn: &'static [u8]) -> ServerConfig {
    let certificate = Arc::new(SingleCertAndKey::from(identity.signing().clone()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("`provider` has suites of TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.max_fragment_size = (alpn == ALPN_4K).then_some(FRAGMENT_4K);
    config
}
