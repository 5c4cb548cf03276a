//! Accepts connections, and decides which one becomes the receiver's active session.
//!
//! A new connection is pending until it has sent the preface (`hall`); a pending connection costs next to nothing,
//! and the oldest ones are closed to make room for new ones. After the preface a connection may authenticate
//! (`guests`). The number of these handshakes is limited, and the first peer that is authenticated gets the session.
//! All other connections with a preface are told *busy* (`turned`). PROTOCOL.md, section 6, "Many connections".

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep};
use waft_core::limits::YIELD_MS;
use waft_core::wire::preface::ClearRefusal;

use crate::door::{AdmitError, admit, turn_away};

/// Maximum number of connections without a preface. Beyond it the oldest one is closed; a real sender sends its
/// preface at once.
const HALL_MAX: usize = 64;
/// Maximum number of connections in the handshake. Beyond it the oldest one is aborted.
const GUESTS_MAX: usize = 128;
/// Maximum number of connections that are being told *busy*. Beyond it the oldest one is closed; it has received the
/// refusal by then.
const TURNED_MAX: usize = 32;
/// Pause after the system failed to accept a connection, because it lacks some resource.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The result of a connection.
pub(super) enum Knock<G, E> {
    /// The peer is authenticated.
    Proven(SocketAddr, G),
    /// The connection failed and is closed.
    Failed(SocketAddr, E),
}

/// Authenticates connections.
pub(super) trait Porter: Clone + Send + 'static {
    /// An authenticated peer.
    type Guest: Send + 'static;
    /// Why a connection was rejected.
    type Failure: From<AdmitError> + Send + 'static;

    /// Authenticates a connection after its preface: the TLS handshake and the first record, each with its own
    /// deadline.
    fn prove(self, stream: TcpStream) -> impl Future<Output = Result<Self::Guest, Self::Failure>> + Send;
}

/// The listener and all connections that have no session.
pub(super) struct Entrance<P: Porter> {
    listener: TcpListener,
    porter: P,
    hall: Bounded<(SocketAddr, Result<TcpStream, AdmitError>)>,
    guests: JoinSet<Knock<P::Guest, P::Failure>>,
    /// The start times of the handshakes, oldest first.
    arrivals: Vec<(Instant, AbortHandle)>,
    turned: Bounded<()>,
}

impl<P: Porter> Entrance<P> {
    pub(super) fn new(listener: TcpListener, porter: P) -> Self {
        Self {
            listener,
            porter,
            hall: Bounded::new(HALL_MAX),
            guests: JoinSet::new(),
            arrivals: Vec::new(),
            turned: Bounded::new(TURNED_MAX),
        }
    }

    /// Waits for the next result. When a peer is authenticated, all other handshakes are aborted; those senders will
    /// try again. Cancel-safe.
    pub(super) async fn next(&mut self) -> Knock<P::Guest, P::Failure> {
        loop {
            tokio::select! {
                Some(ended) = self.guests.join_next() => match ended {
                    Ok(Knock::Proven(from, guest)) => {
                        self.dismiss_guests();
                        return Knock::Proven(from, guest);
                    }
                    Ok(failed) => return failed,
                    // This handshake was aborted to make room.
                    Err(_) => {}
                },
                (from, knocked) = self.hall.next() => match knocked {
                    Ok(stream) => self.welcome(stream, from),
                    Err(stranger) => return Knock::Failed(from, stranger.into()),
                },
                (stream, from) = accept(&self.listener) => {
                    self.hall.push(knock(stream, from));
                    // Let the new task run: otherwise many connections at once could evict a sender before its
                    // preface is read.
                    yield_now().await;
                }
            }
        }
    }

    /// Tells every sender that the receiver is busy, while a session is active. Never completes. Cancel-safe.
    pub(super) async fn keep(&mut self) -> Infallible {
        loop {
            tokio::select! {
                (_, knocked) = self.hall.next() => {
                    if let Ok(stream) = knocked {
                        self.refuse(stream);
                    }
                }
                (stream, from) = accept(&self.listener) => {
                    self.hall.push(knock(stream, from));
                    yield_now().await;
                }
            }
        }
    }

    /// Starts the handshake of a connection that has sent its preface.
    fn welcome(&mut self, stream: TcpStream, from: SocketAddr) {
        self.arrivals.retain(|(_, guest)| !guest.is_finished());
        if self.arrivals.len() >= GUESTS_MAX {
            let (since, oldest) = &self.arrivals[0];
            if since.elapsed() < Duration::from_millis(YIELD_MS) {
                return self.refuse(stream);
            }
            oldest.abort();
            self.arrivals.remove(0);
        }
        let porter = self.porter.clone();
        let guest = self.guests.spawn(async move {
            match porter.prove(stream).await {
                Ok(guest) => Knock::Proven(from, guest),
                Err(failure) => Knock::Failed(from, failure),
            }
        });
        self.arrivals.push((Instant::now(), guest));
    }

    fn refuse(&mut self, stream: TcpStream) {
        // Nothing awaits these tasks, so the finished ones have to be removed here.
        while self.turned.tasks.try_join_next().is_some() {}
        self.turned.push(turn_away(stream, ClearRefusal::Busy));
    }

    fn dismiss_guests(&mut self) {
        self.guests.abort_all();
        self.guests.detach_all();
        self.arrivals.clear();
    }
}

/// Accepts the next connection. Cancel-safe.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Reads the preface of a connection.
async fn knock(mut stream: TcpStream, from: SocketAddr) -> (SocketAddr, Result<TcpStream, AdmitError>) {
    let admitted = admit(&mut stream).await;
    (from, admitted.map(|()| stream))
}

