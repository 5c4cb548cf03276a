//! The board's sockets: who is listened to, who gets the one place, and who is turned away.
//!
//! ```text
//! Open -> somebody connects -> Preface -> 8 right bytes -> Admitted -> gets the place
//!  ^                              | wrong bytes, silence       | the place is taken: *busy*
//!  +----------- Leaving <---------+----------------------------+
//! ```
//!
//! All of it costs a stranger's socket and a few bytes, and no cryptography. Before TLS; PROTOCOL.md, sections 2 and 6,
//! "Places".

use core::cell::Cell;
use core::future::{pending, poll_fn};
use core::task::Poll;

use embassy_futures::select::{Either, select, select_array};
use waft_core::limits::{PREFACE_MS, YIELD_MS};
use waft_core::session::Clock;
use waft_core::wire::preface::{ClearRefusal, LEN, check_preface};

use crate::board::Socket;
use crate::panel::Panel;

/// While no socket is free, a silent stranger keeps one only so long, in milliseconds: a sender speaks at once.
const CROWDED_MS: u64 = 250;

/// The sockets, and how far whoever is at each has come.
pub(crate) struct Doors<'a, S, K, const N: usize> {
    doors: [Door<S>; N],
    hall: Hall<'a, K>,
}

/// What all doors share.
struct Hall<'a, K> {
    clock: &'a K,
    panel: &'a Panel,
    /// Doors at which nobody is.
    free: Cell<usize>,
}

/// Who holds the place, as those outside may know it.
pub(crate) struct Place {
    since: u64,
    authenticated: Cell<bool>,
}

impl Place {
    /// Whoever holds the place has proven to be a trusted sender, and keeps it.
    pub(crate) fn authenticated(&self) {
        self.authenticated.set(true);
    }

    /// Completes once whoever holds the place keeps it. It is polled whenever the session that says so was.
    async fn is_kept(&self) {
        poll_fn(|_| if self.authenticated.get() { Poll::Ready(()) } else { Poll::Pending }).await;
    }
}

impl<'a, S: Socket, K: Clock, const N: usize> Doors<'a, S, K, N> {
    pub(crate) fn new(sockets: [S; N], clock: &'a K, panel: &'a Panel) -> Self {
        let doors = sockets.map(|socket| Door { socket: Some(socket), at: At::Open });
        Self { doors, hall: Hall { clock, panel, free: Cell::new(N) } }
    }

    /// Gives the place to one connection after the other, for one `session` each.
    pub(crate) async fn serve(&mut self, mut session: impl AsyncFnMut(&mut S, &Place)) -> ! {
        loop {
            let door = self.next().await;
            let mut socket = self.doors[door].take();
            let place = Place { since: self.hall.clock.now(), authenticated: Cell::new(false) };
            let over = select(session(&mut socket, &place), self.keep(&place)).await;
            if let Either::Second(()) = over {
                socket.abort();
            }
            self.doors[door].put_back(socket);
        }
    }

    /// Tells everyone who says the preface why they cannot come in.
    pub(crate) async fn refuse(&mut self, refusal: ClearRefusal) -> ! {
        loop {
            let door = self.next().await;
            self.doors[door].turn_away(refusal).await;
        }
    }

    /// Waits for somebody who has said the preface: of several, for who has waited longest, so that strangers who come
    /// back again and again do not keep a sender out. Cancel-safe.
    async fn next(&mut self) -> usize {
        let hall = &self.hall;
        let ((), ready) = select_array(self.doors.each_mut().map(|door| door.admit(hall))).await;
        let since = |door: &usize| match self.doors[*door].at {
            At::Admitted { since } => since,
            _ => u64::MAX,
        };
        (0..N).min_by_key(since).unwrap_or(ready)
    }

    /// Tells everyone who knocks that the place is taken. Completes when one of them has waited long enough for
    /// somebody who does not prove who they are.
    async fn keep(&mut self, place: &Place) {
        let hall = &self.hall;
        select_array(self.doors.each_mut().map(|door| door.wait_for(place, hall))).await;
    }
}

