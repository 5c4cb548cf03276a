//! Senders that violate the handshake, one script per test. The board refuses each of them without a panic. It neither
//! sends its certificate to nor reads data from a sender that did not prove that it holds its key.

use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};

use crate::attack::{TLS, after_handshake, complete, expect_refusal, key, record};
use crate::server::{DATA, HANDSHAKE};

#[tokio::test]
async fn no_certificate() {
    for ask in [false, true] {
        let error = expect_refusal(async |server, _| {
            server.hello().await;
            let mut messages = vec![server.encrypted_extensions()];
            messages.extend(ask.then(|| server.certificate_request()));
            complete(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven, "{ask}");
    }
}

#[tokio::test]
async fn a_certificate_without_a_signature() {
    for ask in [false, true] {
        let error = expect_refusal(async |server, peers| {
            server.hello().await;
            let mut messages = vec![server.encrypted_extensions()];
            messages.extend(ask.then(|| server.certificate_request()));
            messages.push(server.certificate(&[peers.trusted()]));
            complete(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven, "{ask}");
    }
}

#[tokio::test]
async fn a_trusted_certificate_with_the_signature_of_another_key() {
    let error = expect_refusal(async |server, peers| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_request(),
            server.certificate(&[peers.trusted()]),
            server.certificate_verify(&key(&peers.stranger)),
        ];
        complete(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotItsKey);
}

#[tokio::test]
async fn an_unknown_certificate() {
    let error = expect_refusal(async |server, peers| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_request(),
            server.certificate(&[peers.stranger.certificate().der()]),
            server.certificate_verify(&key(&peers.stranger)),
        ];
        complete(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotTrusted);
}

#[tokio::test]
async fn none_or_two_certificates_in_a_message() {
    for count in [0, 2] {
        let error = expect_refusal(async |server, peers| {
            server.hello().await;
            let chain = vec![peers.trusted(); count];
            let messages = [
                server.encrypted_extensions(),
                server.certificate(&chain),
                server.certificate_verify(&key(&peers.laptop)),
            ];
            complete(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotTrusted, "{count}");
    }
}

#[tokio::test]
async fn the_signature_before_the_certificate() {
    let error = expect_refusal(async |server, peers| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate_verify(&key(&peers.laptop)),
            server.certificate(&[peers.trusted()]),
        ];
        complete(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotProven);
}

#[tokio::test]
async fn a_second_certificate_or_signature() {
    let error = expect_refusal(async |server, peers| {
        server.hello().await;
        let messages = [
            server.encrypted_extensions(),
            server.certificate(&[peers.stranger.certificate().der()]),
            server.certificate(&[peers.trusted()]),
            server.certificate_verify(&key(&peers.laptop)),
        ];
        complete(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotTrusted);
    for stranger in [false, true] {
        let error = expect_refusal(async |server, peers| {
            server.hello().await;
            let mut messages = vec![
                server.encrypted_extensions(),
                server.certificate(&[peers.trusted()]),
                server.certificate_verify(&key(&peers.laptop)),
            ];
            messages.push(match stranger {
                true => server.certificate(&[peers.stranger.certificate().der()]),
                false => server.certificate_verify(&key(&peers.stranger)),
            });
            complete(server, &messages).await;
        });
        assert_eq!(error.await, HandshakeError::NotProven);
    }
}

#[tokio::test]
async fn messages_in_the_clear() {
    let error = expect_refusal(async |server, peers| {
        server.hello().await;
        for message in [
            server.encrypted_extensions(),
            server.certificate(&[peers.trusted()]),
            server.certificate_verify(&key(&peers.laptop)),
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
async fn records_other_than_a_server_hello() {
    let without_share = [&[2, 0, 0, 46, 3, 3][..], &[9; 32], &[0, 0x13, 1, 0, 0, 6, 0, 0x2b, 0, 2, 3, 4]].concat();
    for (bytes, expected) in [
        (&b"\x16\x03\x03\x00\x04\x08\x00\x00\x00"[..], TLS),
        (b"\x16\x03\x03\x00\x01\x02", TLS),
        (b"\x16\x03\x03\x00\x00", record(Violation::Length)),
        (b"\x16\x03\x03\x10\x27", record(Violation::Length)),
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
        assert_eq!(expect_refusal(async |server, _| server.raw(bytes).await).await, expected, "{bytes:02x?}");
    }
}

#[tokio::test]
async fn disallowed_records_in_the_handshake() {
    for (bytes, expected) in [
        (&b"\x14\x03\x03\x00\x01\x01\x14\x03\x03\x00\x01\x01"[..], Violation::ChangeCipherSpec),
        (b"\x14\x03\x03\x00\x01\x02", Violation::ChangeCipherSpec),
        (b"\x14\x03\x03\x00\x02\x01\x01", Violation::ChangeCipherSpec),
        (b"\x15\x03\x03\x00\x02\x01\x00", Violation::Type),
        (b"\x17\x03\x03\x00\x05\x00\x00\x00\x00\x00", Violation::Length),
        (b"\x17\x03\x03\x10\x27", Violation::Length),
        (b"\x17\x03\x04\x00\x20", Violation::Version),
        (b"\x17\x03\xff\x00\x20", Violation::Version),
        (b"\x00\x03\x03\x00\x20", Violation::Type),
    ] {
        let error = expect_refusal(async |server, _| {
            server.hello().await;
            server.raw(bytes).await;
        });
        assert_eq!(error.await, record(expected), "{bytes:02x?}");
    }
}

#[tokio::test]
async fn encrypted_records_without_content() {
    for (inner, expected) in [(&[][..], record(Violation::Length)), (&[0], TLS), (&[0; 100], TLS), (&[99], TLS)] {
        let error = expect_refusal(async |server, _| {
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
        assert_eq!(
            after_handshake(async |server| server.seal(inner).await).await,
            (vec![], Err(expected)),
            "{inner:?}"
        );
    }
}

#[tokio::test]
async fn application_data_before_the_end_of_the_handshake() {
    let error = expect_refusal(async |server, _| {
        server.hello().await;
        server.sealed(DATA, b"evil").await;
    });
    assert_eq!(error.await, TLS);
}

/// The message gives an unknown sender no access, and a trusted sender harms only its own connection.
#[tokio::test]
async fn encrypted_extensions_after_finished() {
    let error = expect_refusal(async |server, _| {
        server.hello().await;
        let messages = [server.encrypted_extensions(), server.finished(), server.encrypted_extensions()];
        complete(server, &messages).await;
    });
    assert_eq!(error.await, HandshakeError::NotProven);
}
