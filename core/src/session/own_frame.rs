//! Polls a future in a stack frame of its own.
//!
//! The compiler tends to inline every step of a session into the function that polls the session. The temporary values
//! of all steps then share one stack frame, which is kilobytes larger on a board than any single step needs.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

/// Awaits a future in a stack frame that exists only while the future is polled. The caller pins the future, so that it
/// is not moved.
pub async fn own_frame<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    poll_fn(|context| poll(future.as_mut(), context)).await
}

#[inline(never)]
fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}
