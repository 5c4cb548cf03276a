//! The events that the receiver sends to the application.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::channel::Channel;
use waft_core::certificate::CertificateHash;
use waft_core::session::{Receipt, SessionError};

/// The most events that wait for the application.
const QUEUE: usize = 4;

/// An event of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The slots were mounted, once after a start. [`Slots::folder`](crate::slots::Slots::folder) returns the current
    /// folder, if there is one.
    Mounted,
    /// A trusted sender offers a folder.
    Offered {
        /// The certificate of the sender.
        sender: CertificateHash,
        /// The number of files.
        files: u32,
        /// The size of the archive, in bytes.
        total: u64,
    },
    /// The progress of a transfer. It is not sent for every chunk.
    Receiving {
        /// The bytes of the archive that were received.
        received: u64,
        /// The size of the archive, in bytes.
        total: u64,
    },
    /// A new folder was committed. [`Slots::folder`](crate::slots::Slots::folder) returns it.
    Committed(Receipt),
    /// A trusted sender's session ended without a new folder. The old folder is unchanged.
    Ended(SessionError),
}

/// The queue of events, from the receiver to one task of the application. The receiver never waits for that task: if
/// more than four events wait, the oldest is dropped, even an [`Event::Committed`]. So an event is only a hint; the
/// generation of [`Slots::folder`](crate::slots::Slots::folder) shows whether there is a new folder.
pub struct Events<M: RawMutex>(Channel<M, Event, QUEUE>);

impl<M: RawMutex> Events<M> {
    /// An empty queue.
    pub const fn new() -> Self {
        Self(Channel::new())
    }

    /// Waits for the next event. Cancel-safe.
    pub async fn next(&self) -> Event {
        self.0.receive().await
    }

    pub(crate) fn send(&self, event: Event) {
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
    fn the_newest_events_are_kept() {
        let events = Events::<NoopRawMutex>::new();
        let event = |received| Event::Receiving { received, total: 100 };
        (0..10).for_each(|received| events.send(event(received)));
        for received in 10 - QUEUE as u64..10 {
            assert_eq!(block_on(events.next()), event(received));
        }
        assert!(poll_once(events.next()).is_pending());
    }
}
