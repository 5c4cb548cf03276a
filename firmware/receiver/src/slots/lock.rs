//! The lock of the journal: a mutex that several tasks can wait for.
//!
//! embassy-sync's `Mutex` keeps one waker. If two tasks wait for it, each poll of one wakes the other, so that both are
//! polled without pause until the mutex is unlocked. A session holds this lock until it ends, so its waiting tasks are
//! registered with those that wait for another folder, and all of them are woken when it is unlocked.

use core::future::poll_fn;
use core::ops::{Deref, DerefMut};
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};

use super::SharedState;

/// Waits until no other task uses `value`. Cancel-safe.
pub(super) fn lock<'a, M: RawMutex, T>(
    value: &'a Mutex<M, T>,
    shared: &'a SharedState<M>,
) -> impl Future<Output = Guard<'a, M, T>> {
    poll_fn(move |context| {
        let locked = value.try_lock().or_else(|_| {
            shared.lock(|shared| shared.borrow_mut().waiting.register(context.waker()));
            // An interrupt may have unlocked the value before the waker was registered.
            value.try_lock()
        });
        locked.map_or(Poll::Pending, |value| Poll::Ready(Guard { value, _wake: WakeOnDrop(shared) }))
    })
}

/// Access to a locked value. Dropping it unlocks the value.
pub(super) struct Guard<'a, M: RawMutex, T> {
    // Fields are dropped in this order: the value is unlocked before other tasks are woken.
    value: MutexGuard<'a, M, T>,
    _wake: WakeOnDrop<'a, M>,
}

impl<M: RawMutex, T> Deref for Guard<'_, M, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<M: RawMutex, T> DerefMut for Guard<'_, M, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

struct WakeOnDrop<'a, M: RawMutex>(&'a SharedState<M>);

impl<M: RawMutex> Drop for WakeOnDrop<'_, M> {
    fn drop(&mut self) {
        self.0.lock(|shared| shared.borrow_mut().waiting.wake());
    }
}

#[cfg(test)]
mod tests {
    use core::future::Future;
    use core::pin::Pin;
    use std::boxed::Box;
    use std::sync::Arc;
    use std::vec::Vec;

    use embassy_futures::block_on;
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    use super::super::{Shared, WAITING};
    use super::*;
    use crate::woken::Woken;

    type Value = Mutex<NoopRawMutex, usize>;
    type State = SharedState<NoopRawMutex>;

    fn value() -> (Value, State) {
        (Mutex::new(0), State::new(Shared::new().into()))
    }

    /// A task that locks the value and adds one to it.
    struct Task<'l> {
        future: Pin<Box<dyn Future<Output = ()> + 'l>>,
        woken: Arc<Woken>,
    }

    impl<'l> Task<'l> {
        fn new((value, shared): &'l (Value, State)) -> Self {
            Self { future: Box::pin(async { *lock(value, shared).await += 1 }), woken: Arc::default() }
        }

        fn is_done(&mut self) -> bool {
            self.woken.poll(self.future.as_mut()).is_ready()
        }
    }

    #[test]
    fn waiting_tasks_are_woken_once_and_only_when_the_value_is_unlocked() {
        let value = value();
        let held = block_on(lock(&value.0, &value.1));
        let mut tasks: Vec<_> = (0..WAITING).map(|_| Task::new(&value)).collect();
        for _ in 0..3 {
            assert!(!tasks.iter_mut().any(Task::is_done));
        }
        assert!(tasks.iter().all(|task| task.woken.count() == 0), "no task wakes another while all wait");
        drop(held);
        assert!(tasks.iter().all(|task| task.woken.count() == 1));
        assert!(tasks.iter_mut().all(Task::is_done));
        assert_eq!(*block_on(lock(&value.0, &value.1)), WAITING);
    }

    #[test]
    fn a_task_that_finds_the_value_locked_again_waits_again() {
        let value = value();
        let held = block_on(lock(&value.0, &value.1));
        let mut task = Task::new(&value);
        assert!(!task.is_done());
        drop(held);
        let held = block_on(lock(&value.0, &value.1));
        assert!(!task.is_done());
        drop(held);
        assert_eq!(task.woken.count(), 2);
        assert!(task.is_done());
    }
}
