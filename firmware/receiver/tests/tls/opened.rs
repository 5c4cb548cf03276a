//! Trusted senders that break TLS after the handshake, one script a test. Each ends the session, never in a panic, and
//! is not listened to anymore.

use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};

use crate::attack::{Cast, after, key, play, prove};
use crate::server::{ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, Server};
use crate::support::Ending;

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

/// An honest flight, in records of these lengths and one for the rest; `hi` behind it. Whether the board hears it.
async fn heard_in_records(requests: bool, cut: impl Fn(&[Vec<u8>]) -> Vec<usize>) -> bool {
    let played = play(async |server: &mut Server, cast: &Cast| {
        server.hello().await;
        let mut flight = vec![server.encrypted_extensions()];
        flight.extend(requests.then(|| server.certificate_request()));
        flight.push(server.certificate(&[cast.trusted()]));
        flight.push(server.certificate_verify(&key(&cast.laptop)));
        flight.push(server.finished());
        let (all, lengths) = (flight.concat(), cut(&flight));
        let mut rest = &all[..];
        for length in lengths {
            let (record, behind) = rest.split_at(length);
            server.sealed(HANDSHAKE, record).await;
            rest = behind;
        }
        if !rest.is_empty() {
            server.sealed(HANDSHAKE, rest).await;
        }
        server.finish();
        server.sealed(DATA, b"hi").await;
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    });
    played.await.0 == Ending::Read("laptop0".to_owned(), b"hi".to_vec(), Ok(()))
}

#[tokio::test]
async fn a_flight_comes_in_one_record_or_in_several() {
    assert!(heard_in_records(true, |_| vec![]).await);
    assert!(heard_in_records(true, |flight| flight.iter().map(Vec::len).collect()).await);
    assert!(heard_in_records(true, |flight| vec![flight[0].len() + flight[1].len()]).await);
}

/// embedded-tls does not put the parts of a message together.
#[tokio::test]
async fn a_message_that_crosses_the_end_of_a_record_is_refused() {
    assert!(!heard_in_records(true, |flight| vec![flight[0].len() + flight[1].len() + 100]).await);
}

/// That is its own affair: the board knows who sends.
#[tokio::test]
async fn a_sender_that_requests_no_certificate_is_listened_to() {
    assert!(heard_in_records(false, |_| vec![]).await);
}

#[tokio::test]
async fn records_in_the_clear_after_the_handshake() {
    for (kind, body) in
        [(ALERT, CLOSE_NOTIFY), (HANDSHAKE, b"\x08\x00\x00\x02\x00\x00"), (HANDSHAKE, b"\x18\0\0\x01\0")]
    {
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
        &b"\x08\x00\x00\x02\x00\x00"[..],                                  // EncryptedExtensions
        b"\x18\x00\x00\x01\x00",                                           // KeyUpdate
        b"\x04\x00\x00\x40\x00\x00",                                       // the beginning of a NewSessionTicket
        b"\x04\x00\x00\x0f\0\0\0\x09\0\0\0\0\x00\x00\x02\xaa\xbb\x00\x00", // a whole one
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
