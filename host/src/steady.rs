//! Polls a future with wakers that are equal to each other, as the receiver of a board needs.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;

/// Polls a future only with clones of the caller's waker. [`Waker::will_wake`](std::task::Waker::will_wake) may be
/// false between a waker and its clone. A board's channels keep a clone: polled with the original, they would take it
/// for another waker and wake the one that they kept, so the runtime would never become idle.
pub async fn steadily<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    poll_fn(|context| future.as_mut().poll(&mut Context::from_waker(&context.waker().clone()))).await
}

#[cfg(test)]
mod tests {
    use std::task::{Poll, Waker};

    use super::*;

    #[tokio::test]
    async fn a_kept_waker_is_known_again() {
        let mut kept: Option<Waker> = None;
        let known = poll_fn(|context| match &kept {
            Some(kept) => Poll::Ready(kept.will_wake(context.waker())),
            None => {
                context.waker().wake_by_ref();
                kept = Some(context.waker().clone());
                Poll::Pending
            }
        });
        assert!(steadily(known).await);
    }
}
