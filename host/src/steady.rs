//! One waker for all polls, as the receiver of a board wants it.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Context;

/// Polls with clones of the waker alone. A clone need not be known as the same waker as what it was cloned from; and a
/// board's channels, which keep one and are polled with the other, wake the one that they had: the runtime would never
/// rest.
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
