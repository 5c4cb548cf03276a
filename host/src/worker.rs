//! A value whose blocking work runs on a thread of its own, so that the task that waits for the work can do other
//! things meanwhile.
//!
//! A call to a slow disk or a network file system may take minutes. A session that waits for a [`Worker`] still sends
//! keep-alives to its peer and reacts to its user. Long work checks [`is_given_up`] between its calls.
//!
//! Tokio's blocking threads are not used, because a store also works without a runtime.

use std::cell::RefCell;
use std::io;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

/// Work on a value. The value moves to the thread with the job and is returned afterwards.
struct Job<T> {
    value: T,
    work: Box<dyn FnOnce(&mut T) + Send>,
    back: oneshot::Sender<T>,
}

/// A value and the thread that works on it.
pub(crate) struct Worker<T> {
    /// The value; `None` while the thread has it.
    value: Option<T>,
    /// Receives the value back from the thread.
    away: Option<oneshot::Receiver<T>>,
    /// Sends jobs to the thread, which is started with the first job.
    jobs: Option<mpsc::Sender<Job<T>>>,
    /// Since when the result of the current work is no longer wanted.
    given_up: Arc<GivenUp>,
}

/// The moment from which the result of work is no longer wanted, in milliseconds since [`START`].
struct GivenUp(AtomicU64);

/// The result is wanted.
const NEVER: u64 = u64::MAX;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl GivenUp {
    fn set(&self, from: u64) {
        self.0.store(from, Ordering::Relaxed);
    }

    fn is_now(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            NEVER => false,
            from => from <= now(),
        }
    }
}

fn now() -> u64 {
    START.elapsed().as_millis() as u64
}

thread_local! {
    /// On the thread of a [`Worker`] and its helpers: the worker's `given_up` flag.
    static GIVEN_UP: RefCell<Option<Arc<GivenUp>>> = const { RefCell::new(None) };
}

/// Whether the result of this thread's work is no longer wanted. Work that can stop early does so then. Always
/// `false` on threads that do not belong to a [`Worker`].
pub(crate) fn is_given_up() -> bool {
    GIVEN_UP.with_borrow(|flag| flag.as_ref().is_some_and(|flag| flag.is_now()))
}

/// Starts a thread that does a part of this thread's work. On it, [`is_given_up`] returns what it returns on this one.
/// Fails if the system allows no further thread.
pub(crate) fn start_helper<'scope>(
    scope: &'scope Scope<'scope, '_>,
    work: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    let given_up = GIVEN_UP.with_borrow(Clone::clone);
    let helper = thread::Builder::new().spawn_scoped(scope, move || {
        GIVEN_UP.set(given_up);
        work();
    });
    helper.map(drop)
}

/// Runs blocking work on another thread while this one continues with other tasks. If the future is dropped, the work
/// still runs to its end.
pub(crate) async fn in_background<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| resume_unwind(error.into_panic()))
}

