//! The receiver as one future that never ends. A board runs it in a task.
//!
//! ```text
//! run = mount the slots, then run both:
//!         sockets -> session -> store, one connection after another   (accept, session)
//!         console, input and output                                   (console)
//! ```
//!
//! A failed connection does not end it. If the identity, random numbers or a working flash are missing, the console
//! reports it.

use core::cell::Cell;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embassy_sync::mutex::Mutex;
use waft_core::session::Clock;
use waft_core::session::own_frame::own_frame;
use waft_core::session::peers::{LockoutSnapshot, PeerState};
use waft_core::wire::preface::ClearRefusal;

use crate::accept::Backlog;
use crate::board::{Board, StartReason, Startup, StartupError};
use crate::console::{Around, Console, Ready};
use crate::entropy::Random;
use crate::events::{Event, Events};
use crate::panel::Panel;
use crate::session::{Memory, Sessions, SharedStore, Store};
use crate::slots::{MountError, SlotStore, Slots};

/// What a board passes to [`run`]. It has `N` sockets: at least two, or three if untrusted peers can reach the board.
pub struct Parts<'a, B: Board, const N: usize> {
    /// The identity and random numbers, or why the board cannot receive.
    pub startup: Result<Startup<'a>, StartupError>,
    /// The slots, which store folders. The application reads from the same slots.
    pub slots: &'a Slots<'a, B::Mutex, B::Flash>,
    /// The sockets. The last one serves no session and only rejects peers as *busy*, so short buffers are enough for
    /// it.
    pub sockets: [B::Socket; N],
    /// The console.
    pub console: B::Console,
    /// Whether the console echoes input: yes on a serial line, no on a terminal that echoes lines itself.
    pub echo: bool,
    /// The clock.
    pub clock: &'a B::Clock,
    /// Why the board started.
    pub start: StartReason,
    /// Memory that survives a reset: the lockouts of senders that sent wrong codes.
    pub lockouts: &'a mut LockoutSnapshot,
    /// The events for the application.
    pub events: &'a Events<B::Mutex>,
    /// The buffers of the receiver.
    pub memory: &'a mut Memory,
}

/// Receives folders. Never returns; run it in a task of its own.
pub async fn run<B: Board, const N: usize>(parts: Parts<'_, B, N>) -> ! {
    let Parts { startup, slots, sockets, console, echo, clock, start, lockouts, events, memory } = parts;
    let panel = Panel::new();
    let address = Cell::new(None);
    let Memory { tls, frame, plain, collected, transfer } = memory;
    let (store, fault) = split_mount::<B>(own_frame(pin!(SlotStore::mount(slots, collected, transfer))).await);
    if fault.is_none() {
        events.send(Event::Mounted);
    }
    let startup = fault.map_or(startup, Err);
    let ready = match &startup {
        Ok(Startup { identity, sources, .. }) => Ok(Ready { identity, sources: *sources }),
        Err(error) => Err(*error),
    };
    let around = Around { panel: &panel, address: &address, slots, store: store.as_ref(), clock, ready, start };
    let mut console = Console::<B>::new(console, echo, around);
    let mut console = pin!(console.serve());
    let mut backlog = Backlog::new(sockets, clock, &panel, &address);
    let (Startup { identity, mut random, .. }, store) = match (startup, &store) {
        (Ok(startup), Some(store)) => (startup, store),
        (Err(StartupError::Identity(_)), _) => {
            run_both(pin!(backlog.refuse(ClearRefusal::NotProvisioned)), console.as_mut()).await
        }
        _ => console.await,
    };
    store.lock().await.allow_older(identity.policy.allow_older);
    let peers = restore_peers(start, &mut random, lockouts, clock.now());
    let panel = &panel;
    let mut sessions = Sessions::<B> { identity, random, peers, lockouts, store, clock, panel, events, frame, plain };
    if identity.policy.code {
        panel.show_code(sessions.peers.code());
    }
    let serve = async {
        loop {
            match select(backlog.next(), clock.sleep_until(sessions.expire())).await {
                Either::First(at) => {
                    let session = async |socket: &mut _, active: &_| sessions.hold(tls, socket, active).await;
                    backlog.hold(at, session).await;
                }
                Either::Second(()) => {}
            }
        }
    };
    run_both(pin!(serve), console).await
}

/// Splits the result of a mount. Not inlined, so that the store that is moved here takes no memory in the future of
/// `run`.
#[inline(never)]
fn split_mount<'a, B: Board>(
    mounted: Result<Store<'a, B>, MountError>,
) -> (Option<SharedStore<'a, B>>, Option<StartupError>) {
    match mounted {
        Ok(store) => (Some(Mutex::new(store)), None),
        Err(fault) => (None, Some(StartupError::Flash(fault))),
    }
}

/// The state of peers, with the lockouts from before a reset.
#[inline(never)]
fn restore_peers(start: StartReason, random: &mut Random, lockouts: &mut LockoutSnapshot, now: u64) -> PeerState {
    let peers = match start {
        StartReason::PowerOn => PeerState::new(random),
        _ => PeerState::restore(random, lockouts, now),
    };
    *lockouts = peers.lockouts(now);
    peers
}

/// Runs two futures that never end. They are pinned by reference, because passing them by value would store each twice.
async fn run_both<T>(one: Pin<&mut impl Future<Output = T>>, other: Pin<&mut impl Future<Output = T>>) -> T {
    match select(own_frame(one), own_frame(other)).await {
        Either::First(end) | Either::Second(end) => end,
    }
}
