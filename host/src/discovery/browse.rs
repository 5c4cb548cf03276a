//! Yields what is announced on the network.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::Unavailable;
use super::daemon::{Browsing, CHECK, Daemon};
use super::found::Found;
use super::links::Links;

/// How long the addresses of this machine are taken to be the same.
const LINKS: Duration = Duration::from_secs(1);

/// Yields receivers that announce themselves on the networks of this machine.
pub struct Browser {
    /// `None` after a failure, until another one is started.
    running: Option<(Daemon, Browsing)>,
    next_check: Instant,
    links: Links,
    links_read: Instant,
}

impl Browser {
    /// Begins to browse, on all interfaces. Has to be called in a Tokio runtime.
    pub fn start() -> Result<Self, Unavailable> {
        let now = Instant::now();
        Ok(Self { running: Some(started()?), next_check: now + CHECK, links: Links::read(), links_read: now })
    }

    /// Waits for the next receiver that was found, or whose announcement changed. What cannot be a receiver's is left out.
    /// Cancel-safe.
    pub async fn next(&mut self) -> Found {
        loop {
            let Some((daemon, browsing)) = &mut self.running else {
                sleep(CHECK).await;
                self.running = started().ok();
                continue;
            };
            let received = tokio::select! {
                received = browsing.next() => received,
                () = sleep_until(self.next_check) => {
                    self.next_check = Instant::now() + CHECK;
                    if daemon.is_overfull().await {
                        self.running = None;
                    }
                    continue;
                }
            };
            let Some(received) = received else {
                self.running = None;
                continue;
            };
            if self.links_read.elapsed() > LINKS {
                (self.links, self.links_read) = (Links::read(), Instant::now());
            }
            if let Ok(found) = Found::of(&received, &self.links) {
                return found;
            }
        }
    }
}

fn started() -> Result<(Daemon, Browsing), Unavailable> {
    let daemon = Daemon::start()?;
    let browsing = daemon.browse()?;
    Ok((daemon, browsing))
}
