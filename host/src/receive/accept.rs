//! Accepts connections, and decides which one becomes the receiver's active session.
//!
//! A new connection is pending until it has sent the preface; a pending connection costs next to nothing, and the oldest
//! ones are closed to make room for new ones. After the preface a connection may authenticate. The number of these
//! handshakes is limited, and the first peer that is authenticated gets the session. All other connections with a preface
//! are refused as *busy*. PROTOCOL.md, section 6, "Many connections".

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, yield_now};
use tokio::time::{Instant, sleep};
use waft_core::limits::YIELD_MS;
use waft_core::wire::preface::ClearRefusal;

use crate::preface::{self, Rejected};

/// Maximum number of connections without a preface. Beyond it the oldest one is closed; a real sender sends its
/// preface at once.
const PENDING_MAX: usize = 64;
/// Maximum number of connections in the handshake. Beyond it the oldest one is aborted.
const HANDSHAKES_MAX: usize = 128;
/// Maximum number of connections to which the refusal *busy* is being sent. Beyond it the oldest one is closed; it has
/// received the refusal by then.
const REFUSED_MAX: usize = 32;
/// Pause after the system failed to accept a connection, because it lacks some resource.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The result of a connection.
pub(super) enum Accepted<T, E> {
    /// The peer is authenticated.
    Authenticated(SocketAddr, T),
    /// The connection failed and is closed.
    Failed(SocketAddr, E),
}

/// Authenticates a connection after its preface: the TLS handshake and the first record, each with its own deadline.
type Authenticate<T, E> = Box<dyn Fn(TcpStream) -> Pin<Box<dyn Future<Output = Result<T, E>> + Send>> + Send>;

/// The listener and all connections that have no session.
pub(super) struct Acceptor<T, E> {
    listener: TcpListener,
    authenticate: Authenticate<T, E>,
    /// Connections that have not sent their preface.
    pending: Bounded<(SocketAddr, Result<TcpStream, Rejected>)>,
    handshakes: JoinSet<Accepted<T, E>>,
    /// The start times of the handshakes, oldest first.
    handshake_starts: Vec<(Instant, AbortHandle)>,
    /// Connections to which the refusal *busy* is being sent.
    refused: Bounded<()>,
}

impl<T: Send + 'static, E: From<Rejected> + Send + 'static> Acceptor<T, E> {
    pub(super) fn new<F>(listener: TcpListener, authenticate: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        Self {
            listener,
            authenticate: Box::new(move |stream| Box::pin(authenticate(stream))),
            pending: Bounded::new(PENDING_MAX),
            handshakes: JoinSet::new(),
            handshake_starts: Vec::new(),
            refused: Bounded::new(REFUSED_MAX),
        }
    }

    /// Waits for the next result. When a peer is authenticated, all other handshakes are aborted; those senders will
    /// try again. Cancel-safe.
    pub(super) async fn next(&mut self) -> Accepted<T, E> {
        loop {
            tokio::select! {
                Some(ended) = self.handshakes.join_next() => match ended {
                    Ok(Accepted::Authenticated(from, peer)) => {
                        self.abort_handshakes();
                        return Accepted::Authenticated(from, peer);
                    }
                    Ok(failed) => return failed,
                    // This handshake was aborted to make room.
                    Err(_) => {}
                },
                (from, preface) = self.pending.next() => match preface {
                    Ok(stream) => self.start_handshake(stream, from),
                    Err(rejected) => return Accepted::Failed(from, rejected.into()),
                },
                (stream, from) = accept(&self.listener) => {
                    self.pending.push(read_preface(stream, from));
                    // Let the new task run: otherwise many connections at once could evict a sender before its
                    // preface is read.
                    yield_now().await;
                }
            }
        }
    }

    /// Tells every sender that the receiver is busy, while a session is active. Never completes. Cancel-safe.
    pub(super) async fn refuse_busy(&mut self) -> Infallible {
        loop {
            tokio::select! {
                (_, preface) = self.pending.next() => {
                    if let Ok(stream) = preface {
                        self.refuse(stream);
                    }
                }
                (stream, from) = accept(&self.listener) => {
                    self.pending.push(read_preface(stream, from));
                    yield_now().await;
                }
            }
        }
    }

    /// Starts the handshake of a connection that has sent its preface.
    fn start_handshake(&mut self, stream: TcpStream, from: SocketAddr) {
        self.handshake_starts.retain(|(_, handshake)| !handshake.is_finished());
        if self.handshake_starts.len() >= HANDSHAKES_MAX {
            let (since, oldest) = &self.handshake_starts[0];
            if since.elapsed() < Duration::from_millis(YIELD_MS) {
                return self.refuse(stream);
            }
            oldest.abort();
            self.handshake_starts.remove(0);
        }
        let authenticated = (self.authenticate)(stream);
        let handshake = self.handshakes.spawn(async move {
            match authenticated.await {
                Ok(peer) => Accepted::Authenticated(from, peer),
                Err(failure) => Accepted::Failed(from, failure),
            }
        });
        self.handshake_starts.push((Instant::now(), handshake));
    }

    fn refuse(&mut self, stream: TcpStream) {
        // Nothing awaits these tasks, so the finished ones have to be removed here.
        while self.refused.tasks.try_join_next().is_some() {}
        self.refused.push(preface::refuse(stream, ClearRefusal::Busy));
    }

