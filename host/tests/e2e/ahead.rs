//! The clock of one process, which a test can hurry: what takes the built command minutes is seen in seconds.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::scope;
use std::time::Duration;

use super::harness::Call;
use super::world::World;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/ahead.c");

/// A clock that is right until it is hurried.
pub(crate) struct Clock {
    library: PathBuf,
    /// As many bytes as it is ahead by seconds.
    ahead: PathBuf,
}

impl Clock {
    /// None where a process cannot be given a clock.
    pub(crate) fn new(world: &World) -> Option<Self> {
        let (library, ahead) = (world.root.path().join("ahead.so"), world.root.path().join("ahead"));
        File::create(&ahead).unwrap();
        let built = Command::new("cc").args(["-shared", "-fPIC", SOURCE, "-o"]).arg(&library).status();
        if cfg!(not(all(target_os = "linux", target_env = "gnu"))) || !built.is_ok_and(|status| status.success()) {
            eprintln!("a process cannot be given a clock here: what takes minutes is not tried");
            return None;
        }
        Some(Self { library, ahead })
    }

    /// The command, with this clock.
    pub(crate) fn on(&self, call: Call) -> Call {
        call.env("LD_PRELOAD", &self.library).env("AHEAD", &self.ahead)
    }

    /// Lets the clock of the receiver at that address run a hundred times as fast until `seen` has seen what it waits for.
    pub(crate) fn hurry<T>(&self, address: &str, seen: impl FnOnce() -> T) -> T {
        // Dropped when it is over, be it by a panic.
        let (still, over) = channel::<()>();
        scope(|both| {
            both.spawn(move || {
                let file = File::options().write(true).open(&self.ahead).unwrap();
                for step in 1.. {
                    file.set_len(10 * step).unwrap();
                    // It sleeps until a moment of its old time: a stranger wakes it.
                    let _ = TcpStream::connect(address);
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
