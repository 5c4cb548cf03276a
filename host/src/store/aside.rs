//! Blocking work on a thread of its own, so that the session can say meanwhile that the store works.

use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};

use tokio::sync::oneshot;

/// Does `work`, and waits without blocking until it is done. A session that is gone drops this future, which then waits
/// for the end of the work: nothing goes on behind the store's back, and no lock outlives its session.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (at_end, ended) = oneshot::channel::<()>();
    let mut running = Running(Some(thread::spawn(move || {
        // Dropped at the end, also at that of a panic.
        let _at_end = at_end;
        work()
    })));
    let _ = ended.await;
    let thread = running.0.take().expect("taken only here and on drop");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}

struct Running<T>(Option<JoinHandle<T>>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use embassy_futures::{block_on, poll_once};

    use super::*;

    #[test]
    fn gives_what_the_work_gives() {
        assert_eq!(block_on(aside(|| 7)), 7);
    }

    #[test]
    #[should_panic(expected = "the work's own")]
    fn panics_as_the_work_does() {
        block_on(aside(|| panic!("the work's own")));
    }

    #[test]
    fn dropped_it_waits_for_the_work() {
        let done = Arc::new(AtomicBool::new(false));
        let told = done.clone();
        let work = aside(move || {
            thread::sleep(Duration::from_millis(50));
            told.store(true, Ordering::SeqCst);
        });
        assert!(poll_once(work).is_pending());
        assert!(done.load(Ordering::SeqCst));
    }
}
