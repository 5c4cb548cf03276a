//! The receiver's side of the handshake: TLS client.
//!
//! Our certificate is sent only after the sender's was verified. Whether the sender accepted it shows only in the
//! sender's first record, so this waits for that record as well. PROTOCOL.md, section 3.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::error::HandshakeError;
use super::pins::{Pins, Verifier};
use super::{ALPN, Authenticated, HANDSHAKE, TlsLink, buffered, provider, timed};
use crate::identity::Identity;
use crate::net::close;

/// Performs the handshake on a connection after the preface.
pub async fn authenticate(stream: TcpStream, identity: &Identity, pins: Pins) -> Result<Authenticated, HandshakeError> {
    timed(handshake(stream, identity, pins, ALPN)).await
}

pub(super) async fn handshake(
    stream: TcpStream,
    identity: &Identity,
    pins: Pins,
    alpn: &'static [u8],
) -> Result<Authenticated, HandshakeError> {
    let verifier = Arc::new(Verifier::new(pins));
    let connector = TlsConnector::from(Arc::new(config(identity, verifier.clone(), alpn)));
    // For an IP address no SNI is sent, and the verifier ignores the name.
    let nobody = ServerName::from(IpAddr::from(Ipv4Addr::UNSPECIFIED));
    let deadline = Instant::now() + HANDSHAKE;
    let secured = connector.connect(nobody, buffered(stream)).into_fallible();
    let stream = match timeout_at(deadline, secured).await.map_err(|_| HandshakeError::TimedOut)? {
        Ok(stream) => stream,
        Err((error, stream)) => {
            close(stream.into_inner()).await;
            return Err(HandshakeError::of(error, &verifier));
        }
    };
    let agreed = stream.get_ref().1.alpn_protocol() == Some(alpn);
    let mut link = TlsLink::new(stream.into());
    let failed = match agreed {
        true => match timeout_at(deadline, link.fill()).await {
            Ok(Ok(true)) => match verifier.verdict() {
                Some(Ok(peer)) => return Ok(Authenticated { link, peer: peer.clone() }),
                _ => HandshakeError::Closed,
            },
            Ok(Ok(false)) => HandshakeError::Closed,
            Ok(Err(error)) => HandshakeError::of(error, &verifier),
            Err(_) => HandshakeError::TimedOut,
        },
        false => HandshakeError::Incompatible(rustls::Error::NoApplicationProtocol),
    };
    link.close().await;
    Err(failed)
}

fn config(identity: &Identity, verifier: Arc<Verifier>, alpn: &'static [u8]) -> ClientConfig {
    let certificate = Arc::new(SingleCertAndKey::from(identity.signing().clone()));
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .expect("`provider` has suites of TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(certificate);
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}