impl<T: Send + 'static> Worker<T> {
    /// Creates a worker. Its thread starts with the first work.
    pub(crate) fn new(value: T) -> Self {
        let given_up = Arc::new(GivenUp(AtomicU64::new(NEVER)));
        Self { value: Some(value), away: None, jobs: None, given_up }
    }

    /// The value, if no work is running.
    pub(crate) fn at_rest(&mut self) -> Option<&mut T> {
        self.value.as_mut()
    }

    /// Marks the result of the running work as no longer wanted.
    pub(crate) fn give_up(&mut self) {
        self.given_up.set(0);
    }

    /// Marks the result of the running work as wanted only if it is there within `limit`, unless it is not wanted
    /// already.
    pub(crate) fn give_up_after(&mut self, limit: Duration) {
        if !self.given_up.is_now() {
            self.given_up.set(now() + limit.as_millis() as u64);
        }
    }

    /// Waits for something that the running work does. If this future is dropped earlier, it gives up the work.
    pub(crate) async fn wait_for<R>(&self, step: impl Future<Output = R>) -> R {
        let mut guard = GiveUpOnDrop(Some(&self.given_up));
        let output = step.await;
        guard.0 = None;
        output
    }

    /// Waits until the running work has ended, and gives access to the value. If this future is dropped earlier, it
    /// gives up the work; a later call still waits for the end of that work.
    pub(crate) async fn idle(&mut self) -> &mut T {
        if let Some(away) = &mut self.away {
            let mut guard = GiveUpOnDrop(Some(&self.given_up));
            self.value = Some(away.await.expect("the thread returns the value after all work that does not panic"));
            guard.0 = None;
            self.away = None;
        }
        self.value.as_mut().expect("the value is here while no work has it")
    }

    /// Starts work once the previous work has ended, and does not wait for the end of the new work.
    pub(crate) async fn start(&mut self, work: impl FnOnce(&mut T) + Send + 'static) {
        self.idle().await;
        let value = self.value.take().expect("`idle` has returned, so no work has the value");
        self.given_up.set(NEVER);
        let (back, away) = oneshot::channel();
        self.away = Some(away);
        let jobs = self.jobs.get_or_insert_with(|| begin(self.given_up.clone()));
        let job = Job { value, work: Box::new(work), back };
        assert!(jobs.send(job).is_ok(), "the thread ends only when this sender is dropped");
    }

    /// Runs work and waits for its end. If this future is dropped earlier, it gives up the work, as
    /// [`idle`](Self::idle) does.
    pub(crate) async fn run<R: Send + 'static>(&mut self, work: impl FnOnce(&mut T) -> R + Send + 'static) -> R {
        let (sender, result) = oneshot::channel();
        self.start(move |value| {
            // Nothing receives the result if the future was dropped.
            let _ = sender.send(work(value));
        })
        .await;
        self.idle().await;
        result.await.expect("work sends its result before it ends")
    }
}

impl<T> Drop for Worker<T> {
    /// Does not wait for the thread. If the thread has the value, the thread drops it.
    fn drop(&mut self) {
        self.given_up.set(0);
    }
}

struct GiveUpOnDrop<'a>(Option<&'a GivenUp>);

impl Drop for GiveUpOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(given_up) = self.0 {
            given_up.set(0);
        }
    }
}

fn begin<T: Send + 'static>(given_up: Arc<GivenUp>) -> mpsc::Sender<Job<T>> {
    let (jobs, next) = mpsc::channel::<Job<T>>();
    thread::spawn(move || {
        GIVEN_UP.set(Some(given_up));
        for Job { mut value, work, back } in next {
            work(&mut value);
            // If nothing waits for the value any more, it is dropped here.
            let _ = back.send(value);
        }
    });
    jobs
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use embassy_futures::{block_on, poll_once};

    use super::*;

    #[test]
    fn work_changes_the_value_and_gives_a_result() {
        block_on(async {
            let mut worker = Worker::new(1);
            assert_eq!(worker.run(|value| std::mem::replace(value, 2)).await, 1);
            worker.start(|value| *value += 1).await;
            assert_eq!(*worker.idle().await, 3);
            assert_eq!(worker.at_rest(), Some(&mut 3));
        });
    }

    #[test]
    fn work_whose_future_is_dropped_goes_on_and_is_waited_for() {
        block_on(async {
            let mut worker = Worker::new(0);
            let (go, gone) = mpsc::channel::<()>();
            let slow = worker.run(move |value| {
                gone.recv().unwrap();
                thread::sleep(Duration::from_millis(20));
                *value += 1;
            });
            assert!(poll_once(slow).is_pending(), "and dropped");
            assert!(poll_once(worker.idle()).is_pending());
            assert_eq!(worker.at_rest(), None);
            go.send(()).unwrap();
            assert_eq!(worker.run(|value| *value).await, 1);
        });
    }

    /// Counts until the work is given up.
    fn endless(value: &mut u64) {
        while !is_given_up() {
            *value += 1;
            thread::yield_now();
        }
    }

    #[test]
    fn work_whose_future_is_dropped_can_see_that_it_is_given_up() {
        block_on(async {
            let mut worker = Worker::new(0);
            assert!(poll_once(worker.run(endless)).is_pending(), "and dropped");
            // The next work starts without the flag.
            assert!(!worker.run(|_| is_given_up()).await);
            // Work that was only started stops, too, when its worker is dropped.
            let (end, ended) = mpsc::channel();
            worker.start(move |value| (endless(value), end.send(()).unwrap()).1).await;
            drop(worker);
            ended.recv().unwrap();
            assert!(!is_given_up(), "this thread works for none");
        });
    }
}
