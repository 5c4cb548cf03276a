//! Accepts connections: decides which one gets the single session, and turns the others away.
//!
//! ```text
//! Listening -> a SYN -> Connecting -> TCP established -> Preface -> 8 valid bytes -> Waiting -> the session
//!     ^                     |                               |  wrong bytes, timeout      |  a session runs: *busy*
//!     +------ Closing <-----+-------------------------------+----------------------------+
//! ```
//!
//! Before its session a connection costs a socket and a few bytes, but no cryptography. TCP on a chip has no accept
//! queue: a SYN that finds no listening socket is reset. So the last socket never carries a session: it answers *busy*
//! to connections for which the other sockets have no room. One of the other sockets also keeps listening, unless each
//! of them carries a session or a waiting connection: to free a socket, the pending connection that has made the least
//! progress is reset. Which waiting connection gets the session, and when, also depends on what failed handshakes from
//! its address have cost: see [`budget`](crate::budget). PROTOCOL.md, sections 2 and 6, "Many connections".

use core::cell::Cell;
use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;

use embassy_futures::select::{Either, select, select_array};
use waft_core::limits::{PREFACE_MS, YIELD_MAX_MS, YIELD_MS};
use waft_core::session::Clock;
use waft_core::wire::preface::{ClearRefusal, LEN, Purpose};

use crate::board::{ListenEvent, Socket, Watch};
use crate::budget::{Budget, Source};
use crate::operator::{Notice, OperatorState};

/// The time in which a peer must complete the TCP handshake, in milliseconds. A spoofed address never completes it.
const CONNECT_MS: u64 = 3_000;
/// The newest connection is not reset within this time, in milliseconds. After it, a connection at the last socket is
/// always reset. On a local network a TCP handshake with the preface takes less time, and so does a refusal.
const GRACE_MS: u64 = 30;
/// The longest wait between two looks at all connections, in milliseconds.
const IDLE_MS: u64 = 3_600_000;

/// The sockets, and how far the connection at each one has come.
pub(crate) struct Backlog<'a, S: Socket, K, const N: usize> {
    connections: [Connection<'a, S>; N],
    budget: Budget,
    /// The number of connections so far.
    count: Cell<u32>,
    /// The number of sessions that were ended for a waiting connection since the last authenticated one.
    yields: u32,
    clock: &'a K,
    state: &'a OperatorState,
    /// The address at which senders reach the board.
    address: &'a Cell<Option<S::Address>>,
}

/// The running session, as far as it matters to the other connections.
pub(crate) struct ActiveSession {
    since: u64,
    /// What the connection is for.
    pub(crate) purpose: Purpose,
    /// The processor time that it used before its peer was authenticated, in milliseconds.
    worked: Cell<u64>,
    is_authenticated: Cell<bool>,
}

impl ActiveSession {
    fn new(purpose: Purpose, now: u64) -> Self {
        Self { purpose, since: now, worked: Cell::new(0), is_authenticated: Cell::new(false) }
    }

    /// Notes that the peer is authenticated as a trusted sender, or has paired. From now on it keeps the session.
    pub(crate) fn set_authenticated(&self) {
        self.is_authenticated.set(true);
    }

