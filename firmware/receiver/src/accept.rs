//! The board's sockets: which connection gets the one session, and which are turned away.
//!
//! ```text
//! Listening -> a SYN -> Connecting -> TCP is up -> Preface -> 8 right bytes -> Waiting -> the session
//!     ^                     |                         | wrong bytes, silence      | a session runs: *busy*
//!     +------ Closing <-----+-------------------------+---------------------------+
//! ```
//!
//! A connection before its session costs a socket and a few bytes, and no cryptography. TCP on a chip has no queue of
//! pending connections: a SYN that meets no listening socket is reset. So the last socket never has a session: it tells
//! *busy* to whoever the others have no room for. And of the others one listens, too, as long as not all of them have a
//! session or a connection that waits for one: the pending connection that has come least far is reset. Which of those
//! that wait gets the session, and when, is also a matter of what handshakes from its address have cost before: see
//! [`budget`](crate::budget). PROTOCOL.md, sections 2 and 6, "Many connections".

use core::cell::Cell;
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use embassy_futures::select::{Either, select, select_array};
use waft_core::limits::{PREFACE_MS, YIELD_MAX_MS, YIELD_MS};
use waft_core::session::Clock;
use waft_core::wire::preface::{ClearRefusal, LEN, check_preface};

use crate::board::{Listened, Socket};
use crate::budget::{Budget, Source};
use crate::panel::{Notice, Panel};

/// A peer that wants to connect has so long to answer, in milliseconds: a false address never does.
const CONNECT_MS: u64 = 3_000;
/// The newest connection is not reset earlier than after this, in milliseconds; and one at the last socket then, in any
/// case. On a local network the handshake of TCP and the preface take less, and so does a refusal.
const GRACE_MS: u64 = 30;
/// Looked at again after this, in milliseconds, where there is no reason to do so earlier.
const FAR_MS: u64 = 3_600_000;

/// The sockets, and how far the connection at each has come.
pub(crate) struct Backlog<'a, S: Socket, K, const N: usize> {
    connections: [Connection<S>; N],
    budget: Budget,
    /// Connections so far.
    count: Cell<u32>,
    /// How often a session had to end for a waiting connection, since one was authenticated.
    yields: u32,
    clock: &'a K,
    panel: &'a Panel,
    /// Where senders reach the board.
    address: &'a Cell<Option<S::Address>>,
}

/// The session that runs, as far as the other connections are concerned.
pub(crate) struct ActiveSession {
    since: u64,
    /// Milliseconds for which the processor worked on it.
    worked: Cell<u64>,
    authenticated: Cell<bool>,
}

impl ActiveSession {
    fn new(now: u64) -> Self {
        Self { since: now, worked: Cell::new(0), authenticated: Cell::new(false) }
    }

    /// The peer has proven to be a trusted sender: it keeps the session.
    pub(crate) fn authenticated(&self) {
        self.authenticated.set(true);
    }

    /// Completes once the peer is authenticated. Polled whenever the session was.
    async fn is_authenticated(&self) {
        poll_fn(|_| if self.authenticated.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Runs the session, and counts what the processor works on it.
    async fn measure<T>(&self, clock: &impl Clock, mut session: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            let begun = clock.now();
            let polled = session.as_mut().poll(context);
            self.worked.update(|worked| worked + clock.now().saturating_sub(begun));
            polled
        })
        .await
    }

    /// When the peer will have kept this board waiting for `patience` milliseconds.
    fn yields_at(&self, patience: u64) -> u64 {
        self.since + self.worked.get() + patience
    }
}

impl<'a, S: Socket, K: Clock, const N: usize> Backlog<'a, S, K, N> {
    pub(crate) fn new(sockets: [S; N], clock: &'a K, panel: &'a Panel, address: &'a Cell<Option<S::Address>>) -> Self {
        const { assert!(N >= 2, "one socket for sessions, and one that listens meanwhile") };
        let connections = sockets.map(|it| Connection {
            socket: Some(it),
            phase: Phase::Listening,
            since: 0,
            number: 0,
            source: None,
        });
        Self { connections, budget: Budget::new(clock.now()), count: Cell::new(0), yields: 0, clock, panel, address }
    }

    /// Runs `session` on the connection `at`, which [`next`](Self::next) gave.
    pub(crate) async fn hold(&mut self, at: usize, session: impl AsyncFnOnce(&mut S, &ActiveSession)) {
        let (mut socket, source) = self.connections[at].take();
        let active = ActiveSession::new(self.clock.now());
        let over = {
            let session = pin!(session(&mut socket, &active));
            select(active.measure(self.clock, session), self.keep(&active)).await
        };
        if let Either::Second(()) = over {
            socket.abort();
        }
        match active.authenticated.get() {
            true => self.budget.succeeded(source),
            false => self.budget.failed(source, active.worked.get(), self.clock.now()),
        }
        self.connections[at].put_back(socket);
    }

