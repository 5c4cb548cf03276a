//! Runs scripts of hostile servers against a board.

use p256::ecdsa::SigningKey;
use waft::identity::Identity as Keys;
use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};
use waft_receiver::tls::suite::Aes128GcmSha256;

use crate::server::{DATA, HANDSHAKE, Server};
use crate::support::{Ending, board, connected, read_all};

/// Longer than everything a board sends without its certificate, but shorter than the certificate.
pub(crate) const WITHOUT_CERTIFICATE: usize = 200;

pub(crate) struct Peers {
    pub(crate) laptop: Keys,
    pub(crate) stranger: Keys,
}

impl Peers {
    pub(crate) fn trusted(&self) -> &[u8] {
        self.laptop.certificate().der()
    }
}

pub(crate) fn key(keys: &Keys) -> SigningKey {
    SigningKey::from_slice(&*keys.tls_scalar()).unwrap()
}

/// Runs a script against a board that trusts the laptop. Returns how the board ended, and what it sent after its
/// ClientHello.
pub(crate) async fn run_script(script: impl AsyncFnOnce(&mut Server, &Peers)) -> (Ending, Vec<u8>) {
    let (dialled, accepted) = connected().await;
    let peers = Peers { laptop: Keys::generate(), stranger: Keys::generate() };
    let kitchen = Keys::generate();
    assert!(kitchen.certificate().der().len() > WITHOUT_CERTIFICATE);
    let board = board(&kitchen, &[&peers.laptop]);
    let attack = async {
        let mut server = Server::accept(dialled).await;
        script(&mut server, &peers).await;
        server.end().await
    };
    tokio::join!(read_all::<Aes128GcmSha256>(accepted, &board), attack)
}

/// Runs a script whose handshake the board must refuse.
pub(crate) async fn expect_refusal(script: impl AsyncFnOnce(&mut Server, &Peers)) -> HandshakeError {
    match run_script(script).await {
        (Ending::Refused(error), sent) => {
            assert!(sent.len() < WITHOUT_CERTIFICATE, "the board sent its certificate");
            error
        }
        (ending, _) => panic!("{ending:?}"),
    }
}

/// Runs a script after a valid handshake and the data `hi`. Returns what else the board read, and how the link ended.
pub(crate) async fn after_handshake(script: impl AsyncFnOnce(&mut Server)) -> (Vec<u8>, Result<(), LinkError>) {
    let run = run_script(async |server: &mut Server, peers: &Peers| {
        send_flight(server, peers).await;
        server.finish();
        server.sealed(DATA, b"hi").await;
        script(server).await;
    });
    match run.await.0 {
        Ending::Read(name, read, end) => {
            assert_eq!(name, "laptop0");
            (read.strip_prefix(b"hi").unwrap().to_vec(), end)
        }
        ending => panic!("{ending:?}"),
    }
}

/// Sends a valid flight in one record, after the `change_cipher_spec` that rustls and OpenSSL send.
pub(crate) async fn send_flight(server: &mut Server, peers: &Peers) {
    server.hello().await;
    server.raw(&[20, 3, 3, 0, 1, 1]).await;
    let flight = [
        server.encrypted_extensions(),
        server.certificate_request(),
        server.certificate(&[peers.trusted()]),
        server.certificate_verify(&key(&peers.laptop)),
        server.finished(),
    ];
    server.sealed(HANDSHAKE, &flight.concat()).await;
}

/// Completes a handshake with these messages, and sends data that the board must not read.
pub(crate) async fn complete(server: &mut Server, messages: &[Vec<u8>]) {
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
