//! Standard input, read by a thread of its own.
//!
//! The thread reads only while a question waits for input: what is typed at other times is not meant for this
//! command.
//!
//! It does not use crossterm's events, for these reasons, which were tried with its release 0.29:
//!
//! - crossterm never wipes what it has read, and its buffers are private. After 16 characters of a key were typed and
//!   read, its event queue still held all of them, and its read buffer 15 after they were pasted.
//! - While the signal for a closed terminal is ignored, it takes the end of a terminal for "nothing to read yet" and
//!   reads again without a pause.
//! - Its raw mode switches off the keys that raise signals. Ctrl-C, Ctrl-\ and Ctrl-Z would have to raise them here.
//! - It reads in the background as well, which stops the process.
//!
//! A runtime's readiness events do not replace the thread either: they know neither files, nor terminals on macOS.

use std::io::{ErrorKind, IsTerminal, stdin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::cli::platform;

/// Maximum length of one read, in bytes.
pub(super) const READ: usize = 1024;

/// How long the reader waits after the end of a terminal's input: if the terminal was closed, the signal handler ends
/// the command first.
const HANG_UP: Duration = Duration::from_millis(500);

/// Reads standard input from its current position to its end. After the end of input a terminal can deliver more, to
/// a new reader.
pub(crate) struct Reader {
    /// Whether a question waits for input. The thread is parked while none does.
    wanted: Arc<AtomicBool>,
    thread: Thread,
    bytes: mpsc::Receiver<Zeroizing<Vec<u8>>>,
}

impl Reader {
    /// Starts the thread. It ends with the process or at the end of input, which on a terminal is every Ctrl-D.
    pub(crate) fn start() -> Self {
        let (give, bytes) = mpsc::channel(4);
        let wanted = Arc::new(AtomicBool::new(false));
        let known = wanted.clone();
        let thread = thread::spawn(move || read_all(&known, &give)).thread().clone();
        Self { wanted, thread, bytes }
    }

    /// A reader of these bytes, followed by the end of input.
    #[cfg(test)]
    pub(super) fn of(bytes: mpsc::Receiver<Zeroizing<Vec<u8>>>) -> Self {
        Self { wanted: Arc::default(), thread: thread::current(), bytes }
    }

    /// The next bytes; `None` at the end of input. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        let _waiting = Waiting::begin(&self.wanted, &self.thread);
        self.bytes.recv().await
    }

    /// Discards bytes that were already read. Returns `false` if the thread has reached the end of input and reads no
    /// more.
    pub(super) fn forget(&mut self) -> bool {
        while self.bytes.try_recv().is_ok() {}
        !self.bytes.is_closed()
    }
}

fn read_all(wanted: &AtomicBool, give: &mpsc::Sender<Zeroizing<Vec<u8>>>) {
    let is_terminal = stdin().is_terminal();
    loop {
        while !wanted.load(Ordering::Relaxed) {
            thread::park();
        }
        platform::wait_for_input();
        if !wanted.load(Ordering::Relaxed) {
            // The question was dropped meanwhile: leave the input for the next one.
            continue;
        }
        let mut buffer = Zeroizing::new(vec![0; READ]);
        match platform::read_standard_input(&mut buffer) {
            Ok(count @ 1..) => buffer.truncate(count),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // End of input. If the terminal was closed, the signal for that should end the command, unless it is
            // ignored.
            Ok(_) | Err(_) => {
                if is_terminal {
                    thread::sleep(HANG_UP);
                }
                return;
            }
        }
        if give.blocking_send(buffer).is_err() {
            return;
        }
    }
}

/// Marks that a question waits for input until this guard is dropped.
struct Waiting<'a>(&'a AtomicBool);

impl<'a> Waiting<'a> {
    fn begin(wanted: &'a AtomicBool, thread: &Thread) -> Self {
        wanted.store(true, Ordering::Relaxed);
        thread.unpark();
        Self(wanted)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
