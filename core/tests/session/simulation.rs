//! A deterministic environment for both ends of a session: a connection in memory that can break at any byte, and a
//! virtual clock that advances only when no future can make progress.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use waft_core::session::{Clock, DuplexLink, Link, Written};

/// A clock that jumps to the next deadline once no future can make progress.
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
            self.wake_at(at);
            Poll::Pending
        })
        .await
    }
}

impl VirtualClock {
    pub(crate) fn now_ms(&self) -> u64 {
        self.now.get()
    }

    fn wake_at(&self, at: u64) {
        if at > self.now.get() {
            self.next.set(Some(self.next.get().map_or(at, |next| next.min(at))));
        }
    }

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

/// Runs a future to its end, and advances the clock whenever the future cannot make progress.
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
            let next = clock.next.get().expect("the future waits for a deadline");
            clock.now.set(next);
        }
    }
}

/// One direction of a connection.
struct Pipe {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Number of bytes that can still be written before the connection breaks.
    left: u64,
    closed: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        self.reader.take().into_iter().chain(self.writer.take()).for_each(Waker::wake);
    }
}

/// One end of a connection in memory.
pub(crate) struct MemoryLink {
    incoming: Rc<RefCell<Pipe>>,
    outgoing: Rc<RefCell<Pipe>>,
    /// All bytes written so far.
    pub(crate) written: Vec<u8>,
    /// Changes of written bytes: position and bits to flip.
    pub(crate) edits: Vec<(usize, u8)>,
    /// Stops accepting bytes for a while.
    pub(crate) stall: Option<Stall>,
    /// The incoming bytes are part of a TLS record: a read waits for the rest, and no read may follow one that was
    /// dropped.
    pub(crate) partial: Option<PartialRecord>,
}

/// A peer that does not read for a while.
#[derive(Clone)]
pub(crate) struct Stall {
    /// Number of bytes that are accepted before the stall.
    pub(crate) after_bytes: usize,
    pub(crate) clock: Rc<VirtualClock>,
    pub(crate) until: u64,
}

/// Whether a read was begun.
#[derive(Default)]
pub(crate) struct PartialRecord(bool);

/// Both ends of a new connection. It breaks after `forth` bytes from the first to the second, or `back` bytes in the
/// other direction.
pub(crate) fn connect(to_receiver: u64, to_sender: u64) -> (MemoryLink, MemoryLink) {
    let pipe = |left| {
        Rc::new(RefCell::new(Pipe {
            bytes: VecDeque::new(),
            capacity: 4_096,
            left,
            closed: false,
            reader: None,
            writer: None,
        }))
    };
    let (a, b) = (pipe(to_receiver), pipe(to_sender));
    (
        MemoryLink {
            incoming: b.clone(),
            outgoing: a.clone(),
            written: Vec::new(),
            edits: Vec::new(),
            stall: None,
            partial: None,
        },
        MemoryLink { incoming: a, outgoing: b, written: Vec::new(), edits: Vec::new(), stall: None, partial: None },
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
    fn break_both_directions(&self) {
        for pipe in [&self.incoming, &self.outgoing] {
            let mut pipe = pipe.borrow_mut();
            pipe.closed = true;
            pipe.wake();
        }
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.break_both_directions();
    }
}

impl Read for MemoryLink {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        self.readable().await?;
        if let Some(begun) = &mut self.partial {
            assert!(!std::mem::replace(&mut begun.0, true), "a read follows one that was dropped");
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
        poll_fn(|context| self.poll_write(context, bytes)).await
    }

    async fn flush(&mut self) -> Result<(), Broken> {
        Ok(())
    }
}

impl Link for MemoryLink {
    async fn readable(&mut self) -> Result<(), Broken> {
        poll_fn(|context| self.poll_readable(context)).await
    }
}

impl DuplexLink for MemoryLink {
    async fn write_or_readable(&mut self, bytes: &[u8]) -> Result<Written, Broken> {
        poll_fn(|context| {
            if bytes.is_empty() {
                return Poll::Ready(Ok(Written::Bytes(0)));
            }
            match self.poll_write(context, bytes) {
                Poll::Ready(written) => Poll::Ready(written.map(Written::Bytes)),
                Poll::Pending => self.poll_readable(context).map_ok(|()| Written::Readable),
            }
        })
        .await
    }
}

impl MemoryLink {
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize, Broken>> {
        let open = match &self.stall {
            Some(stall) if stall.clock.now() < stall.until => stall.after_bytes.saturating_sub(self.written.len()),
            _ => usize::MAX,
        };
        let count = {
            let mut pipe = self.outgoing.borrow_mut();
            let room = open.min(pipe.capacity - pipe.bytes.len());
            if pipe.closed || pipe.left == 0 {
                Err(Broken)
            } else if room == 0 {
                pipe.writer = Some(context.waker().clone());
                if let Some(stall) = &self.stall {
                    stall.clock.wake_at(stall.until);
                }
                return Poll::Pending;
            } else {
                let count = bytes.len().min(room).min(usize::try_from(pipe.left).unwrap_or(usize::MAX));
                let mut bytes = bytes[..count].to_vec();
                for (position, flip) in &self.edits {
                    if let Some(byte) = position.checked_sub(self.written.len()).and_then(|at| bytes.get_mut(at)) {
                        *byte ^= flip;
                    }
                }
                pipe.bytes.extend(bytes);
                pipe.left -= count as u64;
                pipe.wake();
                Ok(count)
            }
        };
        if count.is_err() || self.outgoing.borrow().left == 0 {
            self.break_both_directions();
        }
        self.written.extend(&bytes[..*count.as_ref().unwrap_or(&0)]);
        Poll::Ready(count)
    }

    fn poll_readable(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let mut pipe = self.incoming.borrow_mut();
        if pipe.closed || !pipe.bytes.is_empty() {
            return Poll::Ready(Ok(()));
        }
        pipe.reader = Some(context.waker().clone());
        Poll::Pending
    }
}
