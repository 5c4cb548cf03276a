//! The receiver's one place: who may take it, who waits, and who is turned away.
//!
//! Connections that have not proven who they are cost little and are few; the first that proves it gets the place, and
//! the others are let go. While it has the place, everyone else is told *busy*. PROTOCOL.md, section 6, "Places".

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};
use waft_core::limits::YIELD_MS;
use waft_core::wire::preface::ClearRefusal;

use crate::door::turn_away;

/// Unproven connections at once. When there are more, the oldest yields.
const GUESTS_MAX: usize = 8;
/// Connections that are being told *busy* at once. When there are more, the oldest is just closed: a sender speaks at once.
const TURNED_MAX: usize = 16;
/// Pause after the system could not hand over a connection: it is out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Somebody who knocked.
pub(super) enum Knock<G, E> {
    /// Somebody who has proven who they are.
    Proven(SocketAddr, G),
    /// Somebody who has not, and is gone.
    Failed(SocketAddr, E),
}

/// How connections are proven.
pub(super) trait Porter: Clone + Send + 'static {
    /// A proven peer.
    type Guest: Send + 'static;
    /// Why a peer is none.
    type Failure: Send + 'static;

    /// Proves the connection: the preface, the handshake, the first record; each has its own deadline.
    fn prove(self, stream: TcpStream) -> impl Future<Output = Result<Self::Guest, Self::Failure>> + Send;
}

/// The listening socket and everyone at it.
pub(super) struct Place<P: Porter> {
    listener: TcpListener,
    porter: P,
    guests: JoinSet<Knock<P::Guest, P::Failure>>,
    /// Who among the guests came when, oldest first.
    arrivals: Vec<(Instant, AbortHandle)>,
    turned: JoinSet<()>,
    /// Those who are being told, oldest first.
    turning: VecDeque<AbortHandle>,
}

impl<P: Porter> Place<P> {
    pub(super) fn new(listener: TcpListener, porter: P) -> Self {
        Self {
            listener,
            porter,
            guests: JoinSet::new(),
            arrivals: Vec::new(),
            turned: JoinSet::new(),
            turning: VecDeque::new(),
        }
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
                (stream, from) = accept(&self.listener) => self.admit(stream, from),
            }
            self.arrivals.retain(|(_, guest)| !guest.is_finished());
        }
    }

    /// Tells everyone who knocks that the place is taken. Never completes. Cancel-safe.
    pub(super) async fn keep(&mut self) {
        loop {
            tokio::select! {
                Some(_) = self.turned.join_next() => {}
                (stream, _) = accept(&self.listener) => self.refuse(stream),
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
            match porter.prove(stream).await {
                Ok(guest) => Knock::Proven(from, guest),
                Err(failure) => Knock::Failed(from, failure),
            }
        });
        self.arrivals.push((Instant::now(), guest));
    }

    fn refuse(&mut self, stream: TcpStream) {
        while self.turned.try_join_next().is_some() {}
        self.turning.retain(|told| !told.is_finished());
        if self.turning.len() >= TURNED_MAX
            && let Some(oldest) = self.turning.pop_front()
        {
            oldest.abort();
        }
        self.turning.push_back(self.turned.spawn(turn_away(stream, ClearRefusal::Busy)));
    }

    fn dismiss_guests(&mut self) {
        self.guests.abort_all();
        self.guests.detach_all();
        self.arrivals.clear();
    }
}

/// The next connection. Cancel-safe.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;
    use waft_core::wire::preface::{LEN, preface};

    use super::*;
    use crate::door::admit;

    /// Proves whoever sends a preface; anyone else is a failure as soon as the bytes are there.
    #[derive(Clone)]
    struct Doorman;

    impl Porter for Doorman {
        type Guest = TcpStream;
        type Failure = ();

        async fn prove(self, mut stream: TcpStream) -> Result<TcpStream, ()> {
            admit(&mut stream).await.map(|()| stream).map_err(drop)
        }
    }

    async fn place() -> (Place<Doorman>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback listens");
        let address = listener.local_addr().expect("it has an address");
        (Place::new(listener, Doorman), address)
    }

    async fn knock(address: SocketAddr, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.expect("loopback connects");
        stream.write_all(bytes).await.expect("the door reads");
        stream
    }

    const SENDER: &[u8] = &preface();

    #[tokio::test]
    async fn a_silent_stranger_does_not_keep_a_sender_out() {
        let (mut place, address) = place().await;
        let _silent = knock(address, b"").await;
        let _sender = knock(address, SENDER).await;
        assert!(matches!(place.next().await, Knock::Proven(..)));
        assert_eq!(place.arrivals.len(), 0);
    }

    #[tokio::test]
    async fn the_oldest_of_many_strangers_yields() {
        let (mut place, address) = place().await;
        let mut strangers = Vec::new();
        for _ in 0..GUESTS_MAX {
            strangers.push(knock(address, b"").await);
        }
        let _ = timeout(Duration::from_millis(YIELD_MS + 100), place.next()).await;
        let _sender = knock(address, SENDER).await;
        let proven = timeout(Duration::from_secs(1), place.next()).await;
        assert!(matches!(proven, Ok(Knock::Proven(..))));
    }

    #[tokio::test]
    async fn too_many_at_once_are_told_to_come_back() {
        let (mut place, address) = place().await;
        let mut strangers = Vec::new();
        for _ in 0..GUESTS_MAX {
            strangers.push(knock(address, b"").await);
        }
        let mut sender = knock(address, SENDER).await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = place.next() => panic!("nobody could prove anything"),
            read = sender.read_exact(&mut answer) => assert!(read.is_ok()),
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }

    #[tokio::test]
    async fn while_the_place_is_taken_senders_hear_busy_and_others_nothing() {
        let (mut place, address) = place().await;
        let mut sender = knock(address, SENDER).await;
        let mut other = knock(address, b"GET / HT").await;
        let (mut busy, mut nothing) = (Vec::new(), Vec::new());
        tokio::select! {
            _ = place.keep() => panic!("it never ends"),
            _ = async {
                let _ = sender.read_to_end(&mut busy).await;
                let _ = other.read_to_end(&mut nothing).await;
            } => {}
        }
        assert_eq!(busy, ClearRefusal::Busy.to_bytes());
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn strangers_do_not_keep_a_sender_from_hearing_that_the_place_is_taken() {
        let (mut place, address) = place().await;
        let mut strangers = Vec::new();
        for _ in 0..2 * TURNED_MAX {
            strangers.push(knock(address, b"").await);
        }
        let mut sender = knock(address, SENDER).await;
        let mut answer = [0; LEN];
        tokio::select! {
            _ = place.keep() => panic!("it never ends"),
            read = sender.read_exact(&mut answer) => assert!(read.is_ok()),
        }
        assert_eq!(answer, ClearRefusal::Busy.to_bytes());
    }
}
