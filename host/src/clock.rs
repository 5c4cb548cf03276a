//! The clocks of this process: the monotonic one, as sessions need it, and the date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The date, in seconds since 1970; 0 if this machine's clock is set to an earlier time.
pub(crate) fn seconds_since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
