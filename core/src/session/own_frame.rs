//! Futures that get a stack frame of their own.
//!
//! A compiler likes to inline the one call of each step of a session into whoever polls the session. What each step
//! keeps on the stack for a moment is then kept there during all of them: on a board that is kilobytes more than any of
//! them needs.

use core::future::{Future, poll_fn};
use core::pin::Pin;
use core::task::{Context, Poll};

/// Awaits a future in a stack frame that is there only while it is polled. It comes pinned, so that it is not moved.
pub async fn own_frame<F: Future>(mut future: Pin<&mut F>) -> F::Output {
    poll_fn(|context| poll(future.as_mut(), context)).await
}

#[inline(never)]
fn poll<F: Future>(future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
    future.poll(context)
}
