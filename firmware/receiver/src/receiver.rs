//! The receiver of a board: one future that receives one folder after the other.
//!
//! ```text
//! run = mount the slots, then run both:
//!         sockets -> session -> store, one connection after another   (accept, session)
//!         operator: shows the code, takes the key                     (operator)
//! ```
//!
//! A failed connection does not end it. If the identity, random numbers or a working flash are missing, the operator
//! shows that.

use core::cell::Cell;
use core::future::Future;
use core::marker::PhantomData;
use core::pin::{Pin, pin};

use embassy_futures::select::{Either, select};
use rand_core::CryptoRngCore;
use waft_core::pairing::Limiter;
use waft_core::session::Clock;
use waft_core::session::own_frame::own_frame;
use waft_core::session::peers::{LockoutSnapshot, PeerState};
use waft_core::wire::preface::ClearRefusal;

use crate::accept::Backlog;
use crate::board::{Board, StartReason, Startup, StartupError};
use crate::entropy::{Random, Sources};
use crate::events::{Event, Events};
use crate::identity::Identity;
use crate::operator::{Control, Operator, OperatorState};
use crate::session::{BoardSettings, BoardSlots, Memory, SessionBuffers, Sessions, WipeOnDrop};
use crate::settings::SettingsError;
use crate::slots::{AcceptAll, MountError, Review};
#[cfg(feature = "wifi")]
use crate::wifi::Station;

/// How long the user has to type the key, in seconds.
const KEY_SECONDS: u16 = 300;
/// The most PBKDF2 iterations of a typed key, unless the application says otherwise.
const ITERATIONS_MAX: u32 = 10_000;

/// The settings of a [`Receiver`].
pub struct Config<'a, B: Board> {
    /// The clock.
    pub clock: B::Clock,
    /// The most PBKDF2 iterations of a typed key. They should take about half a second in all; other tasks run in between.
    /// An iteration takes about 5,000 instructions.
    pub max_iterations: u32,
    /// How long the user has to type the key, in seconds.
    pub key_seconds: u16,
    /// Why the board started. After any start but a power-on, `lockouts` count on.
    pub start: StartReason,
    /// Memory that survives a reset, for the lockouts of senders that sent wrong codes. Without it, a reset ends them.
    pub lockouts: Option<&'a mut LockoutSnapshot>,
    /// The events for the application.
    pub events: Option<&'a Events<B::Mutex>>,
    /// The sources of the random numbers, for the operator.
    pub sources: Option<Sources>,
    /// The settings in the flash. Without them, trusted senders and policy are those of the identity.
    pub settings: Option<&'a BoardSettings<'a, B>>,
    /// Restarts the board after a factory reset was begun. Without it, the user has to restart the board.
    pub restart: Option<&'a dyn Fn()>,
    /// The station of a board with Wi-Fi: the receiver sets its network, and the operator shows its status.
    #[cfg(feature = "wifi")]
    pub wifi: Option<&'a Station<B::Mutex>>,
}

impl<B: Board> Config<'_, B> {
    /// The default settings, with this clock.
    pub const fn new(clock: B::Clock) -> Self {
        Self {
            clock,
            max_iterations: ITERATIONS_MAX,
            key_seconds: KEY_SECONDS,
            start: StartReason::PowerOn,
            lockouts: None,
            events: None,
            sources: None,
            settings: None,
            restart: None,
            #[cfg(feature = "wifi")]
            wifi: None,
        }
    }
}

impl<B: Board<Clock: Default>> Default for Config<'_, B> {
    fn default() -> Self {
        Self::new(B::Clock::default())
    }
}

/// The receiver of a board. [`run`](Self::run) it at the end of the task that starts the board, or in a task of its own.
pub struct Receiver<'a, B: Board> {
    /// The identity and the random number generator, or why the board cannot receive.
    parts: Result<(&'a Identity, B::Rng), StartupError>,
    slots: &'a BoardSlots<'a, B>,
    memory: &'a mut Memory,
    config: Config<'a, B>,
    /// Whether `run` was called before.
    has_run: bool,
}

impl<'a, B: Board> Receiver<'a, B> {
    /// The receiver of a board with this identity. It stores folders in `slots`, from which the application reads them.
    ///
    /// `rng` makes all keys: seed it well. A board with a true random number generator passes a generator that it
    /// seeded from that; the [`seed`](crate::seed) helps where there is none.
    pub fn new(
        identity: &'a Identity,
        slots: &'a BoardSlots<'a, B>,
        rng: B::Rng,
        memory: &'a mut Memory,
        config: Config<'a, B>,
    ) -> Self {
        Self { parts: Ok((identity, rng)), slots, memory, config, has_run: false }
    }

    /// The receiver of a board that cannot receive, because of `error`. It refuses senders if the board has no identity,
    /// its operator shows the error, and folders that were received before can be read.
    pub fn disabled(
        error: StartupError,
        slots: &'a BoardSlots<'a, B>,
        memory: &'a mut Memory,
        config: Config<'a, B>,
    ) -> Self {
        Self { parts: Err(error), slots, memory, config, has_run: false }
    }

    /// Receives folders on these sockets, and runs the operator beside that. Never returns.
    ///
    /// There are at least two sockets, or three if untrusted peers can reach the board. The last one serves no session
    /// and only rejects peers as *busy*, so short buffers are enough for it.
    ///
    /// Dropping the future is as safe as a power cut: a transfer can be resumed, and readers see the old folder or the
    /// new one. After that, `run` may be called again.
    pub async fn run<const N: usize>(&mut self, sockets: &mut [B::Socket; N], operator: &mut impl Operator<B>) -> ! {
        self.run_reviewed(sockets, operator, &mut AcceptAll).await
    }

