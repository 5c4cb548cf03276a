//! A value that does blocking work on a thread of its own, so that whoever waits for it can do other things meanwhile.
//!
//! A slow disk, a network file system: a call into them may take minutes. A session that waits here goes on telling its
//! peer that it is there, and hears its user.

use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

/// Work on a value, which goes there with it and comes back.
struct Job<T> {
    value: T,
    work: Box<dyn FnOnce(&mut T) + Send>,
    back: oneshot::Sender<T>,
}

/// A value, and the thread that works on it.
pub(crate) struct Worker<T> {
    /// `None` while the thread has it.
    value: Option<T>,
    /// Gives it back.
    away: Option<oneshot::Receiver<T>>,
    /// Begins the thread's next work; without a thread before the first.
    jobs: Option<mpsc::Sender<Job<T>>>,
}

impl<T: Send + 'static> Worker<T> {
    /// The thread begins with the first work.
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), away: None, jobs: None }
    }

    /// Waits for the end of the work that was started last, and gives access to the value. Cancel-safe.
    pub(crate) async fn idle(&mut self) -> &mut T {
        if let Some(away) = &mut self.away {
            self.value = Some(away.await.expect("work does not panic"));
            self.away = None;
        }
        self.value.as_mut().expect("it is here where it is not away")
    }

    /// Starts work once the last one has ended, and does not wait for its end.
    pub(crate) async fn start(&mut self, work: impl FnOnce(&mut T) + Send + 'static) {
        self.idle().await;
        let Some(value) = self.value.take() else { unreachable!("it was just here") };
        let (back, away) = oneshot::channel();
        self.away = Some(away);
        let jobs = self.jobs.get_or_insert_with(begin);
        let job = Job { value, work: Box::new(work), back };
        assert!(jobs.send(job).is_ok(), "the thread lives as long as this");
    }

    /// Does work, and waits for its end. Dropped before, the work goes on, and whatever comes next waits for it first.
    pub(crate) async fn run<R: Send + 'static>(&mut self, work: impl FnOnce(&mut T) -> R + Send + 'static) -> R {
        let (tell, told) = oneshot::channel();
        self.start(move |value| {
            // Nobody listens where the future was dropped.
            let _ = tell.send(work(value));
        })
        .await;
        self.idle().await;
        told.await.expect("work that has ended has a result")
    }
}

fn begin<T: Send + 'static>() -> mpsc::Sender<Job<T>> {
    let (jobs, next) = mpsc::channel::<Job<T>>();
    thread::spawn(move || {
        for Job { mut value, work, back } in next {
            work(&mut value);
            // Where nobody waits for it any more it is dropped here.
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
            go.send(()).unwrap();
            assert_eq!(worker.run(|value| *value).await, 1);
        });
    }
}
