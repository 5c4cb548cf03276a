//! Senders that break TLS on purpose, one script a test. Each ends in a refused or ended session, never in a panic, and
//! none that did not prove its key sees the board's certificate or is listened to.

use p256::ecdsa::SigningKey;
use waft::identity::Identity as Keys;
use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};
use waft_receiver::tls::suite::Aes128GcmSha256;

use crate::server::{ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, Server};
use crate::support::{Ending, board, connected, listen};

/// Longer than what a board says without its certificate, shorter than that certificate.
const WITHOUT_CERTIFICATE: usize = 200;

struct Cast {
    laptop: Keys,
    stranger: Keys,
}

impl Cast {
    fn trusted(&self) -> &[u8] {
        self.laptop.certificate().der()
    }
}

fn key(keys: &Keys) -> SigningKey {
    SigningKey::from_slice(&*keys.tls_scalar()).unwrap()
}

/// How a board ends that trusts the laptop, and what it said after its ClientHello.
async fn play(script: impl AsyncFnOnce(&mut Server, &Cast)) -> (Ending, Vec<u8>) {
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
async fn refused(script: impl AsyncFnOnce(&mut Server, &Cast)) -> HandshakeError {
    match play(script).await {
        (Ending::Refused(error), said) => {
            assert!(said.len() < WITHOUT_CERTIFICATE, "the board showed its certificate");
            error
        }
        (ending, _) => panic!("{ending:?}"),
    }
}

/// Plays on after an honest handshake and the words `hi`: what else the board reads, and its end.
async fn after(script: impl AsyncFnOnce(&mut Server)) -> (Vec<u8>, Result<(), LinkError>) {
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
async fn prove(server: &mut Server, cast: &Cast) {
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
async fn insist(server: &mut Server, messages: &[Vec<u8>]) {
    server.sealed(HANDSHAKE, &messages.concat()).await;
    let finished = server.finished();
    server.sealed(HANDSHAKE, &finished).await;
    server.finish();
    server.sealed(DATA, b"evil").await;
}

fn record(violation: Violation) -> HandshakeError {
    HandshakeError::Link(LinkError::Record(violation))
}

const TLS: HandshakeError = HandshakeError::Link(LinkError::Tls);

#[tokio::test]
async fn an_honest_script_is_listened_to() {
    let (heard, end) = after(async |server| {
        server.sealed(DATA, b"").await;
        server.seal(b"padded\x17\0\0\0").await;
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    })
    .await;
    assert_eq!((heard, end), (b"padded".to_vec(), Ok(())));
}

#[tokio::test]
async fn no_certificate() {
    for ask in [false, true] {
        let error = refused(async |server, _| {
            server.hello().await;
            let mut messages = vec![server.encrypted_extensions()];
            messages.extend(ask.then(|| server.certificate_request()));
            insist(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven, "{ask}");
    }
}

#[tokio::test]
async fn the_certificate_without_a_proof() {
    for ask in [false, true] {
        let error = refused(async |server, cast| {
            server.hello().await;
            let mut messages = vec![server.encrypted_extensions()];
            messages.extend(ask.then(|| server.certificate_request()));
            messages.push(server.certificate(&[cast.trusted()]));
            insist(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven, "{ask}");
    }
}

#[tokio::test]
async fn the_certificate_with_another_key() {
    let error = refused(async |server, cast| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_request(),
            server.certificate(&[cast.trusted()]),
            server.certificate_verify(&key(&cast.stranger)),
        ];
        insist(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotItsKey);
}

#[tokio::test]
async fn another_certificate() {
    let error = refused(async |server, cast| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_request(),
            server.certificate(&[cast.stranger.certificate().der()]),
            server.certificate_verify(&key(&cast.stranger)),
        ];
        insist(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotTrusted);
}

#[tokio::test]
async fn no_certificate_or_two_in_a_message() {
    for count in [0, 2] {
        let error = refused(async |server, cast| {
            server.hello().await;
            let chain = vec![cast.trusted(); count];
            let messages = [
                server.encrypted_extensions(),
                server.certificate(&chain),
                server.certificate_verify(&key(&cast.laptop)),
            ];
            insist(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotTrusted, "{count}");
    }
}

#[tokio::test]
async fn the_proof_before_the_certificate() {
    let error = refused(async |server, cast| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_verify(&key(&cast.laptop)),
            server.certificate(&[cast.trusted()]),
        ];
        insist(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotProven);
}

#[tokio::test]
async fn a_second_certificate_or_proof() {
    let error = refused(async |server, cast| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate(&[cast.stranger.certificate().der()]),
            server.certificate(&[cast.trusted()]),
            server.certificate_verify(&key(&cast.laptop)),
        ];
        insist(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotTrusted);
    for stranger in [false, true] {
        let error = refused(async |server, cast| {
            server.hello().await;
            let mut messages = vec![
                server.encrypted_extensions(),
                server.certificate(&[cast.trusted()]),
                server.certificate_verify(&key(&cast.laptop)),
            ];
            messages.push(match stranger {
                true => server.certificate(&[cast.stranger.certificate().der()]),
                false => server.certificate_verify(&key(&cast.stranger)),
            });
            insist(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven);
    }
}

#[tokio::test]
async fn messages_in_the_clear() {
    let error = refused(async |server, cast| {
        server.hello().await;
        for message in [
            server.encrypted_extensions(),
            server.certificate(&[cast.trusted()]),
            server.certificate_verify(&key(&cast.laptop)),
            server.finished(),
        ] {
            server.plain(HANDSHAKE, &message).await;
        }
        server.finish();
        server.sealed(DATA, b"evil").await;
    });
    assert_eq!(error.await, record(Violation::Type));
}

#[tokio::test]
async fn what_is_no_server_hello() {
    let without_share = [&[2, 0, 0, 46, 3, 3][..], &[9; 32], &[0, 0x13, 1, 0, 0, 6, 0, 0x2b, 0, 2, 3, 4]].concat();
    for (bytes, expected) in [
        (&b"\x16\x03\x03\x00\x04\x08\x00\x00\x00"[..], TLS),
        (b"\x16\x03\x03\x00\x01\x02", TLS),
        (b"\x16\x03\x03\x00\x00", record(Violation::Length)),
        (b"\x16\x03\x03\x10\x12", record(Violation::Length)),
        (b"\x16\x03\x01\x00\x04\x08\x00\x00\x00", record(Violation::Version)),
        (b"\x14\x03\x03\x00\x01\x01", record(Violation::ChangeCipherSpec)),
        (b"\x17\x03\x03\x00\x20", record(Violation::Type)),
        (b"HTTP/1.1 400 Bad Request", record(Violation::Version)),
        (b"\x15\x03\x03\x00\x02\x02\x78", HandshakeError::Rejected),
        (b"\x15\x03\x03\x00\x02\x02\xff", TLS),
        (b"\x15\x03\x03\x00\x01\x02", record(Violation::Length)),
        (b"", HandshakeError::Link(LinkError::Closed)),
        (b"\x16\x03", HandshakeError::Link(LinkError::Closed)),
        (&[&[22, 3, 3, 0, 50], &without_share[..]].concat(), TLS),
    ] {
        assert_eq!(refused(async |server, _| server.raw(bytes).await).await, expected, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn records_out_of_place_in_the_handshake() {
    for (bytes, expected) in [
        (&b"\x14\x03\x03\x00\x01\x01\x14\x03\x03\x00\x01\x01"[..], Violation::ChangeCipherSpec),
        (b"\x14\x03\x03\x00\x01\x02", Violation::ChangeCipherSpec),
        (b"\x14\x03\x03\x00\x02\x01\x01", Violation::ChangeCipherSpec),
        (b"\x15\x03\x03\x00\x02\x01\x00", Violation::Type),
        (b"\x17\x03\x03\x00\x05\x00\x00\x00\x00\x00", Violation::Length),
        (b"\x17\x03\x03\x10\x12", Violation::Length),
        (b"\x17\x03\x04\x00\x20", Violation::Version),
        (b"\x17\x03\xff\x00\x20", Violation::Version),
        (b"\x00\x03\x03\x00\x20", Violation::Type),
    ] {
        let error = refused(async |server, _| {
            server.hello().await;
            server.raw(bytes).await;
        });
        assert_eq!(error.await, record(expected), "{bytes:02x?}");
    }
}

#[tokio::test]
async fn sealed_records_that_hold_nothing() {
    for (inner, expected) in [(&[][..], record(Violation::Length)), (&[0], TLS), (&[0; 100], TLS), (&[99], TLS)] {
        let error = refused(async |server, _| {
            server.hello().await;
            server.seal(inner).await;
        });
        assert_eq!(error.await, expected, "{inner:?}");
    }
    for (inner, expected) in [
        (&[][..], LinkError::Record(Violation::Length)),
        (&[0], LinkError::Tls),
        (&[0; 100], LinkError::Tls),
        (&[99], LinkError::Tls),
    ] {
        assert_eq!(after(async |server| server.seal(inner).await).await, (vec![], Err(expected)), "{inner:?}");
    }
}

#[tokio::test]
async fn application_data_before_the_end_of_the_handshake() {
    let error = refused(async |server, _| {
        server.hello().await;
        server.sealed(DATA, b"evil").await;
    });
    assert_eq!(error.await, TLS);
}

/// By a stranger it changes nothing, and by a trusted sender it harms nobody but itself: TLS calls it a breach.
#[tokio::test]
async fn encrypted_extensions_after_finished() {
    let error = refused(async |server, _| {
        server.hello().await;
        let messages = [server.encrypted_extensions(), server.finished(), server.encrypted_extensions()];
        insist(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotProven);
}

#[tokio::test]
async fn records_in_the_clear_after_the_handshake() {
    for (kind, body) in [(ALERT, CLOSE_NOTIFY), (HANDSHAKE, b"\x08\x00\x00\x02\x00\x00"), (HANDSHAKE, b"\x18\0\0\x01\0")] {
        let (heard, end) = after(async |server| {
            server.plain(kind, body).await;
            server.sealed(DATA, b"evil").await;
        })
        .await;
        assert_eq!((heard, end), (vec![], Err(LinkError::Record(Violation::Type))), "{body:?}");
    }
    let (heard, end) = after(async |server| server.raw(&[20, 3, 3, 0, 1, 1]).await).await;
    assert_eq!((heard, end), (vec![], Err(LinkError::Record(Violation::ChangeCipherSpec))));
}

/// embedded-tls meets some of them with `unimplemented!()`. Nobody authenticated sends any.
#[tokio::test]
async fn sealed_handshake_messages_after_the_handshake() {
    for message in [
        &b"\x08\x00\x00\x02\x00\x00"[..],                                      // EncryptedExtensions
        b"\x18\x00\x00\x01\x00",                                               // KeyUpdate
        b"\x04\x00\x00\x40\x00\x00",                                           // the beginning of a NewSessionTicket
        b"\x04\x00\x00\x0f\0\0\0\x09\0\0\0\0\x00\x00\x02\xaa\xbb\x00\x00",     // a whole one
        b"",
    ] {
        let (heard, end) = after(async |server| {
            server.sealed(HANDSHAKE, message).await;
            server.sealed(DATA, b"evil").await;
        })
        .await;
        assert_eq!((heard, end), (vec![], Err(LinkError::Tls)), "{message:02x?}");
    }
}

#[tokio::test]
async fn the_end_without_a_goodbye() {
    assert_eq!(after(async |_| ()).await, (vec![], Err(LinkError::Closed)));
    let (heard, end) = after(async |server| server.raw(b"\x17\x03\x03\x00\x20\x00").await).await;
    assert_eq!((heard, end), (vec![], Err(LinkError::Closed)));
    let (heard, end) = after(async |server| server.sealed(ALERT, &[2, 80]).await).await;
    assert_eq!((heard, end), (vec![], Err(LinkError::Alert)));
}

/// Of who says nothing, nobody knows whether it took part: its handshake may be a recorded one.
#[tokio::test]
async fn a_proven_sender_that_does_not_speak() {
    let (ending, _) = play(prove).await;
    assert_eq!(ending, Ending::Refused(HandshakeError::Link(LinkError::Closed)));
    let goodbye = play(async |server: &mut Server, cast: &Cast| {
        prove(server, cast).await;
        server.finish();
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    });
    assert_eq!(goodbye.await.0, Ending::Refused(HandshakeError::Link(LinkError::Closed)));
}

#[tokio::test]
async fn a_forged_record() {
    let (heard, end) = after(async |server| {
        server.raw(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).await;
        server.sealed(DATA, b"evil").await;
    })
    .await;
    assert_eq!((heard, end), (vec![], Err(LinkError::Tls)));
}
