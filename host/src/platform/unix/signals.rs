//! Unix: the signals by which a user or the system stops a command, or lets it rest.

use std::io;
use std::task::{Context, Poll};

use rustix::process::{Signal as Number, getpid, kill_process};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use crate::platform::Signal;

/// Listens to signals, within a runtime.
pub(crate) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// Begins to listen: from here on none is lost.
    pub(crate) fn listen() -> io::Result<Self> {
        let ignored = ignored();
        let wanted = [
            (Signal::Interrupt, Number::INT, SignalKind::interrupt()),
            (Signal::Quit, Number::QUIT, SignalKind::quit()),
            (Signal::Terminate, Number::TERM, SignalKind::terminate()),
            (Signal::HangUp, Number::HUP, SignalKind::hangup()),
            (Signal::Pause, Number::TSTP, SignalKind::from_raw(Number::TSTP.as_raw())),
            (Signal::Continue, Number::CONT, SignalKind::from_raw(Number::CONT.as_raw())),
        ];
        let mut streams = Vec::new();
        for (meaning, number, kind) in wanted {
            // As with `nohup`, and in shells that know no jobs.
            let is_ignored = ignored & 1 << (number.as_raw() - 1) != 0;
            if is_ignored && matches!(meaning, Signal::HangUp | Signal::Pause) {
                continue;
            }
            streams.push((meaning, signal(kind)?));
        }
        Ok(Self(streams))
    }

    /// The next signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| self.poll(context)).await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Signal> {
        for (meaning, stream) in &mut self.0 {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*meaning);
            }
        }
        Poll::Pending
    }
}

/// The signals that this process was started to ignore, as a mask of bits. Linux tells; elsewhere it is taken for granted
/// that whoever writes to no terminal was started by `nohup`.
fn ignored() -> u64 {
    use std::io::{IsTerminal, stderr, stdout};
    if let Ok(status) = std::fs::read_to_string("/proc/self/status") {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        return mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    }
    match stdout().is_terminal() || stderr().is_terminal() {
        true => 0,
        false => 1 << (Number::HUP.as_raw() - 1),
    }
}

/// Stops this process until it is told to continue.
pub(crate) fn pause() {
    let _ = kill_process(getpid(), Number::STOP);
}