    /// Completes when the peer is authenticated. It registers no waker: it is polled whenever the session is polled.
    async fn wait_authenticated(&self) {
        poll_fn(|_| if self.is_authenticated.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }

    /// Runs the session, and measures the processor time that it uses until its peer is authenticated.
    async fn measure<T>(&self, clock: &impl Clock, mut session: Pin<&mut impl Future<Output = T>>) -> T {
        poll_fn(|context| {
            if self.is_authenticated.get() {
                return session.as_mut().poll(context);
            }
            let begun = clock.now();
            let polled = session.as_mut().poll(context);
            self.worked.update(|worked| worked + clock.now().saturating_sub(begun));
            polled
        })
        .await
    }

    /// The time at which this board will have waited for the peer for `patience` milliseconds.
    fn yields_at(&self, patience: u64) -> u64 {
        self.since + self.worked.get() + patience
    }
}

impl<'a, S: Socket, K: Clock, const N: usize> Backlog<'a, S, K, N> {
    pub(crate) fn new(
        sockets: &'a mut [S; N],
        clock: &'a K,
        state: &'a OperatorState,
        address: &'a Cell<Option<S::Address>>,
    ) -> Self {
        const { assert!(N >= 2, "one socket for sessions, and one that listens meanwhile") };
        let connections = sockets.each_mut().map(|socket| {
            // A connection may be left from a receiver that was dropped.
            socket.abort();
            Connection { socket: Some(socket), phase: Phase::Listening, since: 0, number: 0, source: None }
        });
        Self { connections, budget: Budget::new(clock.now()), count: Cell::new(0), yields: 0, clock, state, address }
    }

    /// Runs `session` on connection `at`, an index that [`next`](Self::next) returned.
    pub(crate) async fn serve(&mut self, at: usize, session: impl AsyncFnOnce(&mut S, &ActiveSession)) {
        let (socket, source, purpose) = self.connections[at].take();
        let active = ActiveSession::new(purpose, self.clock.now());
        let over = {
            let session = pin!(session(socket, &active));
            select(active.measure(self.clock, session), self.accept_beside(&active)).await
        };
        if let Either::Second(()) = over {
            socket.abort();
        }
        match active.is_authenticated.get() {
            true => self.budget.succeeded(source),
            false => self.budget.failed(source, active.worked.get(), self.clock.now()),
        }
        self.connections[at].put_back(socket);
    }

    /// Sends `refusal` to each connection that sent a valid preface.
    pub(crate) async fn refuse(&mut self, refusal: ClearRefusal) -> ! {
        loop {
            self.refuse_waiting(refusal).await;
            self.advance(IDLE_MS).await;
        }
    }

    /// Waits for the connection that gets the next session: the one whose address has the fewest failed handshakes, and
    /// among equals the one that connected first. While receiving is paused, all are refused. Cancel-safe.
    pub(crate) async fn next(&mut self, is_paused: impl Fn() -> bool) -> usize {
        loop {
            if is_paused() {
                self.refuse_waiting(ClearRefusal::Busy).await;
            }
            let now = self.clock.now();
            let waiting = self.connections[..N - 1].iter().enumerate().filter(|(_, it)| it.is_waiting());
            let best = waiting.min_by_key(|(_, it)| (self.budget.failures(it.source, now), it.number));
            let patience = match best {
                None => IDLE_MS,
                Some((at, connection)) => match self.budget.wait(connection.source, now) {
                    0 => return at,
                    wait => wait,
                },
            };
            self.advance(patience).await;
        }
    }

    /// Accepts connections beside a session. Completes when the session must end: its peer is not authenticated, has
    /// kept this board waiting for long enough, and another connection waits.
    async fn accept_beside(&mut self, active: &ActiveSession) {
        loop {
            if active.is_authenticated.get() {
                self.yields = 0;
                self.refuse_waiting(ClearRefusal::Busy).await;
                self.advance(IDLE_MS).await;
                continue;
            }
            let now = self.clock.now();
            let patience = match self.connections[..N - 1].iter().any(Connection::is_waiting) {
                false => IDLE_MS,
                true => match active.yields_at(patience(self.yields)).saturating_sub(now) {
                    0 => break self.yields = self.yields.wrapping_add(1),
                    left => left,
                },
            };
            select(self.advance(patience), active.wait_authenticated()).await;
        }
    }

