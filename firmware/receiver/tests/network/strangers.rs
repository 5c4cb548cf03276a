//! Tests how long many untrusted peers keep a trusted sender out.
//!
//! The sender behaves as `waft send`: if the board refuses, closes or reports *busy*, the sender tries again about a
//! quarter of a second later.

use std::rc::Rc;
use std::time::Duration;

use embassy_net::tcp::TcpSocket;
use embedded_io_async::Write as _;
use p256::ecdsa::SigningKey;
use rand_core::{OsRng, RngCore};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use waft::identity::Identity as Keys;
use waft_core::wire::preface::preface;
use waft_receiver::board::PORT;
use waft_receiver::identity::KeyPolicy;

use crate::board::{BOARD, BOARD_MAC, Laptop, boot, reset};
use crate::server::{DATA, HANDSHAKE, Server};
use crate::support::board;
use crate::wire::syn;

/// The trusted senders in each test, one after the other.
const SENDERS: usize = 10;
/// The number of them that may exceed the time limit.
const LATE: usize = 1;
/// How long an untrusted peer stays connected, unless the board ends the connection.
const STAYS: Duration = Duration::from_secs(2);
/// The shortest time between two attempts of a sender, and the most that is added at random. With a constant time, a
/// sender could get in step with the board and find it busy each time.
const RETRY: Duration = Duration::from_millis(125);
const RETRY_VARIES_MS: u32 = 250;
/// How long a sender waits for the ClientHello, and then for the end of the handshake.
const ANSWER: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// The behaviour of an untrusted peer.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Sends a SYN with a source address that does not exist.
    Syn,
    /// Connects, and sends nothing.
    Silent,
    /// Connects, and sends another protocol.
    Other,
    /// Connects, and sends the preface slowly, byte by byte.
    Slow,
    /// Sends the preface, and nothing else.
    Preface,
    /// Sends the preface, and then bytes that are not TLS.
    NoTls,
    /// Presents the trusted sender's certificate, which is not secret, but signs with another key.
    Certificate,
    /// Uses the other kinds in turn.
    Mixed,
}

use Kind::{Certificate, Mixed, NoTls, Other, Preface, Silent, Slow, Syn};

const ALL: [Kind; 7] = [Syn, Silent, Other, Slow, Preface, NoTls, Certificate];

