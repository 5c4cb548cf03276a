//! Signals: Ctrl-C, Ctrl-\\, a closed terminal, and the system's request to terminate. The first signal asks the
//! command to stop cleanly; the second one ends the process at once. Stores and files withstand both. Ctrl-Z suspends
//! the command until the user resumes it.
//!
//! The terminal's mode is restored whenever the command ends or is suspended.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak, mpsc};
use std::thread;

use tokio_util::sync::CancellationToken;

use crate::cli::platform::{Signals, pause};
use crate::cli::ui::Ui;
use crate::error::Error;
use crate::session::GRACE;

/// Whether the user has asked the command to stop. Clones share the same state.
#[derive(Clone)]
pub(crate) struct Interrupt {
    token: CancellationToken,
    /// Tells the thread that handles signals whether a part of the command still wants them.
    _wanted: Arc<()>,
}

impl Interrupt {
    /// Starts to listen for signals, on a thread of its own because the command's thread may be busy for long. No
    /// signal is lost after this function returns.
    pub(crate) fn listen() -> Self {
        let token = CancellationToken::new();
        let wanted = Arc::new(());
        let (ready, listening) = mpsc::channel();
        let (raise, is_wanted) = (token.clone(), Arc::downgrade(&wanted));
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let Ok(signals) = Signals::listen() else { return };
                let _ = ready.send(());
                handle(signals, raise, is_wanted).await;
            });
        });
        // An error means that signals are not available here.
        let _ = listening.recv();
        Self { token, _wanted: wanted }
    }

    /// The token that the first signal cancels.
    pub(crate) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Returns an error if a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.token.is_cancelled() { Err(Error::interrupted()) } else { Ok(()) }
    }

    /// Runs the work. If a signal arrives first, drops the work and returns an error.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            ended = work => ended,
            () = self.raised() => Err(Error::interrupted()),
        }
    }

    /// Completes when a signal has arrived. Cancel-safe.
    pub(crate) async fn raised(&self) {
        self.token.cancelled().await;
    }

    /// Completes a grace period after a signal: a task that has not stopped cleanly by then is stuck. Cancel-safe.
    pub(crate) async fn overdue(&self) {
        self.raised().await;
        tokio::time::sleep(GRACE).await;
    }
}

/// Handles each signal, until one of them ends the process.
async fn handle(mut signals: Signals, raise: CancellationToken, wanted: Weak<()>) {
    loop {
        match signals.next().await {
            Signal::Pause => {
                Ui::suspend();
                pause();
            }
            // This signal arrives however the process was stopped; the terminal's mode may have changed meanwhile.
            Signal::Continue => Ui::resume(),
            signal => {
                let is_first = !raise.is_cancelled();
                if is_first {
                    set_ended_by(signal);
                }
                // Read before the command can react: it may drop this and still have to print its error.
                let is_wanted = wanted.strong_count() > 0;
                raise.cancel();
                // If no part of the command wants the request any more, nothing else would end the process.
                if !is_first || !is_wanted {
                    Ui::leave();
                    std::process::exit(exit_status().into());
                }
            }
        }
    }
}

/// The meaning of a signal, or of a console event, for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-\, or Ctrl-Break.
    Quit,
    /// The terminal was closed.
    HangUp,
    /// Sent by the system or by a supervisor of the process.
    Terminate,
    /// Ctrl-Z: stop until a signal to continue.
    #[cfg_attr(windows, allow(dead_code))]
    Pause,
    /// Continue after a stop.
    #[cfg_attr(windows, allow(dead_code))]
    Continue,
}

impl Signal {
    /// The exit status of a process that this signal ends, as a shell reports it: 128 plus the number of the signal.
    fn exit_status(self) -> u8 {
        match self {
            Self::HangUp => 129,
            Self::Quit => 131,
            Self::Terminate => 143,
            Self::Interrupt | Self::Pause | Self::Continue => 130,
        }
    }
}

/// Exit status of the first signal that asked the command to end.
static ENDED_BY: AtomicU8 = AtomicU8::new(0);

/// Records the signal that asked the command to end. Only the first one counts.
fn set_ended_by(signal: Signal) {
    let _ = ENDED_BY.compare_exchange(0, signal.exit_status(), Ordering::Relaxed, Ordering::Relaxed);
}

/// The exit status of a command that was asked to end.
pub(crate) fn exit_status() -> u8 {
    match ENDED_BY.load(Ordering::Relaxed) {
        0 => Signal::Interrupt.exit_status(),
        status => status,
    }
}