    /// Waits until a connection makes progress or `patience` milliseconds pass, and keeps a socket listening.
    /// Cancel-safe.
    async fn advance(&mut self, patience: u64) {
        let patience = self.make_room().min(patience);
        self.connections[N - 1].refuse_waiting(ClearRefusal::Busy).await;
        let (clock, state, count) = (self.clock, self.state, &self.count);
        // One of the sockets that listen watches the address.
        let mut address = Some(self.address);
        let steps = self.connections.each_mut().map(|connection| {
            let watched = address.take_if(|_| connection.is_listening());
            connection.step(clock, state, watched, count)
        });
        let steps = select_array(steps);
        select(steps, clock.sleep_until(clock.now() + patience)).await;
    }

    /// Ensures that one of the sockets for sessions listens, by resetting the pending connection that has made the
    /// least progress, and among equals the oldest. A waiting connection is only reset in favour of one whose address
    /// has fewer failures. Also resets connections that exceeded their time limit, and frees the last socket. Returns
    /// the number of milliseconds after which to call it again.
    #[inline(never)]
    fn make_room(&mut self) -> u64 {
        let now = self.clock.now();
        let failures = |it: &Connection<'_, S>| self.budget.failures(it.source, now);
        let mut again = IDLE_MS;
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
        if others.iter().any(Connection::is_listening) {
            return again;
        }
        let pending = || others.iter().filter(|it| it.socket.is_some());
        let Some(newest) = pending().max_by_key(|it| it.number) else { return again };
        let (newest, grace) = (newest.number, (newest.since + GRACE_MS).saturating_sub(now));
        let may_go = |it: &&mut Connection<'_, S>| {
            it.socket.is_some() && !it.is_waiting() && (grace == 0 || it.number != newest)
        };
        match others.iter_mut().filter(may_go).min_by_key(|it| (it.phase.rank(), it.number)) {
            Some(least) => least.reset(),
            None if grace > 0 => again = again.min(grace),
            None => {}
        }
        again
    }

    /// Sends `refusal` to all waiting connections.
    async fn refuse_waiting(&mut self, refusal: ClearRefusal) {
        for connection in &mut self.connections {
            connection.refuse_waiting(refusal).await;
        }
    }
}

/// How long a peer may keep this board waiting before it is authenticated while other connections wait, in
/// milliseconds. Short, so that silent peers do not keep a sender out, but sometimes longer, for a sender that is far
/// away.
fn patience(yields: u32) -> u64 {
    // 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 2, 1, 1, 1, 4, ... times the shortest time.
    let doublings = yields.wrapping_add(1).trailing_zeros() / 2;
    (YIELD_MS << doublings.min(10)).min(YIELD_MAX_MS)
}

/// A socket and its connection.
struct Connection<'a, S> {
    /// `None` while a session uses it.
    socket: Option<&'a mut S>,
    phase: Phase,
    /// The time at which the connection began, in milliseconds.
    since: u64,
    /// The sequence number of the connection, because several may begin in one millisecond.
    number: u32,
    /// The address of the peer.
    source: Option<Source>,
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no connection.
    Listening,
    /// The peer's SYN was answered.
    Connecting,
    /// TCP is established, and the peer has sent `count` bytes of the preface.
    Preface { received: [u8; LEN], count: usize },
    /// The peer has sent the preface, and waits for a session.
    Waiting(Purpose),
    /// The session is over, or the peer was refused.
    Closing,
}

impl Phase {
    /// The latest end of this phase, in milliseconds after the connection began.
    fn limit(self) -> Option<u64> {
        match self {
            Self::Connecting => Some(CONNECT_MS),
            Self::Preface { .. } => Some(PREFACE_MS),
            Self::Listening | Self::Waiting(_) | Self::Closing => None,
        }
    }

    /// Connections of a lower rank are reset first.
    fn rank(self) -> u8 {
        match self {
            Self::Listening | Self::Closing => 0,
            Self::Connecting => 1,
            Self::Preface { .. } => 2,
            Self::Waiting(_) => 3,
        }
    }
}