/// Runs one untrusted peer from its connection to its end.
async fn stranger(kind: Kind, laptop: Laptop, sender: Rc<Keys>) {
    if let Syn = kind {
        let number = OsRng.next_u32().to_be_bytes();
        let from = [192, 168, 7, 10 + number[0] % 200];
        let port = 1024 | u16::from_be_bytes([number[1], number[2]]);
        return laptop.port.send(syn((BOARD_MAC, BOARD, PORT), (from, port)));
    }
    let Ok(mut socket) = laptop.connect().await else { return };
    match kind {
        Syn | Silent | Mixed => {}
        Other => _ = socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await,
        Slow => {
            for byte in preface() {
                let _ = socket.write_all(&[byte]).await;
                sleep(STAYS / 10).await;
            }
        }
        Preface => _ = socket.write_all(&preface()).await,
        NoTls => _ = socket.write_all(&[&preface()[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"].concat()).await,
        Certificate => return laptop.carried(socket, async |stream| impostor(stream, &sender).await).await,
    }
    stay(socket).await;
}

/// Waits until the board ends the connection, or for [`STAYS`].
async fn stay(mut socket: TcpSocket<'static>) {
    let ended = async { while let Ok(1..) = socket.read(&mut [0; 64]).await {} };
    let _ = timeout(STAYS, ended).await;
    reset(socket).await;
}

/// Continues the handshake as far as possible with a certificate but without its key.
async fn impostor(stream: DuplexStream, sender: &Keys) {
    if let Some(server) = shake_hands(stream, sender, &SigningKey::random(&mut OsRng)).await {
        let _ = timeout(STAYS, server.end()).await;
    }
}

/// Sends the preface, and answers the board's ClientHello with this sender's certificate and a signature by `key`.
pub(crate) async fn shake_hands(
    mut stream: DuplexStream,
    sender: &Keys,
    key: &SigningKey,
) -> Option<Server<DuplexStream>> {
    stream.write_all(&preface()).await.ok()?;
    let mut server = timeout(ANSWER, Server::try_accept(stream)).await.ok()?.ok()?;
    server.hello().await;
    let flight = [
        server.encrypted_extensions(),
        server.certificate_request(),
        server.certificate(&[sender.certificate().der()]),
        server.certificate_verify(key),
        server.finished(),
    ];
    server.sealed(HANDSHAKE, &flight.concat()).await;
    Some(server)
}

/// The private key of a sender's certificate.
pub(crate) fn key(sender: &Keys) -> SigningKey {
    SigningKey::from_slice(&*sender.tls_scalar()).unwrap()
}

/// Tries once to get a session. Returns the time at which `certificate` bytes had arrived, the length of the board's
/// certificate, which the board shows only to a trusted sender.
async fn try_once(laptop: &Laptop, sender: &Keys, certificate: usize) -> Option<Instant> {
    let socket = laptop.connect().await.ok()?;
    let session = async |stream| {
        let mut server = shake_hands(stream, sender, &key(sender)).await?;
        if !timeout(HANDSHAKE_LIMIT, server.receive_bytes(certificate)).await.unwrap_or(false) {
            return None;
        }
        let now = Instant::now();
        server.finish();
        // This message violates the protocol, and thus ends the session.
        server.sealed(DATA, b"no message").await;
        sleep(STAYS).await;
        Some(now)
    };
    laptop.carried(socket, session).await
}

/// Measures how long each sender takes to get in, while `a_second` untrusted peers connect per second.
async fn measure(kind: Kind, a_second: u32, limit: Duration) {
    let (sender, kitchen) = (Rc::new(Keys::generate()), Keys::generate());
    let mut identity = board(&kitchen, &[&sender]);
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let certificate = kitchen.certificate().der().len();
    let took = boot(&identity, async |fixture| {
        let laptop = fixture.laptop.clone();
        let crowd = crowd(kind, a_second, laptop.clone(), &sender);
        let senders = async {
            let mut took = Vec::new();
            for _ in 0..SENDERS {
                sleep(Duration::from_millis(1_000 + u64::from(OsRng.next_u32() % 1_000))).await;
                let begun = Instant::now();
                let entered = loop {
                    if let Some(entered) = try_once(&laptop, &sender, certificate).await {
                        break entered;
                    }
                    if begun.elapsed() > 4 * limit {
                        break Instant::now();
                    }
                    sleep(RETRY + Duration::from_millis(u64::from(OsRng.next_u32() % RETRY_VARIES_MS))).await;
                };
                took.push(entered - begun);
            }
            took
        };
        tokio::select! {
            () = crowd => unreachable!("it never ends"),
            took = senders => took,
        }
    })
    .await;
    println!("{kind:?} at {a_second} a second: {took:?}");
    assert!(took.iter().filter(|took| **took > limit).count() <= LATE, "{kind:?} at {a_second} a second: {took:?}");
}

/// Starts untrusted peers at a constant rate, forever.
async fn crowd(kind: Kind, a_second: u32, laptop: Laptop, sender: &Rc<Keys>) {
    let mut ticks = interval(Duration::from_secs(1) / a_second);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0.. {
        ticks.tick().await;
        let kind = if let Mixed = kind { ALL[number % ALL.len()] } else { kind };
        let (laptop, sender) = (laptop.clone(), sender.clone());
        spawn_local(stranger(kind, laptop, sender));
    }
}

macro_rules! under {
    ($($name:ident: $kind:expr, $a_second:expr, $seconds:expr;)*) => {$(
        #[tokio::test(start_paused = true)]
        async fn $name() {
            LocalSet::new().run_until(measure($kind, $a_second, Duration::from_secs($seconds))).await;
        }
    )*};
}

under! {
    syns: Syn, 20, 10;
    silence: Silent, 20, 10;
    other_protocols: Other, 20, 10;
    slow_prefaces: Slow, 20, 10;
    prefaces: Preface, 20, 10;
    no_tls: NoTls, 20, 10;
    certificates: Certificate, 20, 10;
    all_kinds: Mixed, 20, 10;
    many_syns: Syn, 100, 30;
    much_silence: Silent, 100, 30;
    many_other_protocols: Other, 100, 30;
    many_slow_prefaces: Slow, 100, 30;
    many_prefaces: Preface, 100, 30;
    much_that_is_no_tls: NoTls, 100, 30;
    many_certificates: Certificate, 100, 30;
    many_of_all_kinds: Mixed, 100, 30;
}
