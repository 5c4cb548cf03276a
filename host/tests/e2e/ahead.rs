//! A clock that a test can advance for some processes, so that a deadline of minutes is reached in seconds.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::scope;
use std::time::Duration;

use super::harness::Call;
use super::preload::library;
use super::world::World;

/// A clock that is correct until it is advanced.
pub(crate) struct Clock {
    library: PathBuf,
    /// A file whose length is the number of seconds by which the clock is ahead.
    ahead: PathBuf,
}

impl Clock {
    /// Returns `None` if a process cannot be given a clock on this system.
    pub(crate) fn new(world: &World) -> Option<Self> {
        let library = library(world, "ahead")?;
        let ahead = world.root.path().join("ahead");
        File::create(&ahead).unwrap();
        Some(Self { library, ahead })
    }

    /// Path of the library that provides the clock to a process.
    pub(crate) fn library(&self) -> &Path {
        &self.library
    }

    /// The command with this clock.
    pub(crate) fn on(&self, call: Call) -> Call {
        call.env("LD_PRELOAD", &self.library).env("AHEAD", &self.ahead)
    }

    /// Runs the clock of those processes forty times as fast until `seen` returns.
    pub(crate) fn hurry<T>(&self, processes: &[u32], seen: impl FnOnce() -> T) -> T {
        let wakers: Vec<_> = processes.iter().map(|process| waker(*process)).collect();
        // Dropped at the end, even after a panic.
        let (still, over) = channel::<()>();
        scope(|both| {
            both.spawn(move || {
                let file = File::options().write(true).open(&self.ahead).unwrap();
                for step in 1.. {
                    // Between two steps, both sides of a session have time to exchange keep-alives.
                    file.set_len(4 * step).unwrap();
                    wakers.iter().for_each(|wake| wake());
                    if over.recv_timeout(Duration::from_millis(100)) != Err(RecvTimeoutError::Timeout) {
                        break;
                    }
                }
            });
            let _still = still;
            seen()
        })
    }
}

/// Wakes a process that sleeps until a time of its old clock: a stopped process reads its clock again when it
/// continues.
#[cfg(target_os = "linux")]
fn waker(process: u32) -> impl Fn() + Send {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
    let pid = Pid::from_raw(process.cast_signed()).expect("no process has the number 0");
    let process = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    move || {
        for signal in [Signal::STOP, Signal::CONT] {
            // The process may have ended by now.
            let _ = pidfd_send_signal(&process, signal);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn waker(_: u32) -> impl Fn() + Send {
    || {}
}
