//! Blocking work on a thread of its own, so that the session can say meanwhile that the store works.

use std::panic::resume_unwind;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use embassy_futures::yield_now;

/// Does `work`, and yields until it is done. A session that is gone drops this future, which then waits for the end of the work:
/// nothing goes on behind the store's back, and no lock outlives its session.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let mut running = Running(Some(thread::spawn(work)));
    // Most work takes less than this.
    let mut pause = Duration::from_micros(50);
    while running.0.as_ref().is_some_and(|thread| !thread.is_finished()) {
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
        yield_now().await;
    }
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

    use embassy_futures::{block_on, poll_once};

    use super::*;

    #[test]
    fn gives_what_the_work_gives() {
        assert_eq!(block_on(aside(|| 7)), 7);
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
