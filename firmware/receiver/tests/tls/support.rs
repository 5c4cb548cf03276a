//! The board under test on a TCP connection, and its identity.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Context;
use std::time::Duration;

use embedded_io_async::{ErrorType, Read, Write};
use p256::ecdsa::SigningKey;
use rand_core::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use waft::identity::Identity as Keys;
use waft_core::sealed::hpke::HpkeSecret;
use waft_core::session::Clock;
use waft_receiver::identity::{Address, Identity, KeyPolicy, Network, Policy, TrustedSender, TrustedSenders};
use waft_receiver::tls::error::{HandshakeError, LinkError};
use waft_receiver::tls::guard::Tcp;
use waft_receiver::tls::suite::Suite;
use waft_receiver::tls::wire::Wire;
use waft_receiver::tls::{Buffers, authenticate};

/// A TCP connection as the board's socket.
pub(crate) struct Socket(pub(crate) TcpStream);

impl ErrorType for Socket {
    type Error = io::Error;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).await
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

impl Tcp for Socket {
    async fn readable(&mut self) -> io::Result<()> {
        self.0.peek(&mut [0]).await.map(drop)
    }
}

/// A clock that follows tokio's time.
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }

    async fn sleep_until(&self, at: u64) {
        tokio::time::sleep_until(self.0 + Duration::from_millis(at)).await;
    }
}

/// Polls a future only with clones of the caller's waker. [`Waker::will_wake`](std::task::Waker::will_wake) may be
/// false between a waker and its clone. A board's channels keep a clone: polled with the original, they would take it
/// for another waker and wake the one that they kept, so the runtime would never become idle.
#[allow(dead_code, reason = "the tests of TLS run no whole board")]
pub(crate) async fn steadily<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| future.as_mut().poll(&mut Context::from_waker(&context.waker().clone()))).await
}

/// Both ends of a TCP connection: the one that connected and the one that was accepted.
pub(crate) async fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (dialled.unwrap(), accepted.unwrap().0)
}

/// A board with these keys that trusts these senders.
pub(crate) fn board(keys: &Keys, trusted: &[&Keys]) -> Identity {
    let mut senders = TrustedSenders::new();
    for (number, keys) in trusted.iter().enumerate() {
        let certificate = keys.certificate();
        let name = heapless::String::try_from(&*format!("laptop{number}")).unwrap();
        senders.push(TrustedSender { name, hash: certificate.hash(), point: *certificate.point() }).unwrap();
    }
    Identity {
        name: "kitchen".try_into().unwrap(),
        tls: SigningKey::from_slice(&*keys.tls_scalar()).unwrap(),
        hpke: HpkeSecret::from_bytes(&keys.hpke().to_bytes()).unwrap(),
        seed: [7; 32].into(),
        policy: Policy { code: true, key: KeyPolicy::Typed, allow_older: false, announce: true },
        certificate: heapless::Vec::from_slice(keys.certificate().der()).unwrap(),
        senders,
        network: Network { hostname: "kitchen".try_into().unwrap(), address: Address::Dhcp, wifi: None },
    }
}

/// How the connection of a board that reads everything ended.
#[derive(Debug, PartialEq)]
pub(crate) enum Ending {
    /// The handshake failed, and nothing was read.
    Refused(HandshakeError),
    /// The name of the sender, what was read from it, and how the link ended.
    Read(String, Vec<u8>, Result<(), LinkError>),
}

/// Runs a board that reads everything from a connection.
pub(crate) async fn read_all<S: Suite>(stream: TcpStream, board: &Identity) -> Ending {
    let (mut wire, mut buffers) = (Wire::new(Socket(stream)), Buffers::new());
    let (mut place, clock) = (None, TokioClock::new());
    let secured = authenticate::<_, S>(&mut place, &mut wire, &mut buffers, board, &mut OsRng, &clock).await;
    let secured = match secured {
        Ok(secured) => secured,
        Err(error) => return Ending::Refused(error),
    };
    let (mut received, mut buffer) = (Vec::new(), [0; 1000]);
    let end = loop {
        match secured.link.read(&mut buffer).await {
            Ok(0) => break Ok(()),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) => {
                assert_eq!(secured.link.read(&mut buffer).await, Err(error), "a link fails forever");
                break Err(error);
            }
        }
    };
    let sender = board.senders.find(&secured.sender).expect("it is trusted");
    Ending::Read(sender.name.as_str().to_owned(), received, end)
}