    /// Tells each connection that says the preface why there is no session.
    pub(crate) async fn refuse(&mut self, refusal: ClearRefusal) -> ! {
        loop {
            self.turn_away(refusal).await;
            self.advance(FAR_MS).await;
        }
    }

    /// Waits for the connection that gets the next session: of several, one whose address had the fewest handshakes
    /// that failed, and of those the one that has waited longest. Cancel-safe.
    pub(crate) async fn next(&mut self) -> usize {
        loop {
            let now = self.clock.now();
            let waiting = self.connections[..N - 1].iter().enumerate().filter(|(_, it)| it.is_waiting());
            let best = waiting.min_by_key(|(_, it)| (self.budget.failures(it.source, now), it.number));
            let patience = match best {
                None => FAR_MS,
                Some((at, connection)) => match self.budget.wait(connection.source, now) {
                    0 => return at,
                    wait => wait,
                },
            };
            self.advance(patience).await;
        }
    }

    /// Accepts connections beside a session. Completes when the session has to end, since its peer has proven nothing,
    /// has kept this board waiting for long enough, and another connection waits.
    async fn keep(&mut self, active: &ActiveSession) {
        loop {
            if active.authenticated.get() {
                self.yields = 0;
                self.turn_away(ClearRefusal::Busy).await;
                self.advance(FAR_MS).await;
                continue;
            }
            let now = self.clock.now();
            let patience = match self.connections[..N - 1].iter().any(Connection::is_waiting) {
                false => FAR_MS,
                true => match active.yields_at(patience(self.yields)).saturating_sub(now) {
                    0 => break self.yields = self.yields.wrapping_add(1),
                    left => left,
                },
            };
            select(self.advance(patience), active.is_authenticated()).await;
        }
    }

    /// Waits until a connection has come further, or `patience` milliseconds have gone by; and sees to it that a socket
    /// listens. Cancel-safe.
    async fn advance(&mut self, patience: u64) {
        let patience = self.make_room().min(patience);
        self.connections[N - 1].turn_away(ClearRefusal::Busy).await;
        let (clock, panel, address, count) = (self.clock, self.panel, self.address, &self.count);
        let steps = self.connections.each_mut().map(|connection| connection.step(clock, panel, address, count));
        let steps = select_array(steps);
        select(steps, clock.sleep_until(clock.now() + patience)).await;
    }

    /// Frees a socket to listen at, where none of those does that sessions are held at: resets the pending connection
    /// that has come least far, and of equals the oldest. Those that wait are not reset for others, but for one whose
    /// address has fewer failures. And frees the last socket, too. Gives after how many milliseconds to do so again.
    #[inline(never)]
    fn make_room(&mut self) -> u64 {
        let now = self.clock.now();
        let failures = |it: &Connection<S>| self.budget.failures(it.source, now);
        let mut again = FAR_MS;
        for it in &mut self.connections {
            match it.phase.limit().map(|limit| (it.since + limit).saturating_sub(now)) {
                Some(0) => it.reset(),
                Some(left) => again = again.min(left),
                None => {}
            }
        }
        let (last, others) = self.connections.split_last_mut().expect("a board has sockets");
        if last.phase != Phase::Listening {
            let worst = others.iter_mut().filter(|it| it.is_waiting()).max_by_key(|it| failures(it));
            if last.is_waiting()
                && let Some(worst) = worst.filter(|worst| failures(worst) > failures(last))
            {
                worst.reset();
            }
            match (last.since + GRACE_MS).saturating_sub(now) {
                0 => last.reset(),
                left => again = again.min(left),
            }
        }
        if others.iter().any(|it| it.phase == Phase::Listening && it.socket.is_some()) {
            return again;
        }
        let pending = || others.iter().filter(|it| it.socket.is_some());
        let Some(newest) = pending().max_by_key(|it| it.number) else { return again };
        let (newest, grace) = (newest.number, (newest.since + GRACE_MS).saturating_sub(now));
        let may_go =
            |it: &&mut Connection<S>| it.socket.is_some() && !it.is_waiting() && (grace == 0 || it.number != newest);
        match others.iter_mut().filter(may_go).min_by_key(|it| (it.phase.rank(), it.number)) {
            Some(least) => least.reset(),
            None if grace > 0 => again = again.min(grace),
            None => {}
        }
        again
    }

    /// Tells all that wait why they get no session.
    async fn turn_away(&mut self, refusal: ClearRefusal) {
        for connection in &mut self.connections {
            connection.turn_away(refusal).await;
        }
    }
}

