//! The receiver as one future: everything that a board does for waft, for ever.
//!
//! ```text
//! run = mount the slots, then both of
//!         sockets -> session -> store, one connection after the other   (accept, session)
//!         console, in and out                                          (console)
//! ```
//!
//! It survives every connection; what it cannot do without (identity, random numbers, a flash that works) it tells on
//! the console.

use core::cell::Cell;
use core::future::Future;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use embassy_sync::mutex::Mutex;
use waft_core::session::Clock;
use waft_core::session::apart::apart;
use waft_core::session::desk::{Desk, Tries};
use waft_core::wire::preface::ClearRefusal;

use crate::accept::Backlog;
use crate::board::{Board, Fit, Start, Unfit};
use crate::console::{Around, Console, Ready};
use crate::entropy::Random;
use crate::events::{Event, Events};
use crate::panel::Panel;
use crate::session::{Memory, Sessions, SharedStore, Store};
use crate::slots::{MountError, SlotStore, Slots};

/// What a board hands over. `N`: its sockets, two at least; three for boards that strangers can reach.
pub struct Parts<'a, B: Board, const N: usize> {
    /// What the board found out about itself.
    pub fit: Result<Fit<'a>, Unfit>,
    /// Where folders go; the application reads from the same.
    pub slots: &'a Slots<'a, B::Mutex, B::Flash>,
    /// The sockets. The last one has no session, and tells others *busy*: short buffers do for it.
    pub sockets: [B::Socket; N],
    /// The console.
    pub console: B::Console,
    /// Whether the console has to show what is typed: on a bare serial line, not at a terminal that collects lines.
    pub echo: bool,
    /// The clock.
    pub clock: &'a B::Clock,
    /// Why the board started.
    pub start: Start,
    /// Memory that a reset leaves alone: the senders' wrong codes.
    pub tries: &'a mut Tries,
    /// What the application hears.
    pub events: &'a Events<B::Mutex>,
    /// Memory to work in.
    pub memory: &'a mut Memory,
}

/// Receives folders, for ever. Give it a task of its own.
pub async fn run<B: Board, const N: usize>(parts: Parts<'_, B, N>) -> ! {
    let Parts { fit, slots, sockets, console, echo, clock, start, tries, events, memory } = parts;
    let panel = Panel::new();
    let address = Cell::new(None);
    let Memory { tls, frame, plain, collected, transfer } = memory;
    let (store, fault) = shared::<B>(apart(pin!(SlotStore::mount(slots, collected, transfer))).await);
    if fault.is_none() {
        events.tell(Event::Mounted);
    }
    let fit = fault.map_or(fit, Err);
    let ready = match &fit {
        Ok(Fit { identity, sources, .. }) => Ok(Ready { identity, sources: *sources }),
        Err(unfit) => Err(*unfit),
    };
    let around = Around { panel: &panel, address: &address, slots, store: store.as_ref(), clock, ready, start };
    let mut console = Console::<B>::new(console, echo, around);
    let mut console = pin!(console.serve());
    let mut backlog = Backlog::new(sockets, clock, &panel, &address);
    let (Fit { identity, mut random, .. }, store) = match (fit, &store) {
        (Ok(fit), Some(store)) => (fit, store),
        (Err(Unfit::Identity(_)), _) => {
            both(pin!(backlog.refuse(ClearRefusal::NotProvisioned)), console.as_mut()).await
        }
        _ => console.await,
    };
    store.lock().await.allow_older(identity.policy.allow_older);
    let desk = desk_at(start, &mut random, tries, clock.now());
    let panel = &panel;
    let mut sessions = Sessions::<B> { identity, random, desk, tries, store, clock, panel, events, frame, plain };
    if identity.policy.code {
        panel.show_code(sessions.desk.code());
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
    both(pin!(serve), console).await
}

/// The store, if the flash has one. In a function of its own: what `run` moves about itself takes memory for ever.
#[inline(never)]
fn shared<'a, B: Board>(mounted: Result<Store<'a, B>, MountError>) -> (Option<SharedStore<'a, B>>, Option<Unfit>) {
    match mounted {
        Ok(store) => (Some(Mutex::new(store)), None),
        Err(fault) => (None, Some(Unfit::Flash(fault))),
    }
}

/// The desk, with the wrong codes of before a reset.
#[inline(never)]
fn desk_at(start: Start, random: &mut Random, tries: &mut Tries, now: u64) -> Desk {
    let desk = match start {
        Start::Power => Desk::new(random),
        _ => Desk::resume(random, tries, now),
    };
    *tries = desk.tries(now);
    desk
}

/// Both at once; of those that never end. They come pinned: handed over by value each would lie here twice.
async fn both<T>(one: Pin<&mut impl Future<Output = T>>, other: Pin<&mut impl Future<Output = T>>) -> T {
    match select(apart(one), apart(other)).await {
        Either::First(end) | Either::Second(end) => end,
    }
}
