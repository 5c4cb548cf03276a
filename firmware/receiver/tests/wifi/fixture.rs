//! A station with a scripted radio and a scripted link, in virtual time.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use embassy_futures::poll_once;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use waft_core::session::Clock;
use waft_receiver::identity::Wifi;
use waft_receiver::wifi::{JoinError, Link, Radio, Station, Status};

/// How long a join takes that ends.
pub(crate) const JOINING_MS: u64 = 1_000;
/// How long leaving takes.
pub(crate) const LEAVING_MS: u64 = 100;

pub(crate) fn wifi(ssid: &str) -> Wifi {
    Wifi::new(ssid, b"open sesame").unwrap()
}

/// What a join does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Script {
    Fails(JoinError),
    /// The address comes this many milliseconds later, or never.
    Joins {
        address_after: Option<u64>,
    },
    /// It reports success, but there is no link.
    JoinsWithoutLink,
    /// It never answers.
    Hangs,
}

/// A call of the radio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Join(String),
    /// The future of a join was dropped.
    Dropped,
    Leave,
}

/// What a radio does at the moment. Calls that its contract excludes fail the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Activity {
    Idle,
    Joining,
    Joined,
    /// The last join failed, and the radio may still be associated.
    Failed,
}

/// Time, radio and network.
struct World {
    now: Cell<u64>,
    /// The earliest time for which a future waits.
    deadline: Cell<u64>,
    script: Cell<Script>,
    activity: Cell<Activity>,
    has_link: Cell<bool>,
    /// The time of the next address.
    address_at: Cell<Option<u64>>,
    /// Whether the radio does not answer at all.
    is_silent: Cell<bool>,
    calls: RefCell<Vec<(u64, Call)>>,
}

impl World {
    fn record(&self, call: Call) {
        self.calls.borrow_mut().push((self.now.get(), call));
    }

    async fn sleep(&self, ms: u64) {
        self.sleep_until(self.now.get() + ms).await;
    }

    fn lose_link(&self) {
        self.has_link.set(false);
        self.address_at.set(None);
    }
}

impl Clock for World {
    fn now(&self) -> u64 {
        self.now.get()
    }

    async fn sleep_until(&self, at: u64) {
        poll_fn(|_| {
            if self.now.get() >= at {
                return Poll::Ready(());
            }
            self.deadline.update(|deadline| deadline.min(at));
            Poll::Pending
        })
        .await;
    }
}

struct ScriptedRadio(Rc<World>);

/// Records that the future of a join was dropped.
struct RecordDrop<'a>(&'a World);

impl Drop for RecordDrop<'_> {
    fn drop(&mut self) {
        if self.0.activity.get() == Activity::Joining {
            self.0.record(Call::Dropped);
        }
    }
}

impl Radio for ScriptedRadio {
    async fn join(&mut self, wifi: &Wifi) -> Result<(), JoinError> {
        let world = &*self.0;
        world.record(Call::Join(wifi.ssid.as_str().to_owned()));
        let before = world.activity.replace(Activity::Joining);
        assert_eq!(before, Activity::Idle, "`leave` comes before another join");
        let _record = RecordDrop(world);
        if world.is_silent.get() || matches!(world.script.get(), Script::Hangs) {
            pending::<()>().await;
        }
        world.sleep(JOINING_MS).await;
        world.activity.set(Activity::Joined);
        match world.script.get() {
            Script::Hangs => pending().await,
            Script::Fails(error) => {
                world.activity.set(Activity::Failed);
                return Err(error);
            }
            Script::JoinsWithoutLink => {}
            Script::Joins { address_after } => {
                world.has_link.set(true);
                world.address_at.set(address_after.map(|after| world.now.get() + after));
            }
        }
        Ok(())
    }

    async fn leave(&mut self) {
        let world = &*self.0;
        world.record(Call::Leave);
        world.activity.set(Activity::Idle);
        world.lose_link();
        if world.is_silent.get() {
            pending::<()>().await;
        }
        world.sleep(LEAVING_MS).await;
    }
}

struct ScriptedLink(Rc<World>);

impl Link for ScriptedLink {
    fn is_up(&self) -> bool {
        self.0.has_link.get()
    }

    fn has_address(&self) -> bool {
        self.is_up() && self.0.address_at.get().is_some_and(|at| at <= self.0.now.get())
    }
}

/// A clock that the station owns.
struct SharedClock(Rc<World>);

impl Clock for SharedClock {
    fn now(&self) -> u64 {
        self.0.now()
    }

