//! Signals: Ctrl-C, Ctrl-\\, a terminal that is closed, and the system's request to end. The first one asks the command to
//! stop in good order, the second one ends it at once. Stores and files withstand both. Ctrl-Z stops the command until it
//! is told to continue.
//!
//! Whenever the command ends or rests, the terminal is put right.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;

use crate::error::{Class, Error};
use crate::platform::{self, Signal, Signals};
use crate::ui::Ui;

/// For the last words to a peer, and its answer.
const GRACE: Duration = Duration::from_secs(4);

/// Whether somebody wants the command to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    /// Begins to listen for signals: on a thread of its own, since the command's may be at work for long. From here on
    /// none is lost.
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
        // An error means that there is no listening to signals here.
        let _ = listening.recv();
        Self(raised)
    }

    /// An error once it is raised.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if *self.0.borrow() { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// Does the work, unless it is raised before its end: then the work is dropped.
    pub(crate) async fn or<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            ended = work => ended,
            () = self.raised() => Err(Error::Interrupted),
        }
    }

    /// Completes once it is raised. Cancel-safe.
    pub(crate) async fn raised(&self) {
        // The other end lives as long as the process; without it nobody can raise anything any more.
        if self.0.clone().wait_for(|raised| *raised).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Completes when it was raised a while ago: whoever has not stopped in good order by then is stuck. Cancel-safe.
    pub(crate) async fn overdue(&self) {
        self.raised().await;
        tokio::time::sleep(GRACE).await;
    }
}

/// Does what each signal asks for, until one ends the process.
async fn obey(mut signals: Signals, raise: watch::Sender<bool>) {
    loop {
        match signals.next().await {
            Signal::Pause => {
                Ui::suspend();
                platform::pause();
            }
            // Comes whatever stopped the process, and has perhaps changed the terminal's mode meanwhile.
            Signal::Continue => Ui::resume(),
            signal => {
                let is_first = !*raise.borrow();
                if is_first {
                    platform::set_ended_by(signal);
                }
                // Where no part of the command listens any more, none would stop it.
                if !is_first || raise.send(true).is_err() {
                    Ui::leave();
                    std::process::exit(Class::Interrupted.exit().into());
                }
            }
        }
    }
}
