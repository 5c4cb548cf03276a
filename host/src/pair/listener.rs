//! The side that shows the code: takes connections until a dialer begins an attempt.
//!
//! Connections that have not begun an attempt cost nothing, so that several wait at once, and the oldest yields to a new
//! one. The first whose share arrives takes the code. Others are told then that there is none.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rand_core::OsRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet, LocalSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use waft_core::limits::PREFACE_MS;
use waft_core::pairing::{Buffer, Incoming, Limiter, PairingError};
use waft_core::wire::preface::{ClearRefusal, LEN, Purpose};

use crate::net::close;
use crate::pair::link::TcpLink;
use crate::pair::{Me, PairError, Paired, PairingCode};
use crate::session::Clock;

/// Most connections that have not begun an attempt.
const WAITING_MAX: usize = 32;
/// Pause after the system failed to accept a connection, because it lacks some resource.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens for dialers, and pairs with the first that has the code.
pub struct Listener {
    listener: TcpListener,
    state: Rc<State>,
    connections: JoinSet<Option<Attempt>>,
    /// Connections that may not have begun an attempt, oldest first.
    waiting: VecDeque<(AbortHandle, Rc<Cell<bool>>)>,
}

/// What the connections share.
struct State {
    me: Me,
    clock: Clock,
    /// The code that is shown, until an attempt takes it.
    code: RefCell<Option<PairingCode>>,
    limiter: RefCell<Limiter>,
}

/// An attempt that is over. Its code is spent.
pub struct Attempt {
    /// Where it came from.
    pub from: SocketAddr,
    /// How it ended.
    pub outcome: Result<Paired, PairError>,
}

impl Listener {
    /// Listens on a TCP listener. Fails if this machine cannot introduce itself.
    pub fn new(listener: TcpListener, me: Me) -> Result<Self, PairError> {
        me.introduction()?;
        let (code, limiter) = (RefCell::new(None), RefCell::new(Limiter::new()));
        let state = Rc::new(State { me, clock: Clock::start(), code, limiter });
        Ok(Self { listener, state, connections: JoinSet::new(), waiting: VecDeque::new() })
    }

    /// Waits for the next attempt, which is for this code, and returns how it ended; `None` if none had begun by `until`.
    /// When this is cancelled, the code is gone, and connections are closed.
    pub async fn attempt(&mut self, code: PairingCode, until: Instant) -> Option<Attempt> {
        self.state.code.replace(Some(code));
        let local = LocalSet::new();
        local.run_until(self.next(until)).await
    }

    async fn next(&mut self, until: Instant) -> Option<Attempt> {
        loop {
            let is_taken = self.state.code.borrow().is_none();
            tokio::select! {
                Some(ended) = self.connections.join_next() => {
                    if let Ok(Some(attempt)) = ended {
                        return Some(attempt);
                    }
                }
                // An attempt that has begun goes on to its end.
                () = sleep_until(until), if !is_taken => {
                    if self.state.code.take().is_some() {
                        return None;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => self.begin(stream, from),
                    Err(_) => sleep(ACCEPT_PAUSE).await,
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, from: SocketAddr) {
        self.waiting.retain(|(connection, has_begun)| !connection.is_finished() && !has_begun.get());
        if self.waiting.len() >= WAITING_MAX
            && let Some((oldest, _)) = self.waiting.pop_front()
        {
            oldest.abort();
        }
        let (state, has_begun) = (self.state.clone(), Rc::new(Cell::new(false)));
        let begun = has_begun.clone();
        let connection = self.connections.spawn_local(async move {
            let outcome = state.serve(stream, &begun).await?;
            Some(Attempt { from, outcome })
        });
        self.waiting.push_back((connection, has_begun));
    }
}

impl State {
    /// Serves a connection. Returns nothing if it did not take the code.
    async fn serve(&self, mut stream: TcpStream, has_begun: &Cell<bool>) -> Option<Result<Paired, PairError>> {
        let mut preface = [0; LEN];
        timeout(Duration::from_millis(PREFACE_MS), stream.read_exact(&mut preface)).await.ok()?.ok()?;
        let refusal = match Purpose::of_preface(&preface) {
            Ok(Purpose::Pairing) => None,
            // A sender, which is too early.
            Ok(_) => Some(ClearRefusal::Busy),
            Err(refusal) => Some(refusal?),
        };
        if let Some(refusal) = refusal {
            stream.write_all(&refusal.to_bytes()).await.ok()?;
            close(stream).await;
            return None;
        }
        stream.set_nodelay(true).ok()?;
        let mut link = TcpLink::new(stream);
        let outcome = self.pair(&mut link, has_begun).await;
        link.close().await;
        outcome
    }

    async fn pair(&self, link: &mut TcpLink, has_begun: &Cell<bool>) -> Option<Result<Paired, PairError>> {
        let mut buffer = Box::new(Buffer::new());
        let before = self.limiter.borrow().clone();
        let incoming = Incoming::accept(link, &mut buffer, &mut OsRng, &self.clock, &before).await.ok()?;
        let code = self.code.take();
        has_begun.set(code.is_some());
        let me = match self.me.introduction() {
            Ok(me) => me,
            Err(error) => return Some(Err(error)),
        };
        // Only one attempt has a code at a time, so that no other counts meanwhile.
        let mut limiter = self.limiter.borrow().clone();
        let paired = incoming.pair(code, &me, &mut OsRng, &mut limiter).await;
        if let Err(PairingError::Declined) = paired {
            // Another attempt has the code.
            return None;
        }
        self.limiter.replace(limiter);
        Some(paired.map_err(PairError::from).and_then(|paired| Paired::of(&paired)))
    }
}
