//! A world in which both ends of a session run by turns, deterministically: a connection that can be broken at any
//! byte, and a clock that moves only when nobody can go on.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use waft_core::session::{Clock, Link};

/// Time that jumps to the next deadline once nothing else can happen.
#[derive(Default)]
pub(crate) struct VirtualClock {
    now: Cell<u64>,
    next: Cell<Option<u64>>,
}

impl Clock for VirtualClock {
    fn now(&self) -> u64 {
        self.now.get()
    }

    async fn sleep_until(&self, at: u64) {
        poll_fn(|_| {
            if self.now.get() >= at {
                return Poll::Ready(());
            }
            self.next.set(Some(self.next.get().map_or(at, |next| next.min(at))));
            Poll::Pending
        })
        .await
    }
}

impl VirtualClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.now.set(self.now.get() + ms);
    }
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end, moving the clock whenever it is stuck.
pub(crate) fn run<T>(clock: &VirtualClock, future: impl Future<Output = T>) -> T {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = pin!(future);
    loop {
        clock.next.set(None);
        flag.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        if !flag.0.load(Ordering::Relaxed) {
            let next = clock.next.get().expect("somebody waits for something that can come");
            clock.now.set(next);
        }
    }
}

/// One direction of a connection.
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Bytes that still pass before the connection breaks.
    left: u64,
    closed: bool,
    waker: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One end of a connection in memory.
pub(crate) struct MemoryLink {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    /// Everything written so far.
    pub(crate) written: Vec<u8>,
    /// Bytes to change on the way: how far from the start, and what to flip.
    pub(crate) edits: Vec<(usize, u8)>,
    /// What comes is part of a record of TLS: reading it waits for the rest, and must not begin again once it was given
    /// up.
    pub(crate) partial: Option<Begun>,
}

/// Whether a read was begun.
#[derive(Default)]
pub(crate) struct Begun(bool);

/// Both ends of a new connection; it breaks after so many bytes from the first to the second, or back.
pub(crate) fn connect(forth: u64, back: u64) -> (MemoryLink, MemoryLink) {
    let pipe = |left| {
        Rc::new(RefCell::new(Pipe { bytes: VecDeque::new(), capacity: 4_096, left, closed: false, waker: None }))
    };
    let (a, b) = (pipe(forth), pipe(back));
    (
        MemoryLink { incoming: b.clone(), outgoing: a.clone(), written: Vec::new(), edits: Vec::new(), partial: None },
        MemoryLink { incoming: a, outgoing: b, written: Vec::new(), edits: Vec::new(), partial: None },
    )
}

/// The connection broke.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("broken")
    }
}

impl std::error::Error for Broken {}

impl embedded_io_async::Error for Broken {
    fn kind(&self) -> ErrorKind {
        ErrorKind::ConnectionReset
    }
}

impl ErrorType for MemoryLink {
    type Error = Broken;
}

impl MemoryLink {
    /// Breaks both directions.
    fn sever(&self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.borrow_mut();
            pipe.closed = true;
            pipe.wake();
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.sever();
    }
}

impl Read for MemoryLink {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        self.readable().await?;
        if let Some(begun) = &mut self.partial {
            assert!(!std::mem::replace(&mut begun.0, true), "a read that was given up is gone on with");
            std::future::pending::<()>().await;
        }
        let mut pipe = self.incoming.borrow_mut();
        let count = buffer.len().min(pipe.bytes.len());
        buffer.iter_mut().zip(pipe.bytes.drain(..count)).for_each(|(to, byte)| *to = byte);
        pipe.wake();
        Ok(count)
    }
}

impl Write for MemoryLink {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let count = poll_fn(|context| {
            let mut pipe = self.outgoing.borrow_mut();
            let room = pipe.capacity - pipe.bytes.len();
            if pipe.closed || pipe.left == 0 {
                return Poll::Ready(Err(Broken));
            }
            if room == 0 {
                pipe.waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = bytes.len().min(room).min(usize::try_from(pipe.left).unwrap_or(usize::MAX));
            let mut bytes = bytes[..count].to_vec();
            for (place, flip) in &self.edits {
                if let Some(byte) = place.checked_sub(self.written.len()).and_then(|at| bytes.get_mut(at)) {
                    *byte ^= flip;
                }
            }
            pipe.bytes.extend(bytes);
            pipe.left -= count as u64;
            pipe.wake();
            Poll::Ready(Ok(count))
        })
        .await;
        if count.is_err() || self.outgoing.borrow().left == 0 {
            self.sever();
        }
        self.written.extend(&bytes[..*count.as_ref().unwrap_or(&0)]);
        count
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Link for MemoryLink {
    async fn readable(&mut self) -> Result<(), Broken> {
        poll_fn(|context| {
            let mut pipe = self.incoming.borrow_mut();
            if pipe.closed || !pipe.bytes.is_empty() {
                return Poll::Ready(Ok(()));
            }
            pipe.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}
