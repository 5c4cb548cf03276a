//! Both ends of real handshakes on loopback: which peers are accepted, and which error each side gets otherwise.

mod foreign;
mod records;
mod updates;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use embedded_io_async::{Read, Write};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{CipherSuite, ClientConfig, Error, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use waft_core::limits::RECORD_4K;
use waft_core::session::Link;

use super::error::{HandshakeError, Rejection};
use super::pins::{Distrust, Pins, Verifier};
use super::*;
use crate::identity::Identity;
use crate::name::Name;
use crate::testing::connected;
use crate::trust::Trust;

type Outcome = Result<Authenticated, HandshakeError>;

fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

fn peer(named: &str, identity: &Identity, sends: bool, receives: bool) -> Peer {
    let certificate = identity.certificate().clone();
    Peer { name: name(named), certificate, sends, receives, at: None, last: None }
}

fn trust(peers: impl IntoIterator<Item = Peer>) -> Trust {
    let own = Identity::generate();
    let mut trust = Trust::default();
    peers.into_iter().for_each(|peer| trust.add(peer, own.certificate()).unwrap());
    trust
}

/// One side of a connection: its identity, and the certificates that it accepts.
struct Side {
    identity: Identity,
    pins: Pins,
}

/// The sender "laptop" and the receiver "kitchen", which trust each other.
fn trusting_peers() -> (Side, Side) {
    let (laptop, kitchen) = (Identity::generate(), Identity::generate());
    let (at_laptop, at_kitchen) =
        (trust([peer("kitchen", &kitchen, false, true)]), trust([peer("laptop", &laptop, true, false)]));
    (
        Side { identity: laptop, pins: Pins::receiver(at_laptop.clone(), &name("kitchen")) },
        Side { identity: kitchen, pins: Pins::senders(at_kitchen) },
    )
}

/// The results of the sender and the receiver. A sender that accepts the receiver sends a first record, as sessions do.
async fn connect(sender: &Side, receiver: &Side, alpn: &'static [u8]) -> (Outcome, Outcome) {
    let (dialled, accepted) = connected().await;
    let sending = async {
        let mut outcome = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await;
        if let Ok(Authenticated { link, .. }) = &mut outcome {
            link.write_all(b"hello").await.unwrap();
            link.flush().await.unwrap();
        }
        outcome
    };
    tokio::join!(sending, receiver::handshake(accepted, &receiver.identity, receiver.pins.clone(), alpn))
}

#[tokio::test]
async fn trusting_peers_connect_and_talk() {
    for alpn in [ALPN, ALPN_4K] {
        let (sender, receiver) = trusting_peers();
        let (Ok(mut laptop), Ok(mut kitchen)) = connect(&sender, &receiver, alpn).await else {
            panic!("they trust each other")
        };
        assert!(laptop.peer.name.is("kitchen") && kitchen.peer.name.is("laptop"));
        assert_eq!(&laptop.peer.certificate, receiver.identity.certificate());
        assert_eq!(&kitchen.peer.certificate, sender.identity.certificate());
        let mut hello = [0; 5];
        kitchen.link.read_exact(&mut hello).await.unwrap();
        assert_eq!(&hello, b"hello");
        kitchen.link.write_all(b"welcome").await.unwrap();
        kitchen.link.flush().await.unwrap();
        let mut welcome = [0; 7];
        laptop.link.read_exact(&mut welcome).await.unwrap();
        laptop.link.close().await;
        kitchen.link.readable().await.unwrap();
        assert_eq!(kitchen.link.read(&mut hello).await.unwrap(), 0, "a goodbye is an end, not an error");
    }
}

#[tokio::test]
async fn an_unknown_sender_is_rejected_and_sees_no_certificate() {
    let (_, receiver) = trusting_peers();
    // The stranger trusts no certificate: if it had seen one, it would report that.
    let stranger = Side { identity: Identity::generate(), pins: Pins::receiver(Trust::default(), &name("kitchen")) };
    let (at_stranger, at_kitchen) = connect(&stranger, &receiver, ALPN).await;
    assert!(matches!(at_stranger, Err(HandshakeError::Rejected(Rejection::Certificate))), "{at_stranger:?}");
    let hash = stranger.identity.certificate().hash();
    let Err(HandshakeError::NotTrusted(distrust)) = at_kitchen else { panic!("{at_kitchen:?}") };
    assert_eq!(distrust, Distrust::Unknown { hash });
}

#[tokio::test]
async fn an_unknown_receiver_is_reported_and_rejected() {
    let (sender, mut receiver) = trusting_peers();
    receiver.identity = Identity::generate();
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    let hash = receiver.identity.certificate().hash();
    let Err(HandshakeError::NotTrusted(distrust)) = at_sender else { panic!("{at_sender:?}") };
    assert_eq!(distrust, Distrust::Unknown { hash });
    assert!(matches!(at_receiver, Err(HandshakeError::Rejected(Rejection::Certificate))), "{at_receiver:?}");
}

#[tokio::test]
async fn another_receiver_than_asked_for_is_named() {
    let (mut sender, receiver) = trusting_peers();
    let bath = Identity::generate();
    let both = trust([peer("kitchen", &receiver.identity, false, true), peer("bath", &bath, false, true)]);
    sender.pins = Pins::receiver(both, &name("bath"));
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    let Err(HandshakeError::NotTrusted(distrust)) = at_sender else { panic!("{at_sender:?}") };
    assert_eq!(distrust, Distrust::AnotherName { name: name("kitchen") });
    assert!(matches!(at_receiver, Err(HandshakeError::Rejected(Rejection::Certificate))), "{at_receiver:?}");
}

#[tokio::test]
async fn a_sender_that_may_only_receive_is_refused() {
    let (sender, mut receiver) = trusting_peers();
    receiver.pins = Pins::senders(trust([peer("laptop", &sender.identity, false, true)]));
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    assert!(matches!(at_sender, Err(HandshakeError::Rejected(Rejection::Direction))), "{at_sender:?}");
    let Err(HandshakeError::NotTrusted(distrust)) = at_receiver else { panic!("{at_receiver:?}") };
    assert_eq!(distrust, Distrust::WrongDirection { name: name("laptop") });
}

#[tokio::test]
async fn a_receiver_that_may_only_send_is_refused() {
    let (mut sender, receiver) = trusting_peers();
    let at_laptop = trust([peer("kitchen", &receiver.identity, true, false)]);
    sender.pins = Pins::receiver(at_laptop, &name("kitchen"));
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    let Err(HandshakeError::NotTrusted(distrust)) = at_sender else { panic!("{at_sender:?}") };
    assert_eq!(distrust, Distrust::WrongDirection { name: name("kitchen") });
    assert!(matches!(at_receiver, Err(HandshakeError::Rejected(Rejection::Direction))), "{at_receiver:?}");
}

#[tokio::test]
async fn a_certificate_without_its_key_is_worth_nothing() {
    let thief = Identity::generate();
    let (mut sender, receiver) = trusting_peers();
    sender.identity = sender.identity.with_signer_of(&thief);
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    assert!(matches!(at_sender, Err(HandshakeError::Rejected(Rejection::Signature))), "{at_sender:?}");
    assert!(matches!(&at_receiver, Err(HandshakeError::NotItsKey { name }) if name.is("laptop")), "{at_receiver:?}");

    let (sender, mut receiver) = trusting_peers();
    receiver.identity = receiver.identity.with_signer_of(&thief);
    let (at_sender, at_receiver) = connect(&sender, &receiver, ALPN).await;
    assert!(matches!(&at_sender, Err(HandshakeError::NotItsKey { name }) if name.is("kitchen")), "{at_sender:?}");
    assert!(matches!(at_receiver, Err(HandshakeError::Rejected(Rejection::Signature))), "{at_receiver:?}");
}

/// A receiver with another TLS configuration: its own suites, protocols and certificate.
fn foreign(suites: &[CipherSuite], alpn: &[&[u8]], from: &Side, show: bool) -> TlsConnector {
    let mut spoken = CryptoProvider::clone(&provider());
    spoken.cipher_suites = suites
        .iter()
        .map(|suite| *spoken.cipher_suites.iter().find(|known| known.suite() == *suite).unwrap())
        .collect();
    let builder = ClientConfig::builder_with_provider(Arc::new(spoken))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(from.pins.clone())));
    let mut config = match show {
        true => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(from.identity.signing().clone()))),
        false => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.iter().map(|alpn| alpn.to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

const AES: CipherSuite = CipherSuite::TLS13_AES_128_GCM_SHA256;
const CHACHA: CipherSuite = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;

fn nobody() -> ServerName<'static> {
    IpAddr::from(Ipv4Addr::UNSPECIFIED).into()
}

