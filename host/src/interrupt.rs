//! Ctrl-C, and a polite request of the system to end: the first asks the command to stop in good order, the second
//! ends it at once. Stores and files withstand both.

use std::pin::pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use embassy_futures::poll_once;
use tokio::sync::watch;

use crate::error::{Class, Error};
use crate::platform;
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
                let mut first = pin!(signal());
                let came = poll_once(first.as_mut()).is_ready();
                let _ = tell.send(());
                if !came {
                    first.await;
                }
                let _ = raise.send(true);
                signal().await;
                Ui::leave();
                std::process::exit(Class::Interrupted.exit().into());
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

async fn signal() {
    tokio::select! {
        () = ctrl_c() => {}
        () = platform::asked_to_end() => {}
    }
}

async fn ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