impl<'a, S: Socket> Connection<'a, S> {
    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_)) && self.socket.is_some()
    }

    fn is_listening(&self) -> bool {
        self.phase == Phase::Listening && self.socket.is_some()
    }

    fn take(&mut self) -> (&'a mut S, Option<Source>, Purpose) {
        let socket = self.socket.take().expect("one session at a time has a socket, and gives it back");
        let purpose = if let Phase::Waiting(purpose) = self.phase { purpose } else { Purpose::Session };
        (socket, self.source, purpose)
    }

    fn put_back(&mut self, socket: &'a mut S) {
        self.socket = Some(socket);
        self.phase = Phase::Closing;
    }

    async fn refuse_waiting(&mut self, refusal: ClearRefusal) {
        if self.is_waiting()
            && let Some(socket) = self.socket.as_deref_mut()
        {
            self.phase = Phase::Closing;
            send_refusal(socket, refusal).await;
        }
    }

    #[inline(never)]
    fn reset(&mut self) {
        if let Some(socket) = self.socket.as_deref_mut() {
            socket.abort();
            self.phase = Phase::Listening;
        }
    }

    /// Waits until the connection makes progress. Cancel-safe: the next call continues where this one stopped.
    async fn step(
        &mut self,
        clock: &impl Clock,
        state: &OperatorState,
        address: Option<&Cell<Option<S::Address>>>,
        count: &Cell<u32>,
    ) {
        let Some(socket) = self.socket.as_deref_mut() else { return pending().await };
        match &mut self.phase {
            Phase::Listening => {
                match socket.listen(address.map_or(Watch::Peers, |known| Watch::Address(known.get()))).await {
                    ListenEvent::AddressChanged(now) => {
                        if let Some(known) = address {
                            known.set(now);
                        }
                        state.notify(Notice::Address);
                    }
                    ListenEvent::Connecting => {
                        (self.phase, self.since) = (Phase::Connecting, clock.now());
                        self.number = count.replace(count.get().wrapping_add(1));
                        self.source = socket.source().map(Source::of);
                    }
                }
            }
            Phase::Connecting => match socket.establish().await {
                true => self.phase = Phase::Preface { received: [0; LEN], count: 0 },
                false => self.reset(),
            },
            Phase::Preface { received, count } => {
                match read_preface(socket, &mut received[*count..]).await {
                    Some(more) => *count += more,
                    None => return self.reset(),
                }
                if *count == LEN {
                    self.phase = check_peer(socket, received, state.is_pairing_open(clock.now())).await;
                }
            }
            // A sender sends nothing before our ClientHello, and a dialer nothing before our `Hello`. So either the connection ended, or the peer is not a
            // sender.
            Phase::Waiting(_) => {
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

/// Reads the next bytes of a connection, or returns `None` at its end. Cancel-safe: it only waits before it reads.
async fn read_preface<S: Socket>(socket: &mut S, received: &mut [u8]) -> Option<usize> {
    socket.readable().await.ok()?;
    socket.read(received).await.ok().filter(|count| *count > 0)
}

/// Checks a complete preface: a valid one makes the connection wait; bytes that are not a preface get no answer.
async fn check_peer<S: Socket>(socket: &mut S, received: &[u8; LEN], is_pairing_open: bool) -> Phase {
    let refusal = match Purpose::of_preface(received) {
        Ok(Purpose::Pairing) if !is_pairing_open => ClearRefusal::PairingClosed,
        Ok(purpose) => return Phase::Waiting(purpose),
        Err(Some(refusal)) => refusal,
        Err(None) => {
            socket.abort();
            return Phase::Closing;
        }
    };
    send_refusal(socket, refusal).await;
    Phase::Closing
}

async fn send_refusal<S: Socket>(socket: &mut S, refusal: ClearRefusal) {
    // An error does not matter: the connection gets no session either way.
    let _ = socket.write_all(&refusal.to_bytes()).await;
}

#[cfg(test)]
mod tests;