/// A socket, and who is there.
struct Door<S> {
    /// None while a session has it.
    socket: Option<S>,
    at: At,
}

/// How far somebody has come.
enum At {
    /// Nobody is there.
    Open,
    /// Somebody is, and has said so much of the preface.
    Preface { said: [u8; LEN], count: usize, since: u64 },
    /// Somebody has said it.
    Admitted { since: u64 },
    /// Somebody was told to go, or is done.
    Leaving,
}

impl<S: Socket> Door<S> {
    fn take(&mut self) -> S {
        self.socket.take().expect("one session at a time has a socket, and gives it back")
    }

    fn put_back(&mut self, socket: S) {
        self.socket = Some(socket);
        self.at = At::Leaving;
    }

    /// Completes once somebody has said the preface. Cancel-safe: it goes on where it was.
    async fn admit<K: Clock>(&mut self, hall: &Hall<'_, K>) {
        let Some(socket) = &mut self.socket else { return pending().await };
        loop {
            match &mut self.at {
                At::Open => {
                    hall.panel.listens_at(socket.address().await);
                    socket.accept().await;
                    hall.free.update(|free| free - 1);
                    self.at = At::Preface { said: [0; LEN], count: 0, since: hall.clock.now() };
                }
                At::Preface { said, count, since } => {
                    let patience = hall.clock.sleep_until(hall.clock.now() + CROWDED_MS);
                    match select(hear(socket, &mut said[*count..]), patience).await {
                        Either::First(Some(more)) => *count += more,
                        Either::Second(()) if hall.is_patient(*since) => {}
                        _ => {
                            socket.abort();
                            self.at = At::Leaving;
                            continue;
                        }
                    }
                    if *count == LEN {
                        self.at = judge(socket, said, hall.clock.now()).await;
                    }
                }
                At::Admitted { .. } => return,
                At::Leaving => {
                    socket.close().await;
                    self.at = At::Open;
                    hall.free.update(|free| free + 1);
                }
            }
        }
    }

    /// Keeps whoever knocks waiting while the place may still become free. Completes when it has to.
    async fn wait_for<K: Clock>(&mut self, place: &Place, hall: &Hall<'_, K>) {
        loop {
            self.admit(hall).await;
            match select(place.is_kept(), hall.clock.sleep_until(place.since + YIELD_MS)).await {
                Either::First(()) => self.turn_away(ClearRefusal::Busy).await,
                Either::Second(()) => return,
            }
        }
    }

    async fn turn_away(&mut self, refusal: ClearRefusal) {
        self.at = At::Leaving;
        if let Some(socket) = &mut self.socket {
            say(socket, refusal).await;
        }
    }
}

impl<K: Clock> Hall<'_, K> {
    /// Whether somebody who has been here since then may still say the preface.
    fn is_patient(&self, since: u64) -> bool {
        let patience = if self.free.get() == 0 { CROWDED_MS } else { PREFACE_MS };
        self.clock.now() < since + patience
    }
}

/// What a connection says next; `None` where it says no more. Cancel-safe: it waits where nothing is read yet.
async fn hear<S: Socket>(socket: &mut S, said: &mut [u8]) -> Option<usize> {
    socket.readable().await.ok()?;
    socket.read(said).await.ok().filter(|count| *count > 0)
}

/// Admits whoever said a preface. What is none gets no answer.
async fn judge<S: Socket>(socket: &mut S, said: &[u8; LEN], now: u64) -> At {
    match check_preface(said) {
        Ok(()) => return At::Admitted { since: now },
        Err(Some(refusal)) => say(socket, refusal).await,
        Err(None) => socket.abort(),
    }
    At::Leaving
}

async fn say<S: Socket>(socket: &mut S, refusal: ClearRefusal) {
    // Whether it still listens or not, it is not let in.
    let _ = socket.write_all(&refusal.to_bytes()).await;
}