#[tokio::test]
async fn the_receiver_chooses_suite_and_protocol() {
    for (suites, alpn, chosen) in [
        (&[AES, CHACHA][..], &[ALPN][..], (AES, ALPN)),
        (&[CHACHA, AES], &[ALPN_4K, ALPN], (CHACHA, ALPN_4K)),
        (&[CHACHA], &[b"later/9", ALPN], (CHACHA, ALPN)),
    ] {
        let (sender, receiver) = trusting_peers();
        let (dialled, accepted) = connected().await;
        let client = foreign(suites, alpn, &receiver, true);
        let (at_sender, at_receiver) = tokio::join!(
            sender::authenticate(dialled, &sender.identity, sender.pins.clone()),
            client.connect(nobody(), accepted)
        );
        let (mut laptop, mut stream) = (at_sender.unwrap(), at_receiver.unwrap());
        laptop.link.write_all(b"!").await.unwrap();
        laptop.link.flush().await.unwrap();
        stream.read_u8().await.unwrap();
        let tls = stream.get_ref().1;
        assert_eq!(tls.tls13_tickets_received(), 0, "nothing to resume, though it would");
        assert_eq!((tls.negotiated_cipher_suite().unwrap().suite(), tls.alpn_protocol().unwrap()), chosen);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_never_speaks_is_let_go_in_good_order() {
    let start = tokio::time::Instant::now();
    let (sender, receiver) = trusting_peers();
    let (dialled, accepted) = connected().await;
    let silent = async {
        let secured = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await;
        secured.expect("they trust each other").link.read(&mut [0]).await
    };
    let (read, outcome) =
        tokio::join!(silent, receiver::authenticate(accepted, &receiver.identity, receiver.pins.clone()));
    assert!(matches!(outcome, Err(HandshakeError::TimedOut)), "{outcome:?}");
    assert_eq!(start.elapsed().as_secs(), 15, "its first record counts as a part of the handshake");
    // Without close_notify this would be an error.
    assert!(matches!(read, Ok(0)), "{read:?}");
}

#[tokio::test]
async fn a_receiver_without_a_certificate_or_protocol_is_refused() {
    let (sender, receiver) = trusting_peers();
    for (alpn, show) in [(&[ALPN][..], false), (&[], true), (&[&b"http/1.1"[..]], true)] {
        let (dialled, accepted) = connected().await;
        let client = foreign(&[AES], alpn, &receiver, show);
        let (at_sender, at_receiver) = tokio::join!(
            sender::authenticate(dialled, &sender.identity, sender.pins.clone()),
            client.connect(nobody(), accepted)
        );
        // The receiver learns the reason by an alert, as long as there is no session.
        assert!(!show || at_receiver.is_err_and(|error| error.to_string().contains("NoApplicationProtocol")));
        match show {
            false => assert!(matches!(at_sender, Err(HandshakeError::NoCertificate)), "{at_sender:?}"),
            true => assert!(
                matches!(at_sender, Err(HandshakeError::Incompatible(Error::NoApplicationProtocol))),
                "{at_sender:?}"
            ),
        }
    }
}

/// Accepted, because the receiver has authenticated the sender all the same.
#[tokio::test]
async fn a_sender_that_requests_no_certificate_is_listened_to() {
    let (sender, receiver) = trusting_peers();
    let (dialled, accepted) = connected().await;
    let certificate = Arc::new(SingleCertAndKey::from(sender.identity.signing().clone()));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![ALPN.to_vec()];
    let sending = async {
        let mut stream = TlsAcceptor::from(Arc::new(config)).accept(dialled).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        assert!(stream.get_ref().1.peer_certificates().is_none());
        stream
    };
    let (_stream, outcome) =
        tokio::join!(sending, receiver::authenticate(accepted, &receiver.identity, receiver.pins.clone()));
    assert!(outcome.is_ok_and(|secured| secured.peer.name.is("laptop")));
}

#[tokio::test]
async fn the_last_message_arrives_although_the_peer_is_still_sending() {
    let (sender, receiver) = trusting_peers();
    let (Ok(mut laptop), Ok(mut kitchen)) = connect(&sender, &receiver, ALPN).await else {
        panic!("they trust each other")
    };
    kitchen.link.write_all(b"nobody reads this").await.unwrap();
    kitchen.link.flush().await.unwrap();
    // More than the kitchen's machine accepts while the kitchen reads nothing: the rest waits in the laptop's buffer.
    laptop.link.write_all(&vec![7; 600_000]).await.unwrap();
    laptop.link.write_all(b"cancelled").await.unwrap();
    laptop.link.flush().await.unwrap();
    let receiving = async {
        yield_now().await;
        let mut received = vec![0; 600_014];
        kitchen.link.read_exact(&mut received).await.unwrap();
        assert!(received.starts_with(b"hello") && received.ends_with(b"cancelled"));
        kitchen.link.close().await;
    };
    tokio::join!(laptop.link.close(), receiving);
}

#[tokio::test]
async fn waiting_loses_nothing_when_it_is_given_up() {
    let (sender, receiver) = trusting_peers();
    let (Ok(mut laptop), Ok(mut kitchen)) = connect(&sender, &receiver, ALPN).await else {
        panic!("they trust each other")
    };
    let sent: Vec<u8> = (0..200_000u32).map(|at| (at / 7) as u8).collect();
    let sending = async {
        for piece in sent.chunks(10_007) {
            laptop.link.write_all(piece).await.unwrap();
            laptop.link.flush().await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let receiving = async {
        let mut got = vec![0; 5 + sent.len()];
        let mut at = 0;
        while at < got.len() {
            for _ in 0..3 {
                // Cancelled at once, again and again.
                let _ = embassy_futures::poll_once(kitchen.link.readable());
            }
            kitchen.link.readable().await.unwrap();
            let end = got.len().min(at + 1000 + at % 5000);
            at += kitchen.link.read(&mut got[at..end]).await.unwrap();
        }
        got
    };
    let ((), got) = tokio::join!(sending, receiving);
    assert!(got[5..] == sent);
}

#[tokio::test]
async fn an_end_without_goodbye_is_an_error() {
    let (sender, receiver) = trusting_peers();
    let (Ok(laptop), Ok(mut kitchen)) = connect(&sender, &receiver, ALPN).await else {
        panic!("they trust each other")
    };
    drop(laptop);
    let mut hello = [0; 5];
    kitchen.link.read_exact(&mut hello).await.unwrap();
    assert!(kitchen.link.readable().await.is_err());
    assert!(kitchen.link.read(&mut hello).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn slow_peers_are_given_up() {
    let (sender, receiver) = trusting_peers();
    let (dialled, _kept) = connected().await;
    let outcome = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await;
    assert!(matches!(outcome, Err(HandshakeError::TimedOut)), "{outcome:?}");
    let (_kept, accepted) = connected().await;
    let outcome = receiver::authenticate(accepted, &receiver.identity, receiver.pins.clone()).await;
    assert!(matches!(outcome, Err(HandshakeError::TimedOut)), "{outcome:?}");
}

/// The handshake is complete, but no record of the sender has arrived: it is not authenticated yet.
#[tokio::test]
async fn a_sender_that_does_not_speak_first_is_not_authenticated() {
    let (sender, receiver) = trusting_peers();
    let (dialled, accepted) = connected().await;
    let silent = async {
        let laptop = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await.unwrap();
        laptop.link.close().await;
    };
    let ((), outcome) =
        tokio::join!(silent, receiver::authenticate(accepted, &receiver.identity, receiver.pins.clone()));
    assert!(matches!(outcome, Err(HandshakeError::Closed)), "{outcome:?}");
}
