//! Tests of a board against the real sender: which senders are accepted, and which error each side gets.

use embedded_io_async::{Read, Write};
use rand_core::OsRng;
use waft::identity::Identity as Keys;
use waft::name::Name;
use waft::tls::Authenticated;
use waft::tls::error::{HandshakeError as AtSender, Rejection};
use waft::tls::pins::Pins;
use waft::tls::sender;
use waft::trust::{Peer, Trust};
use waft_core::session::Link;
use waft_receiver::tls::error::HandshakeError;
use waft_receiver::tls::link::TlsLink;
use waft_receiver::tls::suite::{Aes128GcmSha256, ChaCha20Poly1305Sha256, Suite};
use waft_receiver::tls::wire::Wire;
use waft_receiver::tls::{Buffers, authenticate};

use crate::support::{Ending, Socket, TokioClock, board, connected, read_all};

fn pins(own: &Keys, receiver: &Keys) -> Pins {
    let name = Name::new("kitchen").unwrap();
    let certificate = receiver.certificate().clone();
    let peer = Peer { name: name.clone(), certificate, sends: false, receives: true, at: None, last: None };
    let mut trust = Trust::default();
    trust.add(peer, own.certificate()).unwrap();
    Pins::receiver(trust, &name)
}

/// A sender that sends `data` and `close_notify` to a board. Returns the sender's error, and how the board ended.
async fn transfer<S: Suite>(
    laptop: &Keys,
    pins: Pins,
    board: &waft_receiver::identity::Identity,
    data: &[u8],
) -> (Option<AtSender>, Ending) {
    let (dialled, accepted) = connected().await;
    let sending = async {
        match sender::authenticate(dialled, laptop, pins).await {
            Ok(Authenticated { mut link, .. }) => {
                link.write_all(data).await.unwrap();
                link.flush().await.unwrap();
                link.close().await;
                None
            }
            Err(error) => Some(error),
        }
    };
    tokio::join!(sending, read_all::<S>(accepted, board))
}

#[tokio::test]
async fn a_trusted_sender_is_accepted_with_either_suite() {
    let (other, laptop, kitchen) = (Keys::generate(), Keys::generate(), Keys::generate());
    let board = board(&kitchen, &[&other, &laptop]);
    let data: Vec<u8> = (0..100_000u32).map(|at| (at / 5) as u8).collect();
    let expected = Ending::Read("laptop1".into(), data.clone(), Ok(()));
    let (error, ending) = transfer::<Aes128GcmSha256>(&laptop, pins(&laptop, &kitchen), &board, &data).await;
    assert!(error.is_none() && ending == expected, "{error:?}");
    let (error, ending) = transfer::<ChaCha20Poly1305Sha256>(&laptop, pins(&laptop, &kitchen), &board, &data).await;
    assert!(error.is_none() && ending == expected, "{error:?}");
}

#[tokio::test]
async fn an_unknown_sender_learns_that_it_is_unknown() {
    let (stranger, laptop, kitchen) = (Keys::generate(), Keys::generate(), Keys::generate());
    let board = board(&kitchen, &[&laptop]);
    let (error, ending) = transfer::<Aes128GcmSha256>(&stranger, pins(&stranger, &kitchen), &board, b"!").await;
    assert_eq!(ending, Ending::Refused(HandshakeError::NotTrusted));
    assert!(matches!(error, Some(AtSender::Rejected(Rejection::Certificate))), "{error:?}");
}

#[tokio::test]
async fn a_sender_that_does_not_trust_the_board_rejects_it() {
    let (laptop, kitchen, bath) = (Keys::generate(), Keys::generate(), Keys::generate());
    let (error, ending) =
        transfer::<ChaCha20Poly1305Sha256>(&laptop, pins(&laptop, &bath), &board(&kitchen, &[&laptop]), b"!").await;
    assert_eq!(ending, Ending::Refused(HandshakeError::Rejected));
    assert!(matches!(error, Some(AtSender::NotTrusted(_))), "{error:?}");
}

#[tokio::test]
async fn a_board_without_the_key_of_its_certificate_is_refused() {
    let (laptop, kitchen, thief) = (Keys::generate(), Keys::generate(), Keys::generate());
    let mut stolen = board(&thief, &[&laptop]);
    stolen.certificate = heapless::Vec::from_slice(kitchen.certificate().der()).unwrap();
    let (error, ending) = transfer::<Aes128GcmSha256>(&laptop, pins(&laptop, &kitchen), &stolen, b"!").await;
    assert_eq!(ending, Ending::Refused(HandshakeError::Rejected));
    assert!(matches!(error, Some(AtSender::NotItsKey { .. })), "{error:?}");
}

#[tokio::test]
async fn a_board_waits_for_data_reads_it_and_answers() {
    let (laptop, kitchen) = (Keys::generate(), Keys::generate());
    let (dialled, accepted) = connected().await;
    let board = board(&kitchen, &[&laptop]);
    let question: Vec<u8> = (0..30_000u32).map(|at| (at / 3) as u8).collect();
    let answer: Vec<u8> = question.iter().rev().copied().collect();
    let sending = async {
        let mut link = sender::authenticate(dialled, &laptop, pins(&laptop, &kitchen)).await.unwrap().link;
        for piece in question.chunks(7001) {
            link.write_all(piece).await.unwrap();
            link.flush().await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut read = vec![0; answer.len()];
        link.read_exact(&mut read).await.unwrap();
        assert!(read == answer);
        assert_eq!(link.read(&mut read).await.unwrap(), 0, "the board sends close_notify");
    };
    let receiving = async {
        let (mut wire, mut buffers) = (Wire::new(Socket(accepted)), Buffers::new());
        let (mut rng, clock) = (OsRng, TokioClock::new());
        let mut place = None;
        let secured =
            authenticate::<_, ChaCha20Poly1305Sha256>(&mut place, &mut wire, &mut buffers, &board, &mut rng, &clock);
        let link = secured.await.unwrap().link;
        let (mut read, mut at) = (vec![0; question.len()], 0);
        while at < read.len() {
            for _ in 0..3 {
                // A wait that is cancelled at once loses no data.
                let _ = embassy_futures::poll_once(link.readable());
            }
            link.readable().await.unwrap();
            let end = read.len().min(at + 1 + at % 1000);
            at += link.read(&mut read[at..end]).await.unwrap();
        }
        assert!(read == question);
        link.write_all(&answer).await.unwrap();
        link.flush().await.unwrap();
        TlsLink::close(&mut place).await;
    };
    tokio::join!(sending, receiving);
}

#[tokio::test(start_paused = true)]
async fn a_silent_sender_times_out() {
    let (_dialled, accepted) = connected().await;
    let (laptop, kitchen) = (Keys::generate(), Keys::generate());
    let ending = read_all::<Aes128GcmSha256>(accepted, &board(&kitchen, &[&laptop])).await;
    assert_eq!(ending, Ending::Refused(HandshakeError::TimedOut));
}