/// How long a peer may keep this board waiting before it is authenticated while others wait, in milliseconds. Short, so
/// that those who say nothing do not keep a sender out; but longer now and then, for a sender that is far away.
fn patience(yields: u32) -> u64 {
    // 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 4, ... times the shortest.
    let doublings = yields.wrapping_add(1).trailing_zeros() / 2;
    (YIELD_MS << doublings.min(10)).min(YIELD_MAX_MS)
}

/// A socket, and the connection at it.
struct Connection<S> {
    /// None while a session has it.
    socket: Option<S>,
    phase: Phase,
    /// When the connection began, in milliseconds.
    since: u64,
    /// Its number, since many may begin in one millisecond.
    number: u32,
    /// Where it comes from.
    source: Option<Source>,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is none.
    Listening,
    /// The peer's SYN was answered.
    Connecting,
    /// TCP is up, and the peer has said so much of the preface.
    Preface { said: [u8; LEN], count: usize },
    /// The peer has said the preface.
    Waiting,
    /// The session is over, or the peer was turned away.
    Closing,
}

impl Phase {
    /// How long a peer may take, in milliseconds.
    fn limit(self) -> Option<u64> {
        match self {
            Self::Connecting => Some(CONNECT_MS),
            Self::Preface { .. } => Some(PREFACE_MS),
            Self::Listening | Self::Waiting | Self::Closing => None,
        }
    }

    /// Those of less rank make room first.
    fn rank(self) -> u8 {
        match self {
            Self::Listening | Self::Closing => 0,
            Self::Connecting => 1,
            Self::Preface { .. } => 2,
            Self::Waiting => 3,
        }
    }
}

impl<S: Socket> Connection<S> {
    fn is_waiting(&self) -> bool {
        self.phase == Phase::Waiting && self.socket.is_some()
    }

    fn take(&mut self) -> (S, Option<Source>) {
        let socket = self.socket.take().expect("one session at a time has a socket, and gives it back");
        (socket, self.source)
    }

    fn put_back(&mut self, socket: S) {
        self.socket = Some(socket);
        self.phase = Phase::Closing;
    }

    async fn turn_away(&mut self, refusal: ClearRefusal) {
        if self.is_waiting()
            && let Some(socket) = &mut self.socket
        {
            self.phase = Phase::Closing;
            say(socket, refusal).await;
        }
    }

    #[inline(never)]
    fn reset(&mut self) {
        if let Some(socket) = &mut self.socket {
            socket.abort();
            self.phase = Phase::Listening;
        }
    }

    /// Waits until the connection has come further. Cancel-safe: it goes on where it was.
    async fn step(&mut self, clock: &impl Clock, panel: &Panel, address: &Cell<Option<S::Address>>, count: &Cell<u32>) {
        let Some(socket) = &mut self.socket else { return pending().await };

        match &mut self.phase {
            Phase::Listening => match socket.listen(address.get()).await {
                Listened::Moved(now) => {
                    address.set(now);
                    panel.tell(Notice::Address);
                }
                Listened::Taken => {
                    (self.phase, self.since) = (Phase::Connecting, clock.now());
                    self.number = count.replace(count.get().wrapping_add(1));
                    self.source = socket.source().map(Source::of);
                }
            },
            Phase::Connecting => match socket.establish().await {
                true => self.phase = Phase::Preface { said: [0; LEN], count: 0 },
                false => self.reset(),
            },
            Phase::Preface { said, count } => {
                match hear(socket, &mut said[*count..]).await {
                    Some(more) => *count += more,
                    None => return self.reset(),
                }
                if *count == LEN {
                    self.phase = judge(socket, said).await;
                }
            }
            // A sender says nothing before it is spoken to: this is the end of the connection, or no sender.
            Phase::Waiting => {
                let _ = socket.readable().await;
                self.reset();
            }
            Phase::Closing => {
                socket.close().await;
                self.phase = Phase::Listening;
            }
        }
    }
}

/// What a connection says next; `None` where it says no more. Cancel-safe: it waits where nothing is read yet.
async fn hear<S: Socket>(socket: &mut S, said: &mut [u8]) -> Option<usize> {
    socket.readable().await.ok()?;
    socket.read(said).await.ok().filter(|count| *count > 0)
}

/// Lets a connection wait that said a preface. What is none gets no answer.
async fn judge<S: Socket>(socket: &mut S, said: &[u8; LEN]) -> Phase {
    match check_preface(said) {
        Ok(()) => return Phase::Waiting,
        Err(Some(refusal)) => say(socket, refusal).await,
        Err(None) => socket.abort(),
    }
    Phase::Closing
}

async fn say<S: Socket>(socket: &mut S, refusal: ClearRefusal) {
    // Whether it still listens or not, it gets no session.
    let _ = socket.write_all(&refusal.to_bytes()).await;
}

#[cfg(test)]
mod tests;
