//! Peers that speak an older TLS, something else, or nothing.

use super::*;

/// The sender's result for a receiver that sends `bytes` and then nothing more.
async fn sender_hears(bytes: &[u8]) -> (Outcome, Vec<u8>) {
    let (sender, _) = trusting_peers();
    let (dialled, mut accepted) = connected().await;
    accepted.write_all(bytes).await.unwrap();
    accepted.shutdown().await.unwrap();
    let outcome = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await;
    let mut answer = Vec::new();
    // The sender may reset the connection; only the bytes before that count.
    let _ = accepted.read_to_end(&mut answer).await;
    (outcome, answer)
}

/// The receiver's result for a sender that answers its ClientHello with `bytes` and then nothing more.
async fn receiver_hears(bytes: &[u8]) -> Outcome {
    let (_, receiver) = trusting_peers();
    let (mut dialled, accepted) = connected().await;
    let answering = async {
        let _ = dialled.read(&mut [0; 1024]).await.unwrap();
        dialled.write_all(bytes).await.unwrap();
        dialled.shutdown().await.unwrap();
    };
    tokio::join!(answering, receiver::authenticate(accepted, &receiver.identity, receiver.pins.clone())).1
}

/// A ClientHello of TLS 1.2 that offers `waft`.
fn hello_of_tls12() -> Vec<u8> {
    let alpn = b"\x00\x10\x00\x07\x00\x05\x04waft";
    let signatures = b"\x00\x0d\x00\x04\x00\x02\x04\x03";
    let groups = b"\x00\x0a\x00\x04\x00\x02\x00\x17";
    let extensions = [&alpn[..], signatures, groups].concat();
    let mut body = [b"\x03\x03", &[7; 32][..], b"\x00", b"\x00\x02\xc0\x2b", b"\x01\x00"].concat();
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    let message = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, message.len() as u8][..], &message].concat()
}

#[tokio::test]
async fn older_tls_is_refused() {
    let (outcome, answer) = sender_hears(&hello_of_tls12()).await;
    assert!(matches!(outcome, Err(HandshakeError::Incompatible(Error::PeerIncompatible(_)))), "{outcome:?}");
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70], "protocol_version");
    let alert = receiver_hears(&[21, 3, 3, 0, 2, 2, 70]).await;
    assert!(matches!(alert, Err(HandshakeError::Incompatible(Error::AlertReceived(_)))), "{alert:?}");
    let mut server_hello = [&[22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3][..], &[7; 32], &[0, 0xc0, 0x2b, 0]].concat();
    let outcome = receiver_hears(&server_hello).await;
    assert!(matches!(outcome, Err(HandshakeError::Incompatible(Error::PeerIncompatible(_)))), "{outcome:?}");
    server_hello.truncate(20);
    assert!(matches!(receiver_hears(&server_hello).await, Err(HandshakeError::Closed)));
}

#[tokio::test]
async fn bytes_that_are_not_tls_are_reported() {
    for bytes in [&b"\x16\x16\x16\x16\x16\x16\x16\x16"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let (at_sender, _) = sender_hears(bytes).await;
        assert!(matches!(at_sender, Err(HandshakeError::NotTls)), "{at_sender:?}");
        let at_receiver = receiver_hears(bytes).await;
        assert!(matches!(at_receiver, Err(HandshakeError::NotTls)), "{at_receiver:?}");
    }
    assert!(matches!(sender_hears(b"").await.0, Err(HandshakeError::Closed)));
    assert!(matches!(receiver_hears(b"").await, Err(HandshakeError::Closed)));
}

/// embedded-tls 0.19 sends its alert as a ChangeCipherSpec.
#[tokio::test]
async fn a_board_that_breaks_off_is_recognized() {
    let (sender, receiver) = trusting_peers();
    let (dialled, mut accepted) = connected().await;
    let config = ClientConfig::clone(foreign(&[AES], &[ALPN_4K], &receiver, true).config());
    let mut tls = rustls::ClientConnection::new(Arc::new(config), nobody()).unwrap();
    let mut hello = Vec::new();
    tls.write_tls(&mut hello).unwrap();
    let board = async {
        accepted.write_all(&hello).await.unwrap();
        let _ = accepted.read(&mut [0; 4096]).await.unwrap();
        accepted.write_all(&[20, 3, 3, 0, 2, 2, 46]).await.unwrap();
        accepted
    };
    let (outcome, _) = tokio::join!(sender::authenticate(dialled, &sender.identity, sender.pins.clone()), board);
    assert!(matches!(outcome, Err(HandshakeError::Rejected(Rejection::BoardBrokeOff))), "{outcome:?}");
}
