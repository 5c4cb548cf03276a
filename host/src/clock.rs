//! The monotonic clock of this process, as sessions need it.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use waft_core::session;

/// A clock that counts the milliseconds since its creation.
pub struct Clock(Instant);

impl Clock {
    /// Starts a clock at zero.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl session::Clock for Clock {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn sleep_until(&self, at: u64) {
        match self.0.checked_add(Duration::from_millis(at)) {
            Some(moment) => sleep_until(moment).await,
            None => std::future::pending().await,
        }
    }
}
