//! Senders that break the handshake on purpose, one script a test. Each ends in a refused session, never in a panic,
//! and none that did not prove its key sees the board's certificate or is listened to.

use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};

use crate::attack::{TLS, after, insist, key, record, refused};
use crate::server::{DATA, HANDSHAKE};

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
