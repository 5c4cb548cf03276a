//! The receiver's door: who may come in, who waits, and who is turned away.
//!
//! Connections that have not proven who they are cost little and are few; the first that proves it gets the place, and
//! the others are let go. While it has the place, everyone else is told *busy*. PROTOCOL.md, section 6, "Places".

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use waft_core::limits::{HANDSHAKE_MS, LINGER_MS, PREFACE_MS, YIELD_MS};
use waft_core::wire::preface::{ClearRefusal, LEN, check_preface};

/// Unproven connections at once. When there are more, the oldest yields.
const GUESTS_MAX: usize = 8;
/// Connections that are being told *busy* at once. More are just closed.
const TURNED_MAX: usize = 8;
/// Pause after the system could not hand over a connection: it is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Somebody who knocked.
pub(super) enum Knock<G, E> {
    /// Somebody who has proven who they are.
    Proven(SocketAddr, G),
    /// Somebody who has not, and is gone.
    Failed(SocketAddr, E),
}

/// How connections are proven, and what those are told who come while the place is taken.
pub(super) trait Porter: Clone + Send + 'static {
    /// A proven peer.
    type Guest: Send + 'static;
    /// Why a peer is none.
    type Failure: Send + 'static;

    /// Proves the connection: the preface, the handshake, the first record.
    fn prove(self, stream: TcpStream) -> impl Future<Output = Result<Self::Guest, Self::Failure>> + Send;
    /// What a prover who takes too long is held to be.
    fn too_slow(&self) -> Self::Failure;
}

/// The listening sockets and everyone at them.
pub(super) struct Door<P: Porter> {
    listeners: Vec<TcpListener>,
    porter: P,
    guests: JoinSet<Knock<P::Guest, P::Failure>>,
    /// Who among the guests came when, oldest first.
    arrivals: Vec<(Instant, AbortHandle)>,
    turned: JoinSet<()>,
}

impl<P: Porter> Door<P> {
    pub(super) fn new(listeners: Vec<TcpListener>, porter: P) -> Self {
        Self { listeners, porter, guests: JoinSet::new(), arrivals: Vec::new(), turned: JoinSet::new() }
    }

    /// Waits for somebody. Once one is proven, all others are let go: they will try again. Cancel-safe.
    pub(super) async fn next(&mut self) -> Knock<P::Guest, P::Failure> {
        loop {
            tokio::select! {
                Some(ended) = self.guests.join_next() => match ended {
                    Ok(Knock::Proven(from, guest)) => {
                        self.dismiss_guests();
                        return Knock::Proven(from, guest);
                    }
                    Ok(failed) => return failed,
                    // It had to yield.
                    Err(_) => {}
                },
                (stream, from) = accept(&self.listeners) => self.admit(stream, from),
            }
            self.arrivals.retain(|(_, guest)| !guest.is_finished());
        }
    }

    /// Tells everyone who knocks that the place is taken. Never completes. Cancel-safe.
    pub(super) async fn turn_away(&mut self) {
        loop {
            tokio::select! {
                Some(_) = self.turned.join_next() => {}
                (stream, _) = accept(&self.listeners) => self.refuse(stream),
            }
        }
    }

    fn admit(&mut self, stream: TcpStream, from: SocketAddr) {
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
            let limit = Duration::from_millis(PREFACE_MS + HANDSHAKE_MS);
            let late = porter.too_slow();
            match timeout(limit, porter.prove(stream)).await.unwrap_or(Err(late)) {
                Ok(guest) => Knock::Proven(from, guest),
                Err(failure) => Knock::Failed(from, failure),
            }
        });
        self.arrivals.push((Instant::now(), guest));
    }

    fn refuse(&mut self, stream: TcpStream) {
        while self.turned.try_join_next().is_some() {}
        if self.turned.len() < TURNED_MAX {
            self.turned.spawn(async move {
                let _ = timeout(Duration::from_millis(PREFACE_MS), say_busy(stream)).await;
            });
        }
    }

    fn dismiss_guests(&mut self) {
        self.guests.abort_all();
        self.guests.detach_all();
        self.arrivals.clear();
    }
}