    async fn sleep_until(&self, at: u64) {
        self.0.sleep_until(at).await;
    }
}

/// Whether the station was woken.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A station that runs, and its world.
pub(crate) struct Bench {
    station: Rc<Station<NoopRawMutex>>,
    world: Rc<World>,
    woken: Arc<Woken>,
    running: RefCell<Pin<Box<dyn Future<Output = ()>>>>,
    seed: u64,
}

impl Bench {
    /// A station that does not know its network yet.
    pub(crate) fn new(script: Script) -> Self {
        Self::create(script, 1)
    }

    /// A station that joins a network.
    pub(crate) fn joining(script: Script) -> Self {
        Self::with_seed(script, 1)
    }

    pub(crate) fn with_seed(script: Script, seed: u64) -> Self {
        let bench = Self::create(script, seed);
        bench.station.set_network(Some(wifi("home")));
        bench
    }

    fn create(script: Script, seed: u64) -> Self {
        let world = Rc::new(World {
            now: Cell::new(0),
            deadline: Cell::new(u64::MAX),
            script: Cell::new(script),
            activity: Cell::new(Activity::Idle),
            has_link: Cell::new(false),
            address_at: Cell::new(None),
            is_silent: Cell::new(false),
            calls: RefCell::new(Vec::new()),
        });
        let station = Rc::new(Station::new());
        let running = RefCell::new(start(&station, &world, seed));
        Self { station, world, woken: Arc::new(Woken(AtomicBool::new(true))), running, seed }
    }

    /// Runs the station for this time. It is polled only if it was woken, or if a time came for which it waits.
    pub(crate) fn run(&self, ms: u64) {
        let world = &*self.world;
        let (end, waker) = (world.now.get() + ms, Waker::from(self.woken.clone()));
        loop {
            if self.woken.0.swap(false, Ordering::Relaxed) || world.deadline.get() <= world.now.get() {
                world.deadline.set(u64::MAX);
                assert!(self.running.borrow_mut().as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            } else if world.deadline.get() <= end {
                world.now.set(world.deadline.get());
            } else {
                return world.now.set(end);
            }
        }
    }

    /// Drops the future of the station, and runs it again. The driver of the radio begins anew.
    pub(crate) fn restart(&self) {
        *self.running.borrow_mut() = start(&self.station, &self.world, self.seed);
        self.world.activity.set(Activity::Idle);
        self.world.lose_link();
        self.woken.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn station(&self) -> &Station<NoopRawMutex> {
        &self.station
    }

    pub(crate) fn status(&self) -> Status {
        self.station.status()
    }

    pub(crate) fn ssid(&self) -> String {
        self.station.ssid().unwrap().as_str().to_owned()
    }

    /// Whether there are news. They are taken.
    pub(crate) fn has_news(&self) -> bool {
        poll_once(self.station.news()).is_ready()
    }

    pub(crate) fn now(&self) -> u64 {
        self.world.now.get()
    }

    pub(crate) fn script(&self, script: Script) {
        self.world.script.set(script);
    }

    /// Makes the radio answer nothing, or answer again.
    pub(crate) fn silence(&self, is_silent: bool) {
        self.world.is_silent.set(is_silent);
    }

    pub(crate) fn lose_link(&self) {
        self.world.lose_link();
    }

    /// The radio reconnects without a command.
    pub(crate) fn restore_link(&self) {
        self.world.has_link.set(true);
    }

    pub(crate) fn give_address(&self) {
        self.world.address_at.set(Some(self.now()));
    }

    pub(crate) fn take_address(&self) {
        self.world.address_at.set(None);
    }

    /// The calls of the radio, and their times.
    pub(crate) fn calls(&self) -> Vec<(u64, Call)> {
        self.world.calls.borrow().clone()
    }

    pub(crate) fn last_call(&self) -> Call {
        self.calls().last().unwrap().1.clone()
    }

    /// The times of the joins.
    pub(crate) fn joins(&self) -> Vec<u64> {
        let calls = self.world.calls.borrow();
        calls.iter().filter(|(_, call)| matches!(call, Call::Join(_))).map(|(at, _)| *at).collect()
    }
}

fn start(station: &Rc<Station<NoopRawMutex>>, world: &Rc<World>, seed: u64) -> Pin<Box<dyn Future<Output = ()>>> {
    let (station, world) = (station.clone(), world.clone());
    let (radio, link, clock) = (ScriptedRadio(world.clone()), ScriptedLink(world.clone()), SharedClock(world));
    Box::pin(async move { station.run(radio, link, clock, seed).await })
}
