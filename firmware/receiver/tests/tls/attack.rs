//! How hostile scripts are played against a board.

use p256::ecdsa::SigningKey;
use waft::identity::Identity as Keys;
use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};
use waft_receiver::tls::suite::Aes128GcmSha256;

use crate::server::{DATA, HANDSHAKE, Server};
use crate::support::{Ending, board, connected, listen};

/// Longer than what a board says without its certificate, shorter than that certificate.
pub(crate) const WITHOUT_CERTIFICATE: usize = 200;

pub(crate) struct Cast {
    pub(crate) laptop: Keys,
    pub(crate) stranger: Keys,
}

impl Cast {
    pub(crate) fn trusted(&self) -> &[u8] {
        self.laptop.certificate().der()
    }
}

pub(crate) fn key(keys: &Keys) -> SigningKey {
    SigningKey::from_slice(&*keys.tls_scalar()).unwrap()
}

/// How a board ends that trusts the laptop, and what it said after its ClientHello.
pub(crate) async fn play(script: impl AsyncFnOnce(&mut Server, &Cast)) -> (Ending, Vec<u8>) {
    let (dialled, accepted) = connected().await;
    let cast = Cast { laptop: Keys::generate(), stranger: Keys::generate() };
    let kitchen = Keys::generate();
    assert!(kitchen.certificate().der().len() > WITHOUT_CERTIFICATE);
    let board = board(&kitchen, &[&cast.laptop]);
    let attack = async {
        let mut server = Server::accept(dialled).await;
        script(&mut server, &cast).await;
        server.end().await
    };
    tokio::join!(listen::<Aes128GcmSha256>(accepted, &board), attack)
}

/// Plays a handshake that must be refused.
pub(crate) async fn refused(script: impl AsyncFnOnce(&mut Server, &Cast)) -> HandshakeError {
    match play(script).await {
        (Ending::Refused(error), said) => {
            assert!(said.len() < WITHOUT_CERTIFICATE, "the board showed its certificate");
            error
        }
        (ending, _) => panic!("{ending:?}"),
    }
}

/// Plays on after an honest handshake and the words `hi`: what else the board reads, and its end.
pub(crate) async fn after(script: impl AsyncFnOnce(&mut Server)) -> (Vec<u8>, Result<(), LinkError>) {
    let played = play(async |server: &mut Server, cast: &Cast| {
        prove(server, cast).await;
        server.finish();
        server.sealed(DATA, b"hi").await;
        script(server).await;
    });
    match played.await.0 {
        Ending::Read(name, heard, end) => {
            assert_eq!(name, "laptop0");
            (heard.strip_prefix(b"hi").unwrap().to_vec(), end)
        }
        ending => panic!("{ending:?}"),
    }
}

/// An honest flight, in one record, with the change of ciphers that rustls and OpenSSL send.
pub(crate) async fn prove(server: &mut Server, cast: &Cast) {
    server.hello().await;
    server.raw(&[20, 3, 3, 0, 1, 1]).await;
    let flight = [
        server.encrypted_extensions(),
        server.certificate_request(),
        server.certificate(&[cast.trusted()]),
        server.certificate_verify(&key(&cast.laptop)),
        server.finished(),
    ];
    server.sealed(HANDSHAKE, &flight.concat()).await;
}

/// A whole handshake of these messages, and then words that must not be listened to.
pub(crate) async fn insist(server: &mut Server, messages: &[Vec<u8>]) {
    server.sealed(HANDSHAKE, &messages.concat()).await;
    let finished = server.finished();
    server.sealed(HANDSHAKE, &finished).await;
    server.finish();
    server.sealed(DATA, b"evil").await;
}

pub(crate) fn record(violation: Violation) -> HandshakeError {
    HandshakeError::Link(LinkError::Record(violation))
}

pub(crate) const TLS: HandshakeError = HandshakeError::Link(LinkError::Tls);