    fn abort_handshakes(&mut self) {
        self.handshakes.abort_all();
        self.handshakes.detach_all();
        self.handshake_starts.clear();
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
async fn read_preface(mut stream: TcpStream, from: SocketAddr) -> (SocketAddr, Result<TcpStream, Rejected>) {
    let received = preface::receive(&mut stream).await;
    (from, received.map(|()| stream))
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

    struct NotASender;

    impl From<Rejected> for NotASender {
        fn from(_: Rejected) -> Self {
            Self
        }
    }

    /// Authenticates every peer that sends one more byte after the preface.
    async fn authenticate(mut stream: TcpStream) -> Result<TcpStream, NotASender> {
        let proof = stream.read_u8().await;
        proof.map(|_| stream).map_err(|_| NotASender)
    }

    async fn opened() -> (Acceptor<TcpStream, NotASender>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
        let address = listener.local_addr().expect("it has an address");
        (Acceptor::new(listener, authenticate), address)
    }

    async fn connect(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("loopback connects");
        stream.write_all(bytes).await.expect("the listener reads");
        stream
    }

    async fn connect_often(address: SocketAddr, bytes: &[u8], times: usize) -> Vec<TcpStream> {
        let mut strangers = Vec::new();
        for _ in 0..times {
            strangers.push(connect(address, bytes).await);
        }
        strangers
    }

    const PREFACE: &[u8] = &preface();
    /// A preface followed by the byte that authenticates the sender.
    const SENDER: &[u8] = b"WAFT\x01\0\0\0!";

    #[tokio::test]
    async fn silent_strangers_do_not_keep_a_sender_out() {
        let (mut acceptor, address) = opened().await;
        let accepted = tokio::select! {
            accepted = acceptor.next() => accepted,
            () = async {
                let mut strangers = connect_often(address, b"", 2 * PENDING_MAX).await;
                strangers.push(connect(address, SENDER).await);
                // Many connections arrive after the sender, too.
                strangers.extend(connect_often(address, b"", 2 * PENDING_MAX).await);
                sleep(Duration::from_secs(1)).await;
            } => panic!("the sender was not accepted"),
        };
        assert!(matches!(accepted, Accepted::Authenticated(..)));
        assert_eq!(acceptor.handshake_starts.len(), 0);
    }

    #[tokio::test]
    async fn the_oldest_of_many_handshakes_yields() {
        let (mut acceptor, address) = opened().await;
        let _handshakes = connect_often(address, PREFACE, HANDSHAKES_MAX).await;
        let _ = timeout(Duration::from_millis(YIELD_MS + 100), acceptor.next()).await;
        let _sender = connect(address, SENDER).await;
        let accepted = timeout(Duration::from_secs(1), acceptor.next()).await;
        assert!(matches!(accepted, Ok(Accepted::Authenticated(..))));
    }

    #[tokio::test]
    async fn a_sender_gets_busy_when_there_are_too_many_handshakes() {
        let (mut acceptor, address) = opened().await;
        let _handshakes = connect_often(address, PREFACE, HANDSHAKES_MAX).await;
        let _ = timeout(Duration::from_millis(100), acceptor.next()).await;
        let mut sender = connect(address, PREFACE).await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = acceptor.next() => panic!("no peer authenticated"),
            read = sender.read_exact(&mut answer) => assert!(read.is_ok()),
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }

    #[tokio::test]
    async fn during_a_session_senders_get_busy_and_others_get_nothing() {
        let (mut acceptor, address) = opened().await;
        let mut sender = connect(address, PREFACE).await;
        let mut other = connect(address, b"GET / HT").await;
        let (mut busy, mut nothing) = (Vec::new(), Vec::new());
        tokio::select! {
            _ = acceptor.refuse_busy() => panic!("it never ends"),
            _ = async {
                let _ = sender.read_to_end(&mut busy).await;
                let _ = other.read_to_end(&mut nothing).await;
            } => {}
        }
        assert_eq!(busy, ClearRefusal::Busy.to_bytes());
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn refused_connections_do_not_accumulate() {
        let (mut acceptor, address) = opened().await;
        tokio::select! {
            _ = acceptor.refuse_busy() => panic!("it never ends"),
            () = async {
                for _ in 0..4 * REFUSED_MAX {
                    let mut sender = connect(address, PREFACE).await;
                    let _ = sender.read_to_end(&mut Vec::new()).await;
                }
            } => {}
        }
        assert!(acceptor.refused.tasks.len() <= REFUSED_MAX, "{}", acceptor.refused.tasks.len());
    }

    #[tokio::test]
    async fn a_sender_gets_busy_even_if_strangers_crowd_the_receiver() {
        let (mut acceptor, address) = opened().await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = acceptor.refuse_busy() => panic!("it never ends"),
            () = async {
                let _strangers = connect_often(address, b"", 2 * PENDING_MAX).await;
                let mut sender = connect(address, PREFACE).await;
                let _more = connect_often(address, b"", 2 * PENDING_MAX).await;
                sender.read_exact(&mut answer).await.expect("the refusal arrives");
            } => {}
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }
}
