//! Announces a listener for as long as the [`Announcer`] lives.

use std::net::SocketAddr;

use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use waft_core::discovery::DeviceId;

use super::Unavailable;
use super::daemon::{CHECK, Daemon};
use crate::certificate::Certificate;

/// What is announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The id of this machine.
    pub id: DeviceId,
    /// While the listener takes attempts to pair: the name to show to other users, which may be empty.
    pub pairing: Option<String>,
}

impl Announced {
    /// A receiver with this certificate.
    pub fn receiver(certificate: &Certificate) -> Self {
        Self { id: DeviceId::of(&certificate.hash()), pairing: None }
    }

    /// A machine with this certificate that waits for a pairing, under a name that everybody on the network can read.
    pub fn pairing(certificate: &Certificate, name: &str) -> Self {
        Self { pairing: Some(name.to_owned()), ..Self::receiver(certificate) }
    }
}

/// Announces a listener until it is dropped; then the announcement is withdrawn.
#[derive(Debug)]
pub struct Announcer {
    task: JoinHandle<()>,
}

impl Announcer {
    /// Announces the listener at `local`: on the interfaces and with the addresses at which other machines can reach it, as
    /// they come and go. `None` for a listener that only this machine can reach. Has to be called in a Tokio runtime.
    pub fn start(announced: Announced, local: SocketAddr) -> Result<Option<Self>, Unavailable> {
        if local.ip().is_loopback() {
            return Ok(None);
        }
        let daemon = announcing(&announced, local)?;
        Ok(Some(Self { task: tokio::spawn(keep_announcing(daemon, announced, local)) }))
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        // The daemon ends with the future of the task.
        self.task.abort();
    }
}

fn announcing(announced: &Announced, local: SocketAddr) -> Result<Daemon, Unavailable> {
    let mut daemon = Daemon::start()?;
    daemon.announce(announced, local)?;
    Ok(daemon)
}

/// Starts another daemon whenever strangers made the running one hold too much.
async fn keep_announcing(daemon: Daemon, announced: Announced, local: SocketAddr) {
    let mut daemon = Some(daemon);
    let mut check = interval(CHECK);
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        check.tick().await;
        if let Some(running) = &daemon
            && running.is_overfull().await
        {
            daemon = None;
        }
        if daemon.is_none() {
            daemon = announcing(&announced, local).ok();
        }
    }
}
