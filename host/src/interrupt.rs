//! Signals: Ctrl-C, Ctrl-\\, a closed terminal, and the system's request to terminate. The first signal asks the
//! command to stop cleanly; the second one ends the process at once. Stores and files withstand both. Ctrl-Z suspends
//! the command until the user resumes it.
//!
//! The terminal's mode is restored whenever the command ends or is suspended.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Class, Error};
use crate::platform::{self, Signal, Signals};
use crate::ui::Ui;

/// Time to send the last message to a peer and to receive its answer.
const GRACE: Duration = Duration::from_secs(4);

/// Whether the user has asked the command to stop. Clones share the same state.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Starts to listen for signals, on a thread of its own because the command's thread may be busy for long. No
    /// signal is lost after this function returns.
    pub(crate) fn listen() -> Self {
        let (raise, raised) = watch::channel(false);
        let (tell, listening) = mpsc::channel();
        thread::spawn(move || {
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
            runtime.block_on(async {
                let Ok(signals) = Signals::listen() else { return };
                let _ = tell.send(());
                obey(signals, raise).await;
            });
        });
        // An error means that signals are not available here.
        let _ = listening.recv();
        Self(raised)
    }

    /// Returns an error if a signal has arrived.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.0.borrow() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Runs the work. If a signal arrives first, drops the work and returns an error.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            ended = work => ended,
            () = self.raised() => Err(Error::Interrupted),
        }
    }

    /// Completes when a signal has arrived. Cancel-safe.
    pub(crate) async fn raised(&self) {
        // The sender lives as long as the process. If it is gone, no signal can arrive any more.
        if self.0.clone().wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes a grace period after a signal: a task that has not stopped cleanly by then is stuck. Cancel-safe.
    pub(crate) async fn overdue(&self) {
        self.raised().await;
        tokio::time::sleep(GRACE).await;
    }
}

/// Handles each signal, until one of them ends the process.
async fn obey(mut signals: Signals, raise: watch::Sender<bool>) {
    loop {
        match signals.next().await {
            Signal::Pause => {
                Ui::suspend();
                platform::pause();
            }
            // This signal arrives however the process was stopped; the terminal's mode may have changed meanwhile.
            Signal::Continue => Ui::resume(),
            signal => {
                let is_first = !*raise.borrow();
                if is_first {
                    platform::set_ended_by(signal);
                }
                // If no part of the command receives the request any more, nothing else would end the process.
                if !is_first || raise.send(true).is_err() {
                    Ui::leave();
                    std::process::exit(Class::Interrupted.exit().into());
                }
            }
        }
    }
}
