//! Trusted senders after their part of the handshake: valid ones, and ones that violate TLS, one script per test. Each
//! violation ends the session without a panic, and the board reads nothing more from it.

use waft_receiver::tls::error::{HandshakeError, LinkError, Violation};

use crate::attack::{Peers, after_handshake, key, run_script, send_flight};
use crate::server::{ALERT, CLOSE_NOTIFY, DATA, HANDSHAKE, Server};
use crate::support::Ending;

#[tokio::test]
async fn data_of_a_valid_script_is_read() {
    let (read, end) = after_handshake(async |server| {
        server.sealed(DATA, b"").await;
        server.seal(b"padded\x17\0\0\0").await;
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    })
    .await;
    assert_eq!((read, end), (b"padded".to_vec(), Ok(())));
}

/// Sends a valid flight in records of the given lengths and one for the rest, then `hi`. Returns whether the board
/// reads it.
async fn is_read_in_records(requests: bool, cut: impl Fn(&[Vec<u8>]) -> Vec<usize>) -> bool {
    let run = run_script(async |server: &mut Server, peers: &Peers| {
        server.hello().await;
        let mut flight = vec![server.encrypted_extensions()];
        flight.extend(requests.then(|| server.certificate_request()));
        flight.push(server.certificate(&[peers.trusted()]));
        flight.push(server.certificate_verify(&key(&peers.laptop)));
        flight.push(server.finished());
        let (all, lengths) = (flight.concat(), cut(&flight));
        let mut rest = &all[..];
        for length in lengths {
            let (record, tail) = rest.split_at(length);
            server.sealed(HANDSHAKE, record).await;
            rest = tail;
        }
        if !rest.is_empty() {
            server.sealed(HANDSHAKE, rest).await;
        }
        server.finish();
        server.sealed(DATA, b"hi").await;
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    });
    run.await.0 == Ending::Read("laptop0".to_owned(), b"hi".to_vec(), Ok(()))
}

#[tokio::test]
async fn a_flight_may_be_in_one_record_or_in_several() {
    assert!(is_read_in_records(true, |_| vec![]).await);
    assert!(is_read_in_records(true, |flight| flight.iter().map(Vec::len).collect()).await);
    assert!(is_read_in_records(true, |flight| vec![flight[0].len() + flight[1].len()]).await);
}

/// embedded-tls does not reassemble a message that is split over two records.
#[tokio::test]
async fn a_message_that_is_split_over_two_records_is_refused() {
    assert!(!is_read_in_records(true, |flight| vec![flight[0].len() + flight[1].len() + 100]).await);
}

/// The board sends no certificate then, but it has authenticated the sender.
#[tokio::test]
async fn data_of_a_sender_that_requests_no_certificate_is_read() {
    assert!(is_read_in_records(false, |_| vec![]).await);
}

#[tokio::test]
async fn records_in_the_clear_after_the_handshake() {
    for (kind, body) in
        [(ALERT, CLOSE_NOTIFY), (HANDSHAKE, b"\x08\x00\x00\x02\x00\x00"), (HANDSHAKE, b"\x18\0\0\x01\0")]
    {
        let (read, end) = after_handshake(async |server| {
            server.plain(kind, body).await;
            server.sealed(DATA, b"evil").await;
        })
        .await;
        assert_eq!((read, end), (vec![], Err(LinkError::Record(Violation::Type))), "{body:?}");
    }
    let (read, end) = after_handshake(async |server| server.raw(&[20, 3, 3, 0, 1, 1]).await).await;
    assert_eq!((read, end), (vec![], Err(LinkError::Record(Violation::ChangeCipherSpec))));
}

/// On some of these messages embedded-tls panics with `unimplemented!()`. Real senders send none of them.
#[tokio::test]
async fn encrypted_handshake_messages_after_the_handshake() {
    for message in [
        &b"\x08\x00\x00\x02\x00\x00"[..],                                  // EncryptedExtensions
        b"\x18\x00\x00\x01\x00",                                           // KeyUpdate
        b"\x04\x00\x00\x40\x00\x00",                                       // the start of a NewSessionTicket
        b"\x04\x00\x00\x0f\0\0\0\x09\0\0\0\0\x00\x00\x02\xaa\xbb\x00\x00", // a complete NewSessionTicket
        b"",
    ] {
        let (read, end) = after_handshake(async |server| {
            server.sealed(HANDSHAKE, message).await;
            server.sealed(DATA, b"evil").await;
        })
        .await;
        assert_eq!((read, end), (vec![], Err(LinkError::Tls)), "{message:02x?}");
    }
}

#[tokio::test]
async fn the_end_without_a_close_notify() {
    assert_eq!(after_handshake(async |_| ()).await, (vec![], Err(LinkError::Closed)));
    let (read, end) = after_handshake(async |server| server.raw(b"\x17\x03\x03\x00\x20\x00").await).await;
    assert_eq!((read, end), (vec![], Err(LinkError::Closed)));
    let (read, end) = after_handshake(async |server| server.sealed(ALERT, &[2, 80]).await).await;
    assert_eq!((read, end), (vec![], Err(LinkError::Alert)));
}

/// A sender that sends no data may have replayed a recorded handshake.
#[tokio::test]
async fn an_authenticated_sender_that_sends_no_data() {
    let (ending, _) = run_script(send_flight).await;
    assert_eq!(ending, Ending::Refused(HandshakeError::Link(LinkError::Closed)));
    let close_notify = run_script(async |server: &mut Server, peers: &Peers| {
        send_flight(server, peers).await;
        server.finish();
        server.sealed(ALERT, CLOSE_NOTIFY).await;
    });
    assert_eq!(close_notify.await.0, Ending::Refused(HandshakeError::Link(LinkError::Closed)));
}

#[tokio::test]
async fn a_forged_record() {
    let (read, end) = after_handshake(async |server| {
        server.raw(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).await;
        server.sealed(DATA, b"evil").await;
    })
    .await;
    assert_eq!((read, end), (vec![], Err(LinkError::Tls)));
}