/// Says *busy* to a sender, and nothing to anybody else. Reads on a little, so that no reset overtakes the word.
async fn say_busy(mut stream: TcpStream) -> std::io::Result<()> {
    let mut preface = [0; LEN];
    stream.read_exact(&mut preface).await?;
    let refusal = match check_preface(&preface) {
        Ok(()) => ClearRefusal::Busy,
        Err(Some(refusal)) => refusal,
        Err(None) => return Ok(()),
    };
    stream.write_all(&refusal.to_bytes()).await?;
    stream.shutdown().await?;
    let rest = async { while stream.read(&mut preface).await.is_ok_and(|count| count > 0) {} };
    let _ = timeout(Duration::from_millis(LINGER_MS), rest).await;
    Ok(())
}

/// The next connection at any of the sockets. Cancel-safe.
async fn accept(listeners: &[TcpListener]) -> (TcpStream, SocketAddr) {
    loop {
        let next = std::future::poll_fn(|context| {
            for listener in listeners {
                if let std::task::Poll::Ready(accepted) = listener.poll_accept(context) {
                    return std::task::Poll::Ready(accepted);
                }
            }
            std::task::Poll::Pending
        });
        match next.await {
            Ok(accepted) => return accepted,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Proves whoever sends a preface; anyone else is a failure as soon as the bytes are there.
    #[derive(Clone)]
    struct Doorman;

    impl Porter for Doorman {
        type Guest = TcpStream;
        type Failure = ();

        async fn prove(self, mut stream: TcpStream) -> Result<TcpStream, ()> {
            let mut preface = [0; LEN];
            stream.read_exact(&mut preface).await.map_err(drop)?;
            check_preface(&preface).map(|()| stream).map_err(drop)
        }
        fn too_slow(&self) {}
    }

    async fn door() -> (Door<Doorman>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
        let address = listener.local_addr().expect("it has an address");
        (Door::new(vec![listener], Doorman), address)
    }

    async fn knock(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("loopback connects");
        stream.write_all(bytes).await.expect("the door reads");
        stream
    }

    const SENDER: &[u8] = &waft_core::wire::preface::preface();

    #[tokio::test]
    async fn a_silent_stranger_does_not_keep_a_sender_out() {
        let (mut door, address) = door().await;
        let _silent = knock(address, b"").await;
        let _sender = knock(address, SENDER).await;
        assert!(matches!(door.next().await, Knock::Proven(..)));
        assert_eq!(door.arrivals.len(), 0);
    }

    #[tokio::test]
    async fn the_oldest_of_many_strangers_yields() {
        let (mut door, address) = door().await;
        let mut strangers = Vec::new();
        for _ in 0..GUESTS_MAX {
            strangers.push(knock(address, b"").await);
        }
        let _ = timeout(Duration::from_millis(YIELD_MS + 100), door.next()).await;
        let _sender = knock(address, SENDER).await;
        let proven = timeout(Duration::from_secs(1), door.next()).await;
        assert!(matches!(proven, Ok(Knock::Proven(..))));
    }

    #[tokio::test]
    async fn too_many_at_once_are_told_to_come_back() {
        let (mut door, address) = door().await;
        let mut strangers = Vec::new();
        for _ in 0..GUESTS_MAX {
            strangers.push(knock(address, b"").await);
        }
        let mut sender = knock(address, SENDER).await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = door.next() => panic!("nobody could prove anything"),
            read = sender.read_exact(&mut answer) => assert!(read.is_ok()),
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }

    #[tokio::test]
    async fn while_the_place_is_taken_senders_hear_busy_and_others_nothing() {
        let (mut door, address) = door().await;
        let mut sender = knock(address, SENDER).await;
        let mut other = knock(address, b"GET / HT").await;
        let (mut busy, mut nothing) = (Vec::new(), Vec::new());
        tokio::select! {
            _ = door.turn_away() => panic!("it never ends"),
            _ = async {
                let _ = sender.read_to_end(&mut busy).await;
                let _ = other.read_to_end(&mut nothing).await;
            } => {}
        }
        assert_eq!(busy, ClearRefusal::Busy.to_bytes());
        assert!(nothing.is_empty());
    }
}
