//! Tests of HelloRetryRequest and KeyUpdate on the sender's side, with the bytes that a sender has sent. PROTOCOL.md,
//! section 3.

use std::sync::Mutex;

use ::ring::aead::{AES_128_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ::ring::hkdf::{HKDF_SHA256, KeyType, Prk};
use rustls::KeyLog;
use rustls::crypto::SupportedKxGroup;
use rustls::crypto::ring::kx_group::{SECP256R1, X25519};

use super::records::overhear;
use super::*;

/// The random of a ServerHello that is a HelloRetryRequest (RFC 8446, section 4.1.3).
const RETRY: [u8; 32] = [
    0xCF, 0x21, 0xAD, 0x74, 0xE5, 0x9A, 0x61, 0x11, 0xBE, 0x1D, 0x8C, 0x02, 0x1E, 0x65, 0xB8, 0x91, 0xC2, 0xA2, 0x11,
    0x16, 0x7A, 0xBB, 0x8C, 0x5E, 0x07, 0x9E, 0x09, 0xE2, 0xC8, 0xA8, 0x33, 0x9C,
];

/// The secret of the sender's application records.
#[derive(Debug, Default)]
struct Secret(Mutex<Vec<u8>>);

impl KeyLog for Secret {
    fn log(&self, label: &str, _: &[u8], secret: &[u8]) {
        if label == "SERVER_TRAFFIC_SECRET_0" {
            *self.0.lock().unwrap() = secret.to_vec();
        }
    }
}

/// What a receiver with this configuration got from a sender: the sender's bytes, and the data in them.
async fn received(config: ClientConfig, data: &[u8], sender: &Side) -> (Vec<u8>, Vec<u8>) {
    let ((dialled, near), (far, accepted)) = (connected().await, connected().await);
    let sending = async {
        let mut link = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await.unwrap().link;
        for piece in data.chunks(1_000) {
            link.write_all(piece).await.unwrap();
            link.flush().await.unwrap();
        }
        link.close().await;
    };
    let receiving = async {
        let mut stream = TlsConnector::from(Arc::new(config)).connect(nobody(), accepted).await.unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        received
    };
    let ((), received, heard) = tokio::join!(sending, receiving, overhear(near, far));
    (heard, received)
}

/// A receiver with these groups, the first of which its ClientHello has a share of.
fn config(
    suite: CipherSuite,
    alpn: &'static [u8],
    groups: &[&'static dyn SupportedKxGroup],
    side: &Side,
) -> ClientConfig {
    let config = ClientConfig::clone(foreign(&[suite], &[alpn], side, true).config());
    let mut offered = CryptoProvider::clone(config.crypto_provider());
    offered.kx_groups = groups.to_vec();
    let mut retried = ClientConfig::builder_with_provider(Arc::new(offered))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier::new(side.pins.clone())))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(side.identity.signing().clone())));
    retried.alpn_protocols = config.alpn_protocols;
    retried
}

#[tokio::test]
async fn a_hello_without_a_share_of_our_group_gets_a_retry_and_no_other_does() {
    for (groups, is_retried) in [(&[X25519, SECP256R1][..], true), (&[SECP256R1, X25519], false)] {
        let (sender, receiver) = trusting_peers();
        let (heard, received) = received(config(AES, ALPN, groups, &receiver), b"hello", &sender).await;
        assert_eq!(received, b"hello");
        // The header of the record, the header of the message, the version.
        assert_eq!(heard[11..43] == RETRY, is_retried);
    }
}

#[tokio::test]
async fn a_receiver_without_our_group_is_refused() {
    let (sender, receiver) = trusting_peers();
    let (dialled, accepted) = connected().await;
    let client = TlsConnector::from(Arc::new(config(AES, ALPN, &[X25519], &receiver)));
    let (outcome, _) = tokio::join!(
        sender::authenticate(dialled, &sender.identity, sender.pins.clone()),
        client.connect(nobody(), accepted)
    );
    assert!(matches!(outcome, Err(HandshakeError::Incompatible(Error::PeerIncompatible(_)))), "{outcome:?}");
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-Expand-Label with an empty context (RFC 8446, section 7.1).
fn expand(secret: &[u8], label: &str, length: usize) -> Vec<u8> {
    let label = format!("tls13 {label}");
    let info = [&[0, length as u8, label.len() as u8], label.as_bytes(), &[0]].concat();
    let mut output = vec![0; length];
    let prk = Prk::new_less_safe(HKDF_SHA256, secret);
    prk.expand(&[&info], Length(length)).unwrap().fill(&mut output).unwrap();
    output
}

/// The content types of the records that the first application key decrypts.
fn content_types(heard: &[u8], algorithm: &'static Algorithm, secret: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &expand(secret, "key", algorithm.key_len())).unwrap());
    let iv = expand(secret, "iv", 12);
    let (mut types, mut rest) = (Vec::new(), heard);
    while let [_, _, _, high, low, ..] = rest {
        let (record, later) = rest.split_at(5 + usize::from(u16::from_be_bytes([*high, *low])));
        rest = later;
        let mut nonce = [&[0; 4][..], &(types.len() as u64).to_be_bytes()].concat();
        nonce.iter_mut().zip(&iv).for_each(|(byte, iv)| *byte ^= iv);
        let mut content = record[5..].to_vec();
        let nonce = Nonce::try_assume_unique_for_key(&nonce).unwrap();
        match key.open_in_place(nonce, Aad::from(&record[..5]), &mut content) {
            Ok(plain) => types.push(*plain.iter().rfind(|byte| **byte != 0).unwrap()),
            // A record of the handshake, which precedes the first of these.
            Err(_) => assert!(types.is_empty(), "after {} records the key is another", types.len()),
        }
    }
    types
}

/// The last record is the `close_notify`. A KeyUpdate would have type 22, and the records after it another key.
#[tokio::test]
async fn a_sender_does_not_update_its_key_in_a_transfer() {
    const ALERT: u8 = 21;
    const DATA: u8 = 23;
    let data: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    for (suite, algorithm) in [(AES, &AES_128_GCM), (CHACHA, &CHACHA20_POLY1305)] {
        for alpn in [ALPN, ALPN_4K] {
            let (sender, receiver) = trusting_peers();
            let secret = Arc::new(Secret::default());
            let mut config = config(suite, alpn, &[SECP256R1], &receiver);
            config.key_log = secret.clone();
            let (heard, received) = received(config, &data, &sender).await;
            assert!(received == data);
            let types = content_types(&heard, algorithm, &secret.0.lock().unwrap());
            let (last, others) = types.split_last().unwrap();
            assert!(*last == ALERT && others.len() >= 1_200 && others.iter().all(|kind| *kind == DATA), "{types:?}");
        }
    }
}
