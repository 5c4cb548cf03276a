//! What the application is told: one stream of events.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::channel::Channel;
use waft_core::certificate::CertificateHash;
use waft_core::session::{Receipt, SessionError};

/// Events that wait for the application.
const QUEUE: usize = 4;

/// What happens to folders on this board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The slots were read, once after a start: [`Slots::folder`](crate::slots::Slots::folder) gives what is there.
    Mounted,
    /// A trusted sender, by its certificate, offers a folder.
    Offered {
        /// Who.
        sender: CertificateHash,
        /// Files in it.
        files: u32,
        /// Length of the archive, in bytes.
        total: u64,
    },
    /// It is received. Comes seldom: not for every chunk.
    Receiving {
        /// Bytes of archive that are here.
        received: u64,
        /// Length of the archive, in bytes.
        total: u64,
    },
    /// A new folder is in place: [`Slots::folder`](crate::slots::Slots::folder) gives it.
    Committed(Receipt),
    /// A trusted sender's session ended without a new folder. The old one is as it was.
    Ended(SessionError),
}

/// The stream of events, from the receiver to one task of the application. Nothing waits for that task: of more than
/// four the oldest are dropped, a [`Event::Committed`] too; the last one is always there. What counts is
/// [`Slots::folder`](crate::slots::Slots::folder), and its generation.
pub struct Events<M: RawMutex>(Channel<M, Event, QUEUE>);

impl<M: RawMutex> Events<M> {
    /// A stream without events.
    pub const fn new() -> Self {
        Self(Channel::new())
    }

    /// The next event. Cancel-safe.
    pub async fn next(&self) -> Event {
        self.0.receive().await
    }

    pub(crate) fn tell(&self, event: Event) {
        while self.0.try_send(event).is_err() {
            let _ = self.0.try_receive();
        }
    }
}

impl<M: RawMutex> Default for Events<M> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use embassy_futures::{block_on, poll_once};
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    use super::*;

    #[test]
    fn the_last_events_stay() {
        let events = Events::<NoopRawMutex>::new();
        let event = |received| Event::Receiving { received, total: 100 };
        (0..10).for_each(|received| events.tell(event(received)));
        for received in 10 - QUEUE as u64..10 {
            assert_eq!(block_on(events.next()), event(received));
        }
        assert!(poll_once(events.next()).is_pending());
    }
}
