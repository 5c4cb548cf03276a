//! Unix: the signals by which a user or the system ends or pauses a command.

use std::io;
use std::task::{Context, Poll};

use rustix::process::{Signal as Number, getpid, kill_process};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

use super::Signal;

/// Streams of the signals, within a Tokio runtime.
pub(super) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// Installs the handlers: no signal is lost from here on.
    pub(super) fn listen() -> io::Result<Self> {
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
            // Ignored as under `nohup`, or in shells without job control.
            let is_ignored = ignored & 1 << (number.as_raw() - 1) != 0;
            if is_ignored && matches!(meaning, Signal::HangUp | Signal::Pause) {
                continue;
            }
            streams.push((meaning, signal(kind)?));
        }
        Ok(Self(streams))
    }

    /// Waits for the next signal. Cancel-safe.
    pub(super) async fn next(&mut self) -> Signal {
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

/// The signals that this process ignored when it was started, as a bit mask. Linux reports them. Elsewhere a process
/// without a terminal at its outputs is assumed to run under `nohup`.
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

/// Stops this process until a signal to continue.
pub(super) fn pause() {
    let _ = kill_process(getpid(), Number::STOP);
}
