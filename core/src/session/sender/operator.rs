//! The sender's user, and the events that are shown to them.

use crate::code::AuthCode;
use crate::wire::message::Stage;

/// The sender's user, and whatever shows events to them.
pub trait Operator {
    /// Asks the user for the code that the receiver shows. `left` is the number of tries that are left after a wrong
    /// code. `None`: the user gave up. The session drops this future when the connection ends.
    async fn code(&mut self, left: Option<u8>) -> Option<AuthCode>;
    /// Shows an event.
    fn event(&mut self, event: Event);
    /// Completes when the user interrupts the session. Cancel-safe.
    async fn interrupted(&mut self) {
        core::future::pending().await
    }
}

/// An event at a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The receiver stated its bounds.
    Greeted {
        /// Bytes that are free at the receiver.
        free: u64,
        /// Whether the key mode will be *sealed*: then no user has to type the key.
        sealed: bool,
    },
    /// The receiver accepted the code.
    CodeAccepted,
    /// The offer was sent.
    Offered {
        /// Whether the key mode is *sealed*: then no user has to type the key.
        sealed: bool,
    },
    /// The receiver is busy with this.
    Working(Stage),
    /// The receiver has the key; the chunks begin at `offset`.
    Accepted {
        /// Bytes of archive that the receiver holds already.
        offset: u64,
    },
    /// This many bytes of the archive were handed to the connection so far.
    Sent(u64),
    /// This many bytes of the archive are durable at the receiver.
    Durable(u64),
}