/// A set of tasks with a maximum size. One more task aborts the oldest one.
struct Bounded<T> {
    tasks: JoinSet<T>,
    /// The tasks, oldest first.
    order: VecDeque<AbortHandle>,
    most: usize,
}

impl<T: Send + 'static> Bounded<T> {
    fn new(most: usize) -> Self {
        Self { tasks: JoinSet::new(), order: VecDeque::new(), most }
    }

    fn push(&mut self, task: impl Future<Output = T> + Send + 'static) {
        self.order.retain(|task| !task.is_finished());
        if self.order.len() >= self.most
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        self.order.push_back(self.tasks.spawn(task));
    }

    /// The result of the next task that ends; waits forever if there is none. Cancel-safe.
    async fn next(&mut self) -> T {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                // This task was aborted to make room.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;
    use waft_core::wire::preface::{LEN, preface};

    use super::*;

    /// Authenticates every peer that sends one more byte after the preface.
    #[derive(Clone)]
    struct Doorman;

    struct Stranger;

    impl From<AdmitError> for Stranger {
        fn from(_: AdmitError) -> Self {
            Self
        }
    }

    impl Porter for Doorman {
        type Guest = TcpStream;
        type Failure = Stranger;

        async fn prove(self, mut stream: TcpStream) -> Result<TcpStream, Stranger> {
            let proof = stream.read_u8().await;
            proof.map(|_| stream).map_err(|_| Stranger)
        }
    }

    async fn opened() -> (Entrance<Doorman>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
        let address = listener.local_addr().expect("it has an address");
        (Entrance::new(listener, Doorman), address)
    }

    async fn knock(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("loopback connects");
        stream.write_all(bytes).await.expect("the door reads");
        stream
    }

    async fn knock_often(address: SocketAddr, bytes: &[u8], times: usize) -> Vec<TcpStream> {
        let mut strangers = Vec::new();
        for _ in 0..times {
            strangers.push(knock(address, bytes).await);
        }
        strangers
    }

    const PREFACE: &[u8] = &preface();
    /// A preface followed by the byte that authenticates the sender.
    const SENDER: &[u8] = b"WAFT\x01\0\0\0!";

    #[tokio::test]
    async fn silent_strangers_do_not_keep_a_sender_out() {
        let (mut entrance, address) = opened().await;
        let proven = tokio::select! {
            proven = entrance.next() => proven,
            () = async {
                let mut strangers = knock_often(address, b"", 2 * HALL_MAX).await;
                strangers.push(knock(address, SENDER).await);
                // Many connections arrive after the sender, too.
                strangers.extend(knock_often(address, b"", 2 * HALL_MAX).await);
                sleep(Duration::from_secs(1)).await;
            } => panic!("the sender was not heard"),
        };
        assert!(matches!(proven, Knock::Proven(..)));
        assert_eq!(entrance.arrivals.len(), 0);
    }

    #[tokio::test]
    async fn the_oldest_of_many_guests_yields() {
        let (mut entrance, address) = opened().await;
        let _guests = knock_often(address, PREFACE, GUESTS_MAX).await;
        let _ = timeout(Duration::from_millis(YIELD_MS + 100), entrance.next()).await;
        let _sender = knock(address, SENDER).await;
        let proven = timeout(Duration::from_secs(1), entrance.next()).await;
        assert!(matches!(proven, Ok(Knock::Proven(..))));
    }

    #[tokio::test]
    async fn too_many_guests_are_told_to_come_back() {
        let (mut entrance, address) = opened().await;
        let _guests = knock_often(address, PREFACE, GUESTS_MAX).await;
        let _ = timeout(Duration::from_millis(100), entrance.next()).await;
        let mut sender = knock(address, PREFACE).await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = entrance.next() => panic!("nobody could prove anything"),
            read = sender.read_exact(&mut answer) => assert!(read.is_ok()),
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }

    #[tokio::test]
    async fn while_the_place_is_taken_senders_hear_busy_and_others_nothing() {
        let (mut entrance, address) = opened().await;
        let mut sender = knock(address, PREFACE).await;
        let mut other = knock(address, b"GET / HT").await;
        let (mut busy, mut nothing) = (Vec::new(), Vec::new());
        tokio::select! {
            _ = entrance.keep() => panic!("it never ends"),
            _ = async {
                let _ = sender.read_to_end(&mut busy).await;
                let _ = other.read_to_end(&mut nothing).await;
            } => {}
        }
        assert_eq!(busy, ClearRefusal::Busy.to_bytes());
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn who_was_turned_away_is_forgotten() {
        let (mut entrance, address) = opened().await;
        tokio::select! {
            _ = entrance.keep() => panic!("it never ends"),
            () = async {
                for _ in 0..4 * TURNED_MAX {
                    let mut sender = knock(address, PREFACE).await;
                    let _ = sender.read_to_end(&mut Vec::new()).await;
                }
            } => {}
        }
        assert!(entrance.turned.tasks.len() <= TURNED_MAX, "{}", entrance.turned.tasks.len());
    }

    #[tokio::test]
    async fn strangers_do_not_keep_a_sender_from_hearing_that_the_place_is_taken() {
        let (mut entrance, address) = opened().await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = entrance.keep() => panic!("it never ends"),
            () = async {
                let _strangers = knock_often(address, b"", 2 * HALL_MAX).await;
                let mut sender = knock(address, PREFACE).await;
                let _more = knock_often(address, b"", 2 * HALL_MAX).await;
                sender.read_exact(&mut answer).await.expect("it is told");
            } => {}
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }
}
