//! Peers that are not trusted senders: which answers they get, and that they do not keep trusted senders out.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::join;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use waft::preface::PrefaceError;
use waft_core::wire::preface::{ClearRefusal, TLS_HANDSHAKE, preface};
use waft_receiver::identity::KeyPolicy;

use crate::archive::{Archive, archive, tree};
use crate::board::Powered;
use crate::laptop::{Laptop, Outcome};
use crate::transfers::{folder, laptop_and_board};

/// Sends `bytes`, and returns everything that the board answers.
async fn answer_to(at: std::net::SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = Vec::new();
    // The board may reset or close the connection.
    let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.unwrap();
    answer
}

/// Sends as `waft send` does, which tries again while the board is busy.
async fn send_patiently(laptop: &Laptop, at: std::net::SocketAddr, folder: &Archive) -> Outcome {
    loop {
        match laptop.send(at, folder, "", None).await {
            Outcome::NotAccepted(PrefaceError::Closed | PrefaceError::Refused(ClearRefusal::Busy))
            | Outcome::Unsecured => {
                sleep(Duration::from_millis(250)).await;
            }
            outcome => return outcome,
        }
    }
}

#[tokio::test]
async fn what_is_no_preface_gets_no_answer() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"WAFT\x01\0\0\x01", b"\x16\x03\x01\x02\0\x01\0\x01\xfc"] {
                assert_eq!(answer_to(fixture.address, bytes).await, b"");
            }
            assert_eq!(answer_to(fixture.address, b"WAFT\0\0\0\0").await, ClearRefusal::Purpose.to_bytes());
        })
        .await;
}

#[tokio::test]
async fn silent_strangers_make_room() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let mut strangers = Vec::new();
            for _ in 0..12 {
                strangers.push(TcpStream::connect(fixture.address).await.unwrap());
            }
            let sent = timeout(Duration::from_secs(30), laptop.send(fixture.address, &folder, "", None)).await.unwrap();
            assert_eq!(sent.receipt().digest, folder.root);
        })
        .await;
}

/// A slow peer is accepted while there is room.
#[tokio::test]
async fn a_preface_may_come_in_pieces() {
    let (_, identity) = laptop_and_board();
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let mut stream = TcpStream::connect(fixture.address).await.unwrap();
            let bytes = preface();
            let (early, late) = bytes.split_at(5);
            stream.write_all(early).await.unwrap();
            sleep(Duration::from_millis(600)).await;
            stream.write_all(late).await.unwrap();
            let mut first = [0];
            stream.read_exact(&mut first).await.unwrap();
            assert_eq!(first, [TLS_HANDSHAKE]);
        })
        .await;
}

#[tokio::test]
async fn who_does_not_prove_anything_yields_the_place() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let mut stranger = TcpStream::connect(fixture.address).await.unwrap();
            stranger.write_all(&preface()).await.unwrap();
            let mut first = [0];
            stranger.read_exact(&mut first).await.unwrap();
            assert_eq!(first, [TLS_HANDSHAKE], "it gets the session");
            // Less than the deadline of a handshake.
            let sent = timeout(Duration::from_secs(10), laptop.send(fixture.address, &folder, "", None)).await.unwrap();
            assert_eq!(sent.receipt().digest, folder.root);
        })
        .await;
}

#[tokio::test]
async fn strangers_who_come_again_and_again_do_not_keep_a_sender_out() {
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |fixture| {
            let stranger = async || loop {
                answer_to(fixture.address, &preface()).await;
            };
            let sent = async {
                // By then they occupy all sockets for sessions but one.
                sleep(Duration::from_millis(300)).await;
                timeout(Duration::from_secs(30), send_patiently(&laptop, fixture.address, &folder)).await.unwrap()
            };
            tokio::select! {
                _ = async { join!(stranger(), stranger()) } => unreachable!("they never stop"),
                sent = sent => assert_eq!(sent.receipt().digest, folder.root),
            }
        })
        .await;
}

#[tokio::test]
async fn while_one_sends_others_hear_busy_and_a_stranger_learns_nothing() {
    let (laptop, identity) = laptop_and_board();
    let other = Laptop { keys: waft::identity::Identity::generate(), ..laptop_and_board().0 };
    let folder = folder(1);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            let code = fixture.user.reads_code().await;
            let sending = laptop.send(fixture.address, &folder, &code, None);
            let others = async {
                fixture.user.sees("Type the key").await;
                for _ in 0..5 {
                    let outcome = other.send(fixture.address, &folder, "", None).await;
                    assert!(
                        matches!(outcome, Outcome::NotAccepted(PrefaceError::Refused(ClearRefusal::Busy))),
                        "{outcome:?}"
                    );
                    assert_eq!(answer_to(fixture.address, b"SSH-2.0-OpenSSH").await, b"");
                }
                fixture.user.types(&laptop.key.display().to_string()).await;
            };
            let (outcome, ()) = join!(sending, others);
            assert_eq!(outcome.receipt().digest, folder.root);
            let outcome = other.send(fixture.address, &folder, "", None).await;
            assert!(matches!(outcome, Outcome::Unsecured), "{outcome:?}");
            fixture.user.sees("A connection was refused: it is not trusted here.").await;
        })
        .await;
}

#[tokio::test]
async fn a_flood_of_strangers_is_reported_in_few_lines_and_drops_no_notice() {
    const STRANGERS: u32 = 20;
    let (laptop, mut identity) = laptop_and_board();
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let tiny = archive(tree(1, &[1]), 100);
    Powered::new(16)
        .boot(Ok(&identity), async |mut fixture| {
            // The console's output is not read until the pipe is full, so the console blocks.
            for _ in 0..300 {
                fixture.user.types("help").await;
            }
            laptop.send(fixture.address, &tiny, "", None).await.receipt();
            flood(fixture.address, STRANGERS).await;
            fixture.user.sees("laptop0 connected.").await;
            let mut seen = fixture.user.sees("The folder is in place").await;
            // And again, once the console has caught up and could report each refusal at once.
            fixture.user.types("release").await;
            seen += &fixture.user.sees("Nothing is held.").await;
            flood(fixture.address, STRANGERS).await;
            while count_reported_refusals(&seen).0 < 2 * STRANGERS {
                seen += &fixture.user.sees(": the connection broke.").await;
            }
            let (strangers, lines) = count_reported_refusals(&seen);
            assert!(strangers == 2 * STRANGERS && lines < 10, "{strangers} in {lines} lines");
        })
        .await;
}

/// The number of refused peers that a console reported, and the number of lines.
fn count_reported_refusals(seen: &str) -> (u32, u32) {
    let line = |line: &str| match line.split_once(" more connections were refused. The last one: ") {
        Some((before, _)) => before.rsplit('K').next().and_then(|count| count.parse().ok()),
        None => line.contains("A connection was refused: ").then_some(1),
    };
    seen.lines().filter_map(line).fold((0, 0), |(strangers, lines), more: u32| (strangers + more, lines + 1))
}

/// Untrusted peers that get the session and then disconnect.
async fn flood(at: std::net::SocketAddr, strangers: u32) {
    for _ in 0..strangers {
        let mut stranger = TcpStream::connect(at).await.unwrap();
        stranger.write_all(&preface()).await.unwrap();
        stranger.read_exact(&mut [0]).await.unwrap();
    }
}
