//! Polls a future in a stack frame of its own.
//!
//! The compiler tends to inline every step of a session into the function that polls the session. The temporary values
//! of all steps then share one stack frame, which is kilobytes larger on a board than any single step needs.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

/// Returns a future that polls this one in a stack frame that exists only meanwhile. The caller pins the future, so that it
/// is not moved.
pub fn own_frame<F: Future>(future: Pin<&mut F>) -> OwnFrame<'_, F> {
    OwnFrame(future)
}

/// The future that [`own_frame`] returns.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct OwnFrame<'f, F>(Pin<&'f mut F>);

impl<F: Future> Future for OwnFrame<'_, F> {
    type Output = F::Output;

    #[inline(never)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0.as_mut().poll(context)
    }
}