    /// [`run`](Self::run), but `review` decides about each folder before it is committed.
    pub async fn run_reviewed<const N: usize, V: Review<B::Mutex, B::Flash>>(
        &mut self,
        sockets: &mut [B::Socket; N],
        operator: &mut impl Operator<B>,
        review: &mut V,
    ) -> ! {
        let Self { parts, slots, memory, config, has_run } = self;
        let Config {
            clock,
            max_iterations,
            key_seconds,
            start,
            lockouts,
            events,
            sources,
            settings,
            restart,
            #[cfg(feature = "wifi")]
            wifi,
        } = config;
        let (slots, clock, events, settings) = (*slots, &*clock, *events, *settings);
        let (state, address) = (OperatorState::new(), Cell::new(None));
        let Memory { tls, frame, plain, collected, transfer } = &mut **memory;
        transfer.get_mut().prepare();
        // Before the slots, because a factory reset erases them. Other errors are shown at the console: nobody is trusted.
        let identity = parts.as_ref().ok().map(|(identity, _)| *identity);
        let settled = match settings {
            Some(settings) => own_frame(pin!(settings.mount(identity, Some(slots)))).await,
            None => Ok(()),
        };
        #[cfg(feature = "wifi")]
        if let Some(wifi) = wifi {
            let set = match settings {
                Some(settings) => settings.network().await,
                None => None,
            };
            wifi.set_network_or(set, identity);
        }
        let mounted = match settled {
            Err(SettingsError::Reset) => Err(MountError::Reset),
            _ => own_frame(pin!(slots.mount(collected))).await,
        };
        if mounted.is_ok()
            && let Some(events) = events
        {
            events.send(Event::Mounted);
        }
        let parts = mounted.map_err(StartupError::Flash).and(parts.as_mut().map_err(|error| *error));
        let control = Control {
            state: &state,
            address: &address,
            slots,
            transfer,
            clock,
            identity: parts.as_ref().map(|(identity, _)| *identity).map_err(|error| *error),
            sources: *sources,
            start: *start,
            settings,
            restart: *restart,
            #[cfg(feature = "wifi")]
            wifi: *wifi,
        };
        let mut operator = pin!(operator.run(&control));
        let mut backlog = Backlog::new(sockets, clock, &state, &address);
        let (identity, rng) = match parts {
            Ok(parts) => parts,
            Err(StartupError::Identity(_)) => {
                run_both(pin!(backlog.refuse(ClearRefusal::NotProvisioned)), operator.as_mut()).await
            }
            Err(_) => operator.await,
        };
        let is_first = !core::mem::replace(has_run, true) && *start == StartReason::PowerOn;
        let mut peers = None;
        let peers = restore_peers(&mut peers, is_first, rng, lockouts.as_deref_mut(), clock.now());
        let mut sessions = Sessions::<B, V> {
            identity,
            peers,
            rng,
            lockouts: lockouts.as_deref_mut(),
            slots,
            collected,
            transfer,
            review,
            reverted: slots.reverted(),
            clock,
            state: &state,
            events,
            max_iterations: *max_iterations,
            key_seconds: *key_seconds,
            settings,
            limiter: Limiter::new(),
        };
        let mut buffers = SessionBuffers { tls, frame, plain };
        let serve = async {
            loop {
                sessions.prepare();
                let wake = select(state.wake.wait(), clock.sleep_until(sessions.expire()));
                match select(backlog.next(|| slots.is_paused()), wake).await {
                    Either::First(at) => {
                        let session =
                            async |socket: &mut _, active: &_| sessions.serve(&mut buffers, socket, active).await;
                        {
                            let slot = pin!(Some(backlog.serve(at, session)));
                            let mut session = WipeOnDrop(slot, PhantomData::<B>);
                            if let Some(session) = session.0.as_mut().as_pin_mut() {
                                // The wipe spares the stack frames that are in use, so this one must hold nothing of
                                // the session.
                                own_frame(session).await;
                            }
                        }
                        state.session_ended();
                    }
                    Either::Second(_) => {}
                }
            }
        };
        run_both(pin!(serve), operator).await
    }
}

impl<'a, B: Board<Rng = Random>> Receiver<'a, B> {
    /// The receiver of a board whose identity and random numbers are those of `startup`.
    pub fn from_startup(
        startup: Result<Startup<'a>, StartupError>,
        slots: &'a BoardSlots<'a, B>,
        memory: &'a mut Memory,
        mut config: Config<'a, B>,
    ) -> Self {
        let parts = startup.map(|Startup { identity, random, sources }| {
            config.sources = Some(sources);
            (identity, random)
        });
        Self { parts, slots, memory, config, has_run: false }
    }
}

/// Makes the state of peers, with the lockouts from before a reset. In its place: the stack frame of the caller is in use as long
/// as the receiver runs, so no wipe would reach a copy of the code there.
#[inline(never)]
fn restore_peers<'p>(
    peers: &'p mut Option<PeerState>,
    is_first: bool,
    rng: &mut impl CryptoRngCore,
    lockouts: Option<&mut LockoutSnapshot>,
    now: u64,
) -> &'p mut PeerState {
    let peers = peers.insert(match &lockouts {
        Some(lockouts) if !is_first => PeerState::restore(rng, lockouts, now),
        _ => PeerState::new(rng),
    });
    if let Some(lockouts) = lockouts {
        *lockouts = peers.lockouts(now);
    }
    peers
}

/// Runs two futures that never end. They are pinned by reference, because passing them by value would store each twice.
async fn run_both<T>(one: Pin<&mut impl Future<Output = T>>, other: Pin<&mut impl Future<Output = T>>) -> T {
    match select(own_frame(one), own_frame(other)).await {
        Either::First(end) | Either::Second(end) => end,
    }
}
