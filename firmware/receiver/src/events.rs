//! The events that the receiver sends to the application.

use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::pubsub::{self, PubSubChannel, WaitResult};

pub use waft_core::certificate::CertificateHash;
pub use waft_core::session::{Misbehaviour, Receipt, SessionError};
pub use waft_core::wire::message::{Cancel, Limit, Refusal};

/// The most events that wait for a task of the application.
const QUEUE: usize = 4;

/// The most tasks that can subscribe to the events.
pub const SUBSCRIBERS: usize = 4;

/// An event of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
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
    /// The progress of a transfer: at its beginning, and then about every 256 KiB. A small folder has no other.
    Receiving {
        /// The bytes of the archive that were received.
        received: u64,
        /// The size of the archive, in bytes.
        total: u64,
    },
    /// A new folder was committed. [`Slots::folder`](crate::slots::Slots::folder) returns it.
    Committed(Receipt),
    /// A trusted sender's session ended without a new folder. The old folder is unchanged.
    Failed(SessionError),
    /// This many events were dropped, because the task did not take them in time.
    Missed(u64),
}

/// The events for the tasks of the application. The receiver never waits for a task: if more than four events wait, the
/// oldest is dropped, and the task gets [`Event::Missed`]. So an event is only a hint.
/// [`Slots::changed`](crate::slots::Slots::changed) misses no folder.
pub struct Events<M: RawMutex>(PubSubChannel<M, Event, QUEUE, SUBSCRIBERS, 0>);

impl<M: RawMutex> Events<M> {
    /// Events without a subscriber.
    pub const fn new() -> Self {
        Self(PubSubChannel::new())
    }

    /// Subscribes to the events that follow, or returns `None` if there are [`SUBSCRIBERS`] already.
    pub fn subscribe(&self) -> Option<Subscriber<'_, M>> {
        self.0.subscriber().ok().map(Subscriber)
    }

    pub(crate) fn send(&self, event: Event) {
        self.0.immediate_publisher().publish_immediate(event);
    }
}

impl<M: RawMutex> Default for Events<M> {
    fn default() -> Self {
        Self::new()
    }
}

/// A task that gets the events. It ends the subscription when it is dropped.
pub struct Subscriber<'a, M: RawMutex>(pubsub::Subscriber<'a, M, Event, QUEUE, SUBSCRIBERS, 0>);

impl<M: RawMutex> Subscriber<'_, M> {
    /// Waits for the next event. Cancel-safe.
    pub async fn next(&mut self) -> Event {
        match self.0.next_message().await {
            WaitResult::Message(event) => event,
            WaitResult::Lagged(events) => Event::Missed(events),
        }
    }
}

#[cfg(test)]
mod tests {
    use embassy_futures::{block_on, poll_once};
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    use super::*;

    #[test]
    fn every_subscriber_gets_the_newest_events_and_the_number_of_missed_ones() {
        let events = Events::<NoopRawMutex>::new();
        let event = |received| Event::Receiving { received, total: 100 };
        let (mut slow, mut fast) = (events.subscribe().unwrap(), events.subscribe().unwrap());
        for received in 0..10 {
            events.send(event(received));
            assert_eq!(block_on(fast.next()), event(received));
        }
        assert_eq!(block_on(slow.next()), Event::Missed(10 - QUEUE as u64));
        for received in 10 - QUEUE as u64..10 {
            assert_eq!(block_on(slow.next()), event(received));
        }
        assert!(poll_once(slow.next()).is_pending() && poll_once(fast.next()).is_pending());
    }

    #[test]
    fn a_subscription_that_ended_leaves_room_for_another() {
        let events = Events::<NoopRawMutex>::new();
        let mut all: heapless::Vec<_, SUBSCRIBERS> = (0..SUBSCRIBERS).map(|_| events.subscribe().unwrap()).collect();
        assert!(events.subscribe().is_none());
        all.pop();
        assert!(events.subscribe().is_some());
    }
}
