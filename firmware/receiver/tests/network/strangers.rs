//! Strangers in numbers: how long they keep a trusted sender out.
//!
//! The sender does as `waft send`: where the board refuses, closes, or says that it is busy, it tries again a quarter of
//! a second later.

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

/// Trusted senders that come one after the other, in each test.
const SENDERS: usize = 10;
/// Those of them that may come too late.
const LATE: usize = 1;
/// How long a stranger stays, unless the board ends it.
const STAYS: Duration = Duration::from_secs(2);
/// Until a sender tries again, and up to so much more: where that took as long each time, it could come in step with the
/// board, and always find it busy.
const RETRY: Duration = Duration::from_millis(125);
const RETRY_VARIES_MS: u32 = 250;
/// How long a sender waits for the ClientHello, and then for the end of the handshake.
const ANSWER: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(15);

/// What a stranger does.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Sends a SYN from an address at which nobody is.
    Syn,
    /// Connects, and says nothing.
    Silent,
    /// Connects, and says something else.
    Other,
    /// Connects, and says a byte of the preface now and then.
    Slow,
    /// Says the preface, then nothing.
    Preface,
    /// Says the preface, then what is no TLS.
    NoTls,
    /// Shows the trusted sender's certificate, which is no secret, and signs with another key.
    Certificate,
    /// Each time another one of these.
    Mixed,
}

use Kind::{Certificate, Mixed, NoTls, Other, Preface, Silent, Slow, Syn};

const ALL: [Kind; 7] = [Syn, Silent, Other, Slow, Preface, NoTls, Certificate];

/// A stranger comes, does what it does, and goes.
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

/// Waits until the board ends the connection.
async fn stay(mut socket: TcpSocket<'static>) {
    let ended = async { while let Ok(1..) = socket.read(&mut [0; 64]).await {} };
    let _ = timeout(STAYS, ended).await;
    reset(socket).await;
}

/// Goes as far as one can go with a certificate, and without its key.
async fn impostor(stream: DuplexStream, sender: &Keys) {
    if let Some(server) = shake_hands(stream, sender, &SigningKey::random(&mut OsRng)).await {
        let _ = timeout(STAYS, server.end()).await;
    }
}

/// Says the preface, and answers the board's ClientHello with this sender's certificate and a signature by `key`.
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

/// The key of a sender's certificate.
pub(crate) fn key(sender: &Keys) -> SigningKey {
    SigningKey::from_slice(&*sender.tls_scalar()).unwrap()
}

/// One try to get in; when the board showed its certificate, so long as that is: it does so to a trusted sender alone.
async fn try_once(laptop: &Laptop, sender: &Keys, certificate: usize) -> Option<Instant> {
    let socket = laptop.connect().await.ok()?;
    let session = async |stream| {
        let mut server = shake_hands(stream, sender, &key(sender)).await?;
        if !timeout(HANDSHAKE_LIMIT, server.receive_bytes(certificate)).await.unwrap_or(false) {
            return None;
        }
        let now = Instant::now();
        server.finish();
        // It ends the session, as no sender does.
        server.sealed(DATA, b"no message").await;
        sleep(STAYS).await;
        Some(now)
    };
    laptop.carried(socket, session).await
}

/// How long each of so many senders takes to get in, under so many strangers a second.
async fn measure(kind: Kind, a_second: u32, limit: Duration) {
    let (sender, kitchen) = (Rc::new(Keys::generate()), Keys::generate());
    let mut identity = board(&kitchen, &[&sender]);
    (identity.policy.key, identity.policy.code) = (KeyPolicy::Sealed, false);
    let certificate = kitchen.certificate().der().len();
    let took = boot(&identity, async |scene| {
        let laptop = scene.laptop.clone();
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

/// Strangers of a kind, for ever.
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
