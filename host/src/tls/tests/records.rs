//! The records of TLS that carry a frame, counted on their way.

use super::*;

/// Forwards bytes between two streams. Returns those that went from `from` to `to`.
pub(super) async fn overhear(mut from: TcpStream, mut to: TcpStream) -> Vec<u8> {
    let ((mut from_read, mut from_write), (mut to_read, mut to_write)) = (from.split(), to.split());
    let mut heard = Vec::new();
    let forth = async {
        let mut buffer = [0; 4096];
        while let count @ 1.. = from_read.read(&mut buffer).await.unwrap_or(0) {
            heard.extend_from_slice(&buffer[..count]);
            to_write.write_all(&buffer[..count]).await.unwrap();
        }
        to_write.shutdown().await.unwrap();
    };
    tokio::join!(forth, async { tokio::io::copy(&mut to_read, &mut from_write).await.unwrap() });
    heard
}

/// Type and length of each record.
pub(super) fn records(mut heard: &[u8]) -> Vec<(u8, usize)> {
    let mut found = Vec::new();
    while let [kind, _, _, high, low, rest @ ..] = heard {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        found.push((*kind, length));
        heard = &rest[length..];
    }
    found
}

/// The records that a sender writes to send one frame of 64 KiB.
async fn records_of_a_frame(alpn: &'static [u8]) -> Vec<(u8, usize)> {
    let (sender, receiver) = trusting_peers();
    let ((dialled, ear), (mouth, accepted)) = (connected().await, connected().await);
    let sending = async {
        let mut laptop = sender::authenticate(dialled, &sender.identity, sender.pins.clone()).await.unwrap();
        laptop.link.write_all(&[7; 65_557]).await.unwrap();
        laptop.link.flush().await.unwrap();
        laptop.link.close().await;
    };
    let receiving = async {
        let mut kitchen = receiver::handshake(accepted, &receiver.identity, receiver.pins.clone(), alpn).await.unwrap();
        let mut frame = vec![0; 65_557];
        kitchen.link.read_exact(&mut frame).await.unwrap();
        assert!(frame.iter().all(|byte| *byte == 7));
        kitchen.link.close().await;
    };
    let (heard, (), ()) = tokio::join!(overhear(ear, mouth), sending, receiving);
    records(&heard)
}

#[tokio::test]
async fn records_for_a_board_fit_its_buffer() {
    let records = records_of_a_frame(ALPN_4K).await;
    // ServerHello, the dummy ChangeCipherSpec, and the whole rest of the flight in one record.
    assert_eq!((records[0].0, records[1], records[2].0), (22, (20, 1), 23), "{records:?}");
    let frame: Vec<usize> = records[3..].iter().map(|(_, length)| *length).collect();
    let full = RECORD_4K + 1 + 16;
    assert_eq!(frame[..15], [full; 15], "no ticket comes first, and records are full: {records:?}");
    assert_eq!(frame[15..], [65_557 - 15 * RECORD_4K + 17, 2 + 17], "{records:?}");
}

#[tokio::test]
async fn records_for_a_computer_are_as_long_as_can_be() {
    let records = records_of_a_frame(ALPN).await;
    let frame: Vec<usize> = records[3..].iter().map(|(_, length)| *length).collect();
    let full = 16_384 + 17;
    assert_eq!(frame, [full, full, full, full, 65_557 - 4 * 16_384 + 17, 2 + 17]);
}
